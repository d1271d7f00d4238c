"""VICIdial's double as the dialer of a campaign day: who gets a line, and what its tables say afterwards."""

from __future__ import annotations

import time
from typing import Any

from appliance.config.settings import DISPOSITIONS
from tests.fakes.vicidial import Double, Switch, password_of
from tests.lab.dialer.exchange import Routed
from tests.lab.faults import LabError

REMOTE_AGENT, PHONE, CAMPAIGN = "9001", "8371", "TESTCAMP"
CLOSERS, IN_GROUP = "9101", "SALESLINE"
CLOSER_LINES = 6
USER = "apiuser"
HOLD_S = 5.0  # the campaign's drop_call_seconds: so long an answered customer waits for a line
READY_S = 20.0


class Office:
    """The double, with so many leads, and its side of the telephony (`exchange.Routing`, `model.Switch`).

    Use as a context manager; set `switch` when there is an exchange.
    """

    def __init__(self, leads: int) -> None:
        self.double = Double(leads=leads, switch=self)
        self.double.define_status(*DISPOSITIONS.values())
        self.double.set_remote_agent(CLOSERS, number_of_lines=CLOSER_LINES)
        rows = self.double.rows("select lead_id, phone_number from vicidial_list order by lead_id")
        self.lead_ids: list[int] = [row["lead_id"] for row in rows]
        self.numbers: list[str] = [row["phone_number"] for row in rows]
        self.switch: Switch | None = None
        self._calls: dict[int, list[str]] = {}
        self._leads: dict[str, int] = {}

    def __enter__(self) -> Office:
        return self

    def __exit__(self, *_: object) -> None:
        self.double.close()

    def settings(self) -> dict[str, Any]:
        """The table dialer.vicidial of the box's settings."""
        return {
            "url": self.double.url,
            "user": USER,
            "password": password_of(self.double, USER),
            "agent_user": REMOTE_AGENT,
            "campaign": CAMPAIGN,
            "transfer_to": IN_GROUP,
            "overflow_to": IN_GROUP,
            "rescue_to": IN_GROUP,
            "timeout_s": 2.0,
        }

    # The double's hands, from its own threads ------------------------------------------------------------------------

    def hangup(self, channel: str) -> None:
        if self.switch is not None:
            self.switch.hangup(channel)

    def redirect(self, channel: str, context: str, exten: str) -> None:
        if self.switch is not None:
            self.switch.redirect(channel, context, exten)

    def deliver(self, channel: str, call_id: str, exten: str) -> None:
        if self.switch is not None:
            self.switch.deliver(channel, call_id, exten)

    # What the exchange tells, on its thread --------------------------------------------------------------------------

    def answered(self, lead_id: int, channel: str) -> Routed | None:
        call_id = self.double.call_answered(lead_id, channel, wait_s=HOLD_S)
        if call_id is None:
            return None
        self._calls.setdefault(lead_id, []).append(call_id)
        self._leads[call_id] = lead_id
        has_line = any(row["callerid"] == call_id for row in self.double.lines())
        return Routed(call_id, PHONE if has_line else None)

    def box_hung_up(self, call_id: str) -> None:
        self.double.leg_ended(call_id, by_box=True)

    def customer_hung_up(self, call_id: str) -> None:
        self.double.customer_hung_up(call_id)

    def ended(self, call_id: str) -> None:
        self.double.customer_hung_up(call_id)  # by whomever: with a closer, say

    # The operator ----------------------------------------------------------------------------------------------------

    def ready_lines(self) -> int:
        """How many lines could take a call now."""
        return sum(row["status"] == "READY" and bool(row["routable"]) for row in self.double.lines())

    def wait_asked(self) -> None:
        """Until the box has asked for lines and one is ready. Raises LabError where it does not."""
        deadline = time.monotonic() + READY_S
        while not (self.double.ledger.of("update_remote_agent") and self.ready_lines()):
            if time.monotonic() > deadline:
                raise LabError("the box did not ask the dialer for lines", hint="its log says why")
            time.sleep(0.05)

    def set_lines(self, count: int) -> int:
        """In the admin pages; how many there were."""
        before = int(self.double.remote_agent(REMOTE_AGENT)["number_of_lines"])
        self.double.set_remote_agent(REMOTE_AGENT, number_of_lines=count)
        return before

    def go_down(self) -> None:
        self.double.go_down()

    def come_up(self) -> None:
        self.double.come_up()

    # What the tables say ---------------------------------------------------------------------------------------------

    def call_id(self, lead_id: int, nth: int) -> str | None:
        """The id of this lead's call, counted from 0; None before the customer has answered."""
        return next(iter(self._calls.get(lead_id, ())[nth : nth + 1]), None)

    def lead_id(self, call_id: str) -> int | None:
        return self._leads.get(call_id)

    def had_line(self, call_id: str) -> bool:
        """Whether the box was rung for it."""
        return any(call.call_id == call_id and call.line for call in self.double.calls())

    def log_status(self, call_id: str) -> str:
        return str(self.double.log(call_id)["status"])

    def lead_status(self, lead_id: int) -> str:
        return str(self.double.lead(lead_id)["status"])

    def written(self, call_id: str) -> str | None:
        """The last status that came through the API into this call's log."""
        last = None
        for write in self.double.ledger.writes:
            if write.call_id == call_id and write.function == "update_log_entry":
                last = write.value
            elif write.call_id == call_id and write.function == "ra_call_control" and write.changed:
                last = write.value.split()[1]
        return last

    def moved(self, call_id: str) -> int:
        """In-group transfers made of this call."""
        return sum(
            write.call_id == call_id and write.changed and write.value.startswith("INGROUPTRANSFER")
            for write in self.double.ledger.writes
        )

    def summaries(self, lead_id: int) -> tuple[str, ...]:
        """What humans read of this lead when its call reached them."""
        return tuple(pop.comments for pop in self.double.ledger.pops if pop.lead_id == lead_id)

    def has_callback(self, lead_id: int) -> bool:
        return any(row["callback_time"] > "2000" for row in self.double.callbacks(lead_id))

    def is_dnc(self, number: str) -> bool:
        return number in self.double.dnc()

    def twice(self) -> list[str]:
        return self.double.delivered_twice()

    def out_of_order(self) -> list[str]:
        return self.double.out_of_order()

    def inert(self) -> list[str]:
        return [seen.function for seen in self.double.ledger.inert_calls]

    def violations(self) -> list[str]:
        return list(self.double.violations)

    def busy_lines(self) -> list[str]:
        return [
            f"line {row['user']} is {row['status']} with {row['callerid']}" for row in self.double.lines() if row["callerid"]
        ]

    def leaks(self, text: str) -> list[str]:
        """The users whose password is in the text."""
        return self.double.leaks(text)
