"""What clients did to the double, and what of it they must never do."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

INERT = frozenset(
    "external_hangup external_status external_pause external_dial transfer_conference park_call send_dtmf recording "
    "audio_playback change_ingroups logout update_fields pause_code".split()
)
"""Functions of the agent API that answer SUCCESS and do nothing for a remote agent: VICIDIAL.md A5."""

WRITES = frozenset("ra_call_control update_lead add_lead update_log_entry add_dnc_phone update_remote_agent".split()) | INERT


@dataclass(frozen=True)
class Seen:
    """One request, passwords out. `fault` names what was done to it, "" for nothing."""

    at: float
    api: str
    function: str
    params: dict[str, str]
    reply: str
    fault: str = ""


@dataclass(frozen=True)
class Write:
    """One write that the dialer took. `changed`: something is different after it. `entity`: what it is about."""

    at: float
    function: str
    entity: str
    value: str
    changed: bool
    lead_id: int = 0
    call_id: str = ""


@dataclass(frozen=True)
class Pop:
    """What a human's screen showed the moment an in-group's call reached them."""

    at: float
    call_id: str
    lead_id: int
    user: str
    comments: str
    custom: dict[str, str]


@dataclass
class Ledger:
    requests: list[Seen] = field(default_factory=list)
    writes: list[Write] = field(default_factory=list)
    pops: list[Pop] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    voicemail_hits: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)
    _calls: list[tuple[int, str]] = field(default_factory=list)
    _latest: dict[int, float] = field(default_factory=dict)

    def call_began(self, now: float, lead_id: int, call_id: str) -> None:
        self._calls.append((lead_id, call_id))
        self._latest[lead_id] = now

    def wrote(self, write: Write, *, repeats: bool = True) -> None:
        """Take down a write. `repeats`: doing it again without a change is a delivery too many.

        A new call to the same lead starts afresh: the same words about another call are no repetition.
        """
        if repeats and not write.changed and any(self._same(write, earlier) for earlier in self.writes):
            self.twice.append(f"{write.function} {write.entity} {write.value}")
        self.writes.append(write)

    def _same(self, write: Write, earlier: Write) -> bool:
        same = (write.function, write.entity, write.value) == (earlier.function, earlier.entity, earlier.value)
        return same and (write.lead_id == 0 or earlier.at >= self._latest.get(write.lead_id, 0.0))

    def of(self, function: str) -> list[Seen]:
        """All requests for one function."""
        return [seen for seen in self.requests if seen.function == function]

    def writes_of(self, lead_id: int) -> list[Write]:
        """In the order in which the dialer took them."""
        return [write for write in self.writes if write.lead_id == lead_id]

    @property
    def inert_calls(self) -> list[Seen]:
        return [seen for seen in self.requests if seen.function in INERT]

    def out_of_order(self) -> list[str]:
        """Repairs of an older call's log after those of a newer call with the same lead."""
        order = {call_id: place for place, (_, call_id) in enumerate(self._calls)}
        newest: dict[int, int] = {}
        late = []
        for write in self.writes:
            if write.function == "update_log_entry" and write.call_id in order:
                place = order[write.call_id]
                if place < newest.get(write.lead_id, -1):
                    late.append(f"{write.call_id} {write.value}")
                newest[write.lead_id] = max(place, newest.get(write.lead_id, -1))
        return late


def redacted(params: dict[str, str], secrets: Iterable[str]) -> dict[str, str]:
    hide = {*secrets, params.get("pass", "")}
    return {name: without(value, hide) for name, value in params.items()}


def without(text: str, secrets: Iterable[str]) -> str:
    for secret in secrets:
        if secret:
            text = text.replace(secret, "***")
    return text
