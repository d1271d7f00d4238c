"""A call on paper: the record that the store keeps of it, and its transcript as JSON and as text. Pure."""

from __future__ import annotations

import msgspec


class Turn(msgspec.Struct, frozen=True):
    """See `calls.effects.TurnTaken`; `who` is "caller" or "agent"."""

    who: str
    text: str
    start_s: float
    end_s: float
    gap_ms: float | None
    cut: bool


class CallRecord(msgspec.Struct, frozen=True):
    """One call. `id` is unique for ever, `call` within one run. `outcome` is None while the call is up.

    `dialer_call_id` and `lead_id` are the dialer's, None where they were never known; `status` is what the dialer was to
    have for the outcome. `transferred`: a human took the caller. `shadow`: the box only listened and wrote nothing.
    """

    id: int
    call: str
    started_at: str
    caller_name: str
    caller_number: str
    sip_call_id: str
    outcome: str | None = None
    slots: dict[str, str] = {}
    duration_s: float | None = None
    recording: str | None = None
    transcript: str | None = None
    dialer_call_id: str | None = None
    lead_id: int | None = None
    status: str | None = None
    transferred: bool = False
    shadow: bool = False
    turns: tuple[Turn, ...] = ()


def as_json(record: CallRecord) -> str:
    """For programs."""
    return msgspec.json.format(msgspec.json.encode(record), indent=2).decode() + "\n"


def as_text(record: CallRecord) -> str:
    """For people: a head, then one line a turn with the time it began."""
    caller = " ".join(part for part in (record.caller_name, record.caller_number) if part) or "unknown"
    head = [
        f"Call {record.id} from {caller}",
        f"Started {record.started_at}, {_clock(record.duration_s or 0.0)} long, outcome: {record.outcome or 'none yet'}",
        *(f"{slot}: {value}" for slot, value in record.slots.items()),
    ]
    lines = []
    for turn in record.turns:
        gap = f"  [after {turn.gap_ms:.0f} ms]" if turn.gap_ms is not None else ""
        lines.append(f"{_clock(turn.start_s)}  {turn.who.capitalize():6}  {turn.text}{' --' if turn.cut else ''}{gap}")
    return "\n".join([*head, "", *lines]) + "\n"


def _clock(seconds: float) -> str:
    tenths = round(seconds * 10)
    return f"{tenths // 600:02}:{tenths // 10 % 60:02}.{tenths % 10}"
