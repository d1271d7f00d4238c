"""A desk at work against the double of the dialer: the real client, the real outbox, the machine's clock."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from pydantic import SecretStr

from appliance.calls import effects, events
from appliance.config.load import load_campaign
from appliance.config.settings import DISPOSITIONS, Dialer, DialerKind, Vicidial
from appliance.dialers.desk import Desk
from appliance.dialers.messages import FromDesk
from appliance.dialers.protocol import Entry, EntryKind
from appliance.dialers.vicidial.dialer import VicidialDialer
from appliance.store.outbox import OutboxStore, read_closed
from tests.fakes.vicidial import Double, password_of

CAMPAIGN = load_campaign(Path(__file__).parents[2] / "appliance/campaigns/home_insurance.toml")
SLOTS = {"owner": "yes", "year_built": "1987"}
WAIT_S = 8.0
_M = TypeVar("_M")


class Box:
    """A desk at work, and what it told."""

    def __init__(self, double: Double, folder: Path, **changes: Any) -> None:
        self.double = double
        vici = {
            "url": double.url,
            "user": "apiuser",
            "password": SecretStr(password_of(double, "apiuser")),
            "agent_user": "9001",
            "campaign": "TESTCAMP",
            "transfer_to": "SALESLINE",
            "timeout_s": 1.0,
            "fields": {"owner": "owner_ok"},
        }
        double.define_status(*DISPOSITIONS.values())
        self.site = Vicidial.model_validate(vici | changes.pop("vicidial", {}))
        by_guard = changes.pop("by_guard", frozenset)
        self.settings = Dialer(kind=DialerKind.VICIDIAL, vicidial=self.site, **changes)
        self.path = folder / "outbox.db"
        self.outbox = OutboxStore(self.path)
        self.told: queue.Queue[FromDesk] = queue.Queue()
        self.dialer = VicidialDialer(self.site, lines=2, shadow=self.settings.shadow)
        self.desk = Desk(self.dialer, self.outbox, self.settings, CAMPAIGN, self.told.put, by_guard)
        self.desk.start()
        self._numbers = 0

    def stop(self, limit_s: float = 1.0) -> None:
        self.desk.stop(limit_s)
        self.outbox.close()

    def call(self, *, number: str = "", ids: tuple[str, ...] | None = None) -> tuple[str, str]:
        """A customer answers and is put through to the box: our name of the call, and the dialer's."""
        self._numbers += 1
        lead = self.double.next_lead()
        assert lead is not None
        call_id = self.double.call_answered(lead, f"SIP/carrier-{self._numbers}")
        assert call_id is not None
        incoming = events.Incoming(f"c{self._numbers}", call_id, number or "0", "sip", (call_id,) if ids is None else ids)
        self.desk.arrived(incoming)
        return incoming.call, call_id

    def next(self, kind: type[_M]) -> _M:
        """The next message of this kind; others before it are passed over."""
        deadline = time.monotonic() + WAIT_S
        while True:
            message = self.told.get(timeout=max(0.01, deadline - time.monotonic()))
            if isinstance(message, kind):
                return message

    def all(self, kind: type[_M]) -> list[_M]:
        """All of this kind that were told till now."""
        told = [self.told.get() for _ in range(self.told.qsize())]
        return [message for message in told if isinstance(message, kind)]

    def settled(self, call_id: str) -> Entry | None:
        """What the dialer's log of this call is to say, once that is delivered."""
        return next(
            (
                each.entry
                for each in read_closed(self.path)
                if each.entry.call_id == call_id and each.entry.kind is EntryKind.SETTLE
            ),
            None,
        )

    def concluded(self, call: str, outcome: str, *, transferred: bool = False) -> None:
        self.desk.concluded(effects.Concluded(call, outcome, SLOTS, 12.0, "claims", transferred))


def until(true: Callable[[], bool], why: str, *, within_s: float = WAIT_S) -> None:
    deadline = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline, why
        time.sleep(0.02)
