"""What may be written to a VICIdial, and in which form it stores it: pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

LEAD_WIDTHS = {
    "title": 4,
    "first_name": 30,
    "middle_initial": 1,
    "last_name": 30,
    "address1": 100,
    "address2": 100,
    "address3": 100,
    "city": 50,
    "state": 2,
    "province": 50,
    "postal_code": 10,
    "country_code": 3,
    "gender": 1,
    "date_of_birth": 10,
    "alt_phone": 12,
    "email": 70,
    "security_phrase": 100,
    "comments": 255,
    "owner": 20,
}
"""The lead's own fields that the box may write, and how many bytes fit (MySQL_AST_CREATE_tables.sql, vicidial_list)."""

CUSTOM = "custom:"
_CUSTOM_WIDTH = 255
_CUSTOM_NAME = re.compile(r"[a-z][a-z0-9_]{0,49}")
_STATUS = re.compile(r"[A-Za-z0-9_-]{1,6}")
_DROPPED = re.compile(r'["#;\\|+]')
# Parameters of the APIs: a custom field of such a name would change the request itself.
_PARAMETERS = frozenset(
    "source user pass function value agent_user stage ingroup_choices phone_number status search_method search_location "
    "lead_id list_id custom_fields callback callback_status callback_datetime callback_type callback_user "
    "callback_comments campaign_id call_id group header detail vendor_lead_code source_id phone_code entry_list_id rank "
    "called_count gmt_offset_now update_phone_number insert_if_not_found no_update reset_lead delete_lead delete_cf_data "
    "force_entry_list_id records list_exists_check add_to_hopper hopper_priority usacan_prefix_check "
    "usacan_areacode_check nanpa_ac_prefix_check user_field list_id_field dispo_call_url lookup_state tz_method".split()
)


class Status(msgspec.Struct, frozen=True):
    """A disposition that can be written: VICIdial cuts a longer one and lets a missing one blank the log. ValueError."""

    name: str

    def __post_init__(self) -> None:
        if not _STATUS.fullmatch(self.name):
            raise ValueError("a status has 1 to 6 letters, digits, - or _")


class LeadChange(msgspec.Struct, frozen=True):
    """Fields of a lead, all of them named and written as VICIdial stores them. Built by `lead_change`."""

    listed: dict[str, str] = {}
    custom: dict[str, str] = {}


def lead_change(data: Mapping[str, str]) -> LeadChange:
    """`data` by the dialer's names, custom fields as "custom:NAME"; empty values are left out. ValueError: not a field."""
    listed, custom = {}, {}
    for key, value in data.items():
        name = key.removeprefix(CUSTOM)
        if key.startswith(CUSTOM):
            if not _CUSTOM_NAME.fullmatch(name) or name in _PARAMETERS or name in LEAD_WIDTHS:
                raise ValueError(f"{name!r} cannot be the name of a custom field")
            custom[name] = clean(value, _CUSTOM_WIDTH)
        elif name in LEAD_WIDTHS:
            listed[name] = clean(value, LEAD_WIDTHS[name])
        else:
            raise ValueError(f"{name!r} is not a field of a lead that may be written")
    return LeadChange({k: v for k, v in listed.items() if v}, {k: v for k, v in custom.items() if v})


def clean(text: str, width: int = 255) -> str:
    """`text` as VICIdial gives it back: it drops " # ; \\ and stores a newline as "!N"; "|" would break its rows.

    At most `width` bytes of UTF-8, never half a character.
    """
    plain = _DROPPED.sub("", "".join(c if c.isprintable() else " " for c in text))
    return " ".join(plain.split()).encode(errors="ignore")[:width].decode(errors="ignore").strip()
