"""What can be asked of the double afterwards: what its tables say, and what its clients did wrong."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tests.fakes.vicidial.clock import Clock
from tests.fakes.vicidial.ledger import Ledger
from tests.fakes.vicidial.model import Call, Model, Phase
from tests.fakes.vicidial.state import State

CAMPAIGN = "TESTCAMP"
STUCK_S = 5.0
Row = dict[str, Any]


class Records:
    """Safe for threads: everything is read under the double's lock, with all done that was due."""

    def __init__(self, clock: Clock, state: State, ledger: Ledger, model: Model) -> None:
        self.clock, self.state, self.ledger, self.model = clock, state, ledger, model
        self._changed = threading.Condition(threading.RLock())
        self._watched: list[Path] = []
        self._expected: dict[str, str] = {}

    def _now(self) -> float:
        """Under the lock, with everything done that was due before."""
        now = self.clock.now()
        self.model.schedule.run(now)
        return now

    # What is in the tables

    def rows(self, sql: str, *values: object) -> list[Row]:
        """For a question that has no method of its own."""
        with self._changed:
            self._now()
            return [dict(row) for row in self.state.all(sql, *values)]

    def lead(self, lead_id: int) -> Row:
        return self.rows("select * from vicidial_list where lead_id = ?", lead_id)[0]

    def log(self, call_id: str) -> Row:
        """The call's log entry, of whichever table."""
        with self._changed:
            self._now()
            return dict(self.model.log_of(self.model.calls[call_id]))

    def line(self, user: str) -> Row | None:
        return next(iter(self.rows("select * from vicidial_live_agents where user = ?", user)), None)

    def lines(self, user_start: str = "9001") -> list[Row]:
        return self.rows("select * from vicidial_live_agents where ra_user = ? order by user", user_start)

    def remote_agent(self, user_start: str = "9001") -> Row:
        return self.rows("select * from vicidial_remote_agents where user_start = ?", user_start)[0]

    def callbacks(self, lead_id: int) -> list[Row]:
        return self.rows("select * from vicidial_callbacks where lead_id = ?", lead_id)

    def custom(self, lead_id: int) -> dict[str, str]:
        found = self.rows("select field_label, value from custom_values where lead_id = ?", lead_id)
        return {row["field_label"]: row["value"] for row in found}

    def dnc(self, scope: str = "SYSTEM_INTERNAL") -> set[str]:
        if scope == "SYSTEM_INTERNAL":
            return {row["phone_number"] for row in self.rows("select * from vicidial_dnc")}
        return {row["phone_number"] for row in self.rows("select * from vicidial_campaign_dnc where campaign_id = ?", scope)}

    def calls(self) -> list[Call]:
        """Every call so far, the oldest first."""
        with self._changed:
            self._now()
            return list(self.model.calls.values())

    def drops_today(self, campaign: str = CAMPAIGN) -> tuple[int, int]:
        """Drops and calls as the statistics have them: up to 40 s old, past hours counted once."""
        row = self.rows("select * from vicidial_campaigns where campaign_id = ?", campaign)[0]
        return row["drops_today"], row["calls_today"]

    # Judgement

    @property
    def violations(self) -> list[str]:
        return self.ledger.violations

    def expect(self, call_id: str, status: str) -> None:
        """The status with which this call must end, for `wrong_status`."""
        self._expected[call_id] = status

    def wrong_status(self) -> list[str]:
        """Calls whose log says something else than was expected."""
        found = {call_id: self.log(call_id)["status"] for call_id in self._expected}
        return [
            f"{call_id} {found[call_id]}, not {status}"
            for call_id, status in self._expected.items()
            if found[call_id] != status
        ]

    def left_as_drop(self) -> list[str]:
        """Calls that the box had and that are booked as DROP: in the log, or on a lead not called since."""
        latest = {call.lead_id: call.call_id for call in self.calls()}
        had = [call for call in self.calls() if call.line and not call.inbound and call.phase in (Phase.CONTROLLED, Phase.OVER)]
        return [
            call.call_id
            for call in had
            if self.log(call.call_id)["status"] == "DROP"
            or (latest[call.lead_id] == call.call_id and self.lead(call.lead_id)["status"] == "DROP")
        ]

    def unsettled(self) -> list[str]:
        """Calls that the box had and that are over, and nobody ever gave them an outcome."""
        settled = {
            write.call_id
            for write in self.ledger.writes
            if write.function == "update_log_entry" or (write.function == "ra_call_control" and write.changed)
        }
        over = (call for call in self.calls() if call.line and not call.inbound and call.phase is Phase.OVER)
        return [call.call_id for call in over if call.call_id not in settled]

    def lines_stuck(self) -> list[str]:
        """Lines that are kept by a call which ended some seconds ago."""
        now = self.clock.now()
        held = {row["callerid"]: row["user"] for row in self.rows("select * from vicidial_live_agents where callerid != ''")}
        over = (call for call in self.calls() if call.phase is Phase.OVER and now - call.hung_up_at > STUCK_S)
        return [f"{held[call.call_id]} by {call.call_id}" for call in over if call.call_id in held]

    def delivered_twice(self) -> list[str]:
        return list(self.ledger.twice)

    def out_of_order(self) -> list[str]:
        return self.ledger.out_of_order()

    def _passwords(self) -> dict[str, str]:
        return {row["user"]: row["pass"] for row in self.state.all("select user, pass from vicidial_users")}

    def leaks(self, text: str) -> list[str]:
        """The users whose password is in the text, as it is or as an address has it."""
        with self._changed:
            secrets = self._passwords()
        return [user for user, secret in secrets.items() if secret in text or quote(secret, safe="") in text]

    def watch(self, log: Path) -> None:
        """A log that `check` has to find free of passwords. It need not exist yet."""
        self._watched.append(log)

    def check(self, *texts: str) -> None:
        """Raises AssertionError with everything that must never happen and did: violations, passwords in logs."""
        logs = {str(path): path.read_text(errors="replace") for path in self._watched if path.exists()}
        for number, text in enumerate(texts, start=1):
            logs[f"text {number}"] = text
        found = [*self.violations]
        found += [f"the password of {user} is in {name}" for name, text in logs.items() for user in self.leaks(text)]
        assert not found, "\n".join(("the dialer's double saw:", *found))
