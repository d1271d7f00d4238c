"""The non-agent functions about leads: read, change, add, callbacks, custom fields."""

from __future__ import annotations

import json
import re
import sqlite3
from datetime import datetime, timedelta

from tests.fakes.vicidial.site import Request, Site, identifier
from tests.fakes.vicidial.state import LEAD_COLUMNS, LEAD_WIDTHS

DROPPED = re.compile(r'["#;\\]')
DROPPED_CUSTOM = re.compile(r'[";\\]')
BLANK = "--BLANK--"
DAYS = re.compile(r"^(\d+)DAYS?$")
CALLBACK_WIDTH = 255


def text_kept(text: str, *, custom: bool = False) -> str:
    """What update_lead makes of a value: VICIDIAL.md Part II section 6."""
    kept = (DROPPED_CUSTOM if custom else DROPPED).sub("", text)
    return kept.replace("+", " ").replace("\r", "").replace("\n", "!N")


def _lead_id(request: Request) -> int:
    digits = re.sub(r"\D", "", request.get("lead_id"))[:10]
    return int(digits) if digits else 0


def _lead(site: Site, lead_id: int) -> sqlite3.Row | None:
    return site.state.one("select * from vicidial_list where lead_id = ?", lead_id)


def update_lead(site: Site, request: Request, user: sqlite3.Row, now: float) -> str:
    """Nothing to change is an empty body; a callback or custom fields alone are NOTICE lines without SUCCESS."""
    name, me, lead_id = "update_lead", user["user"], _lead_id(request)
    if not lead_id:
        method = request.get("search_method") or "LEAD_ID"
        return site.dialect.error(name, "NO VALID SEARCH METHOD", f"{me}|{method}|||", dash=True)
    lead = _lead(site, lead_id)
    if lead is None:
        return site.dialect.error(name, "NO MATCHES FOUND IN THE SYSTEM", f"|{me}|{lead_id}||")
    reply = _change_fields(site, request, lead, me, now)
    if request.get("custom_fields") == "Y":
        reply += _change_custom(site, request, lead, now)
    if request.get("callback") in ("Y", "REMOVE"):
        reply += _change_callback(site, request, lead, me, now)
    return reply


def _change_fields(site: Site, request: Request, lead: sqlite3.Row, me: str, now: float) -> str:
    lead_id, changes = lead["lead_id"], _wanted(site, request, lead["lead_id"])
    if not changes:
        return ""
    rows = site.state.update("vicidial_list", {"lead_id": lead_id}, **changes)
    site.wrote(now, "update_lead", f"lead {lead_id}", json.dumps(changes, sort_keys=True), changed=bool(rows), lead_id=lead_id)
    return f"SUCCESS: update_lead LEAD HAS BEEN UPDATED - {me}|{lead_id}|{rows}|||\n"


def _wanted(site: Site, request: Request, lead_id: int) -> dict[str, object]:
    """New values of the lead's own fields, as the table keeps them."""
    changes: dict[str, object] = {}
    for name, width in LEAD_WIDTHS.items():
        value = request.get(name)
        if name in ("phone_number", "phone_code") or not value:
            continue  # they are search keys here
        if name == "status":
            changes[name] = site.status(value, f"update_lead of {lead_id}")
        else:
            changes[name] = "" if value == BLANK else text_kept(value)[:width]
    return changes


def _change_custom(site: Site, request: Request, lead: sqlite3.Row, now: float) -> str:
    """A field counts only where its name follows an ampersand: one that opens the address or the body is lost."""
    lead_id, list_id = lead["lead_id"], lead["list_id"]
    known = {row["field_label"] for row in site.state.all("select * from vicidial_lists_fields where list_id = ?", list_id)}
    phone = request.get("phone_number")
    if not known:
        reason = "CUSTOM FIELDS NOT ADDED, NO CUSTOM FIELDS DEFINED FOR THIS LIST"
        return f"NOTICE: update_lead {reason} - {phone}|{lead_id}|{list_id}\n"
    lost = set(request.first)
    given = {name: value for name, value in request.pairs if name in known and name not in lost}
    if not given:
        return ""
    kept = {name: "" if value == BLANK else text_kept(value, custom=True)[:255] for name, value in given.items()}
    before = {
        row["field_label"]: row["value"] for row in site.state.all("select * from custom_values where lead_id = ?", lead_id)
    }
    for name, value in kept.items():
        site.state.upsert("custom_values", lead_id=lead_id, field_label=name, value=value)
    site.state.update("vicidial_list", {"lead_id": lead_id}, entry_list_id=list_id)
    site.wrote(now, "update_lead", f"custom {lead_id}", json.dumps(kept, sort_keys=True), lead_id=lead_id,
               changed=any(before.get(name) != value for name, value in kept.items()))  # fmt: skip
    entry = lead["entry_list_id"]
    return f"NOTICE: update_lead CUSTOM FIELDS VALUES UPDATED - {phone}|{lead_id}|{list_id}|{entry}|{list_id}|1\n"


