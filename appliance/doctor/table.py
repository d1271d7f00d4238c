"""The settings that must fit what the dialer has: the phone's extension, and the statuses. Pure."""

from __future__ import annotations

from collections.abc import Collection

from appliance.calls.campaign import Campaign
from appliance.config.settings import Dialer
from appliance.doctor.findings import Finding, Level

# Dial plan numbers that VICIdial's own extensions have (its sample dial plan): a phone there never rings.
_RESERVED = {
    *range(8300, 8310),
    8320,
    8352,
    *range(8364, 8370),
    *range(8372, 8378),
}
_RESERVED_PREFIX = "8331"

STOCK_STATUSES = frozenset(
    "A AA AB ADAIR ADC ADCT AFAX AL AM B CALLBK CBHOLD DAIR DC DEC DNC DNCC DNCL ERI N NI NP PM RAXFER SALE XFER".split()
)
"""What every VICIdial has, of those that can be the end of a conversation (its VICIDIAL_statuses.txt)."""
DIALERS_OWN = frozenset("DROP INCALL NA NEW PDROP PU QUEUE XDROP".split())
"""What the dialer writes itself for calls that are under way or met nobody: as an outcome they spoil its statistics."""

ALWAYS = ("busy", "cut_short", "transferred")
"""Outcomes of the product that a campaign does not list."""
BOX_FAILED = frozenset(("technical", "cut_short"))
"""Outcomes that say nothing of the person: the dialer must not count their status as human answered."""


def extension(number: str) -> Finding:
    """Is the phone's extension one of VICIdial's own?"""
    reserved = number.isdecimal() and (int(number) in _RESERVED or number.startswith(_RESERVED_PREFIX))
    if not reserved:
        return Finding("extension", Level.PASS, f"{number} is none of VICIdial's own numbers")
    todo = "give the phone another extension (8371 and 8600 are free), in VICIdial and in sip.username"
    return Finding("extension", Level.FAIL, f"{number} is one of VICIdial's own numbers: the phone will not ring", todo)


def dispositions(settings: Dialer, campaign: Campaign) -> Finding:
    """Does every way that a call can end have a status, and none of those that the dialer needs for itself?"""
    table = {name: settings.status_of(name) for name in _outcomes(campaign)}
    missing = [name for name, status in table.items() if not status]
    if missing:
        found = f"no status for {', '.join(missing)}"
        return Finding("dispositions", Level.FAIL, found, f'add it to [dialer.dispositions]: {missing[0]} = "..."')
    wrong = [f"{name} = {status}" for name, status in table.items() if status in DIALERS_OWN]
    if wrong:
        todo = "the dialer writes these itself, for calls under way or without an agent: choose others in [dialer.dispositions]"
        return Finding("dispositions", Level.FAIL, ", ".join(wrong), todo)
    return Finding("dispositions", Level.PASS, f"each of {len(table)} outcomes has a status")


def statuses(settings: Dialer, campaign: Campaign, confirmed: Collection[str]) -> Finding:
    """Does the dialer have the statuses? Its API does not list them: `confirmed` are those an operator has seen there."""
    needed = {status for name in _outcomes(campaign) if (status := settings.status_of(name))}
    unsure = sorted(needed - STOCK_STATUSES - set(confirmed))
    if not unsure:
        return Finding("statuses", Level.PASS, f"{', '.join(sorted(needed))}: VICIdial's own, or confirmed")
    by_human = {settings.status_of(name) for name in _outcomes(campaign) if name not in BOX_FAILED}
    answered = ", ".join(f"{status} {'Y' if status in by_human else 'N'}" for status in unsure)
    todo = (
        "the API does not list statuses, and the dialer writes unknown ones without a word: add them under Admin, System"
        f" Statuses (human answered: {answered}), then confirm: sidetone doctor --statuses {','.join(unsure)}"
    )
    return Finding("statuses", Level.WARN, f"not VICIdial's own, not confirmed: {', '.join(unsure)}", todo)


def _outcomes(campaign: Campaign) -> list[str]:
    return list(dict.fromkeys([*(outcome.id for outcome in campaign.outcomes), *ALWAYS]))
