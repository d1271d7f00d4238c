"""The mind that understands nothing and says back the acts' names: for benches, where thinking must cost no CPU."""

from __future__ import annotations

from appliance.calls.campaign import Campaign
from appliance.calls.effects import Act
from appliance.calls.events import Understanding
from appliance.engines.wire import Clause, Meaning


class EchoMind:
    """Implements `protocols.Mind`."""

    def __init__(self) -> None:
        self._pending: list[Meaning | Clause] = []

    def understand(self, call: str, request: int, question: str | None, text: str) -> None:
        self._pending.append(Meaning(call, request, Understanding()))

    def phrase(self, call: str, request: int, acts: tuple[Act, ...]) -> None:
        text = " ".join(f"{act.kind.value} {act.ref}".strip() + "." for act in acts)
        self._pending.append(Clause(call, request, text, last=True))

    def cancel(self, call: str, request: int | None) -> None:
        self._pending = [p for p in self._pending if p.call != call or request not in (None, p.request)]

    def step(self) -> list[Meaning | Clause]:
        done, self._pending = self._pending, []
        return done


def make(campaign: Campaign) -> EchoMind:
    """See `protocols.MakeMind`."""
    return EchoMind()