def callback_time(text: str, now: datetime) -> str:
    """As MySQL keeps it: what it cannot read becomes a date of zeros, and nobody is told."""
    plain = text.replace("+", " ").strip()
    if plain == "NOW":
        return f"{now:%Y-%m-%d %H:%M:%S}"
    if days := DAYS.match(plain):
        return f"{now + timedelta(days=int(days[1])):%Y-%m-%d %H:%M:%S}"
    try:
        return f"{datetime.strptime(plain, '%Y-%m-%d %H:%M:%S'):%Y-%m-%d %H:%M:%S}"
    except ValueError:
        return "0000-00-00 00:00:00"


def _change_callback(site: Site, request: Request, lead: sqlite3.Row, me: str, now: float) -> str:
    lead_id = lead["lead_id"]
    old = site.state.one("select * from vicidial_callbacks where lead_id = ? and status in ('ACTIVE', 'LIVE')", lead_id)
    if request.get("callback") == "REMOVE":
        found = site.state.run("delete from vicidial_callbacks where lead_id = ?", lead_id)
        site.wrote(now, "update_lead", f"callback {lead_id}", "REMOVE", changed=bool(found), lead_id=lead_id)
        return f"NOTICE: update_lead SCHEDULED CALLBACK DELETED - {me}|{lead_id}|{found}|{found}\n"
    campaign = identifier(request.get("campaign_id"))
    if site.state.one("select 1 from vicidial_campaigns where campaign_id = ?", campaign) is None:
        reason = "SCHEDULED CALLBACK NOT ADDED, CAMPAIGN NOT VALID"
        return f"NOTICE: update_lead {reason} - {lead_id}|{campaign}\n"
    recipient = "USERONLY" if request.get("callback_type") == "USERONLY" else "ANYONE"
    asked = request.get("callback_status")
    values: dict[str, object] = {
        "campaign_id": campaign,
        "callback_time": callback_time(request.get("callback_datetime"), site.model.local(now)),
        "recipient": recipient,
        "user": identifier(request.get("callback_user")) if recipient == "USERONLY" else "",
        "lead_status": site.status(asked, f"callback of {lead_id}") if asked else "CALLBK",
        "comments": text_kept(request.get("callback_comments"))[:CALLBACK_WIDTH],
        "list_id": lead["list_id"],
    }
    if old is None:
        site.state.insert("vicidial_callbacks", lead_id=lead_id, status="ACTIVE", entry_time=now, **values)
        changed = True
    else:
        changed = bool(site.state.update("vicidial_callbacks", {"callback_id": old["callback_id"]}, **values))
    value = json.dumps(values, sort_keys=True)
    site.wrote(now, "update_lead", f"callback {lead_id}", value, changed=changed, lead_id=lead_id)
    done = "ADDED" if old is None else "UPDATED"
    data = f"{lead_id}|{campaign}|{values['callback_time']}|{recipient}|{values['user']}|{values['lead_status']}"
    return f"NOTICE: update_lead SCHEDULED CALLBACK {done} - {data}\n"


def lead_callback_info(site: Site, request: Request, user: sqlite3.Row, now: float) -> str:
    name, me, lead_id = "lead_callback_info", user["user"], _lead_id(request)
    if not lead_id:
        return site.dialect.error(name, "INVALID SEARCH PARAMETERS", f"{me}|")
    rows = site.state.all("select * from vicidial_callbacks where lead_id = ? order by callback_id", lead_id)
    if request.get("search_location") == "ARCHIVE" or not rows:
        return site.dialect.error(name, "CALLBACK NOT FOUND", f"{me}|{lead_id}|pipe|")
    columns = (
        "lead_id|callback_type|recipient|callback_status|lead_status|callback_date|entry_date|user|list_id|campaign_id|"
        "user_group|customer_timezone|customer_time|comments\n"
    )
    return (columns if request.get("header") == "YES" else "") + "".join(
        f"{lead_id}|CURRENT|{row['recipient']}|{row['status']}|{row['lead_status']}|{row['callback_time']}|"
        f"{site.stamp(row['entry_time'])}|{row['user']}|{row['list_id']}|{row['campaign_id']}|{row['user_group']}|||"
        f"{row['comments']}\n"
        for row in rows
    )


def _custom_of(site: Site, lead: sqlite3.Row) -> dict[str, str]:
    values = dict[str, str]()
    for row in site.state.all(
        "select field_label from vicidial_lists_fields where list_id = ? order by rowid", lead["list_id"]
    ):
        value = site.state.value(
            "select value from custom_values where lead_id = ? and field_label = ?", lead["lead_id"], row["field_label"]
        )
        values[row["field_label"]] = value or ""
    return values


def lead_all_info(site: Site, request: Request, user: sqlite3.Row, now: float) -> str:
    name, me, lead_id = "lead_all_info", user["user"], _lead_id(request)
    phone = re.sub(r"\D", "", request.get("phone_number"))
    if not lead_id and not phone:
        return site.dialect.error(name, "INVALID SEARCH PARAMETERS", f"{me}||")
    lead = _lead(site, lead_id) if lead_id else None
    if lead is None and not lead_id:
        lead = site.state.one("select * from vicidial_list where phone_number = ? order by lead_id desc", phone)
    if lead is None:
        return site.dialect.error(name, "LEAD NOT FOUND", f"{me}|{lead_id or ''}|{phone}")
    names, values = list(LEAD_COLUMNS), [_shown(lead, column) for column in LEAD_COLUMNS]
    if request.get("custom_fields") == "Y":
        custom = _custom_of(site, lead)
        names += custom
        values += custom.values()
    heading = "|".join(names) + "\n" if request.get("header") == "YES" else ""
    return f"{heading}{'|'.join(values)}\n"


def _shown(lead: sqlite3.Row, column: str) -> str:
    return f"{lead[column]:.2f}" if column == "gmt_offset_now" else str(lead[column])


def lead_field_info(site: Site, request: Request, user: sqlite3.Row, now: float) -> str:
    """The bare value, without a line's end."""
    name, me, lead_id, field = "lead_field_info", user["user"], _lead_id(request), identifier(request.get("field_name"))
    if not lead_id or not field:
        return site.dialect.error(name, "INVALID SEARCH PARAMETERS", f"{me}|{lead_id or ''}|{field}")
    lead = _lead(site, lead_id)
    if lead is None:
        return site.dialect.error(name, "LEAD NOT FOUND", f"{me}|{lead_id}")
    if request.get("custom_fields") == "Y":
        custom = _custom_of(site, lead)
        if not custom:
            return site.dialect.error(name, "LIST NOT FOUND", f"{me}|{lead_id}")
        if field in custom:
            return custom[field]
    elif field in LEAD_COLUMNS:
        return _shown(lead, field)
    return site.dialect.error(name, "LIST FIELD NOT FOUND", f"{me}|{lead_id}")


def add_lead(site: Site, request: Request, user: sqlite3.Row, now: float) -> str:
    name, me = "add_lead", user["user"]
    phone = re.sub(r"\D", "", request.get("phone_number"))
    list_id = int(re.sub(r"\D", "", request.get("list_id")) or 999)
    if not 6 <= len(phone) <= 16:
        return site.dialect.error(name, "INVALID PHONE NUMBER LENGTH", f"{phone}|{me}", dash=True)
    if request.get("dnc_check") == "Y" and site.state.one("select 1 from vicidial_dnc where phone_number = ?", phone):
        return site.dialect.error(name, "PHONE NUMBER IN DNC", f"{phone}|{me}", dash=True)
    if "DUPLIST" in request.get("duplicate_check"):
        twin = site.state.value("select lead_id from vicidial_list where phone_number = ? and list_id = ?", phone, list_id)
        if twin is not None:
            return site.dialect.error(name, "DUPLICATE PHONE NUMBER IN LIST", f"{phone}|{me}|{list_id}|{twin}", dash=True)
    values = {name: value for name, value in _wanted(site, request, 0).items() if name != "status"}
    lead_id = site.state.insert("vicidial_list", phone_number=phone, list_id=list_id, **values)
    site.wrote(now, name, f"lead {lead_id}", phone, changed=True, lead_id=lead_id)
    return f"SUCCESS: {name} LEAD HAS BEEN ADDED - {phone}|{list_id}|{lead_id}||{me}\n"
