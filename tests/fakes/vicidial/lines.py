"""The remote agents' lines: rows of vicidial_live_agents that come, go and are freed in VICIdial's own time."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from tests.fakes.vicidial.schedule import Schedule
from tests.fakes.vicidial.state import State

Span = tuple[float, float]


@dataclass(frozen=True)
class Timing:
    """Seconds, measured on the running dialer (VICIDIAL.md Part II); a pair is the least and the most."""

    control_to_switch_s: Span = (0.010, 0.100)
    transfer_to_closer_s: Span = (1.05, 1.23)
    next_call_s: Span = (0.020, 0.948)
    hung_up_to_dead_s: Span = (0.26, 0.77)
    hung_up_to_ready_s: Span = (1.0, 2.6)
    active_to_ready_s: Span = (1.3, 3.0)
    inactive_to_last_call_s: Span = (15.4, 16.6)
    inactive_to_paused_s: Span = (21.0, 33.0)
    inactive_to_gone_s: Span = (36.0, 46.0)
    tick_s: float = 10.04
    first_tick_s: float = 5.0
    race_s: float = 0.005
    race_lost_share: float = 1 / 11
    statistics_s: float = 40.0
    in_group_drop_s: float = 360.0


class Lines:
    """`on_ready(user, now)` is called whenever a line can take a call."""

    def __init__(self, state: State, schedule: Schedule, timing: Timing, chance: random.Random) -> None:
        self._state, self._schedule, self._timing, self._chance = state, schedule, timing, chance
        self._wanted: dict[str, int] = {}  # user -> which decision about this line holds; even: wanted
        self.on_ready: Callable[[str, float], None] = lambda user, now: None

    def span(self, span: Span) -> float:
        return self._chance.uniform(*span)

    def start(self, now: float) -> None:
        """Every ACTIVE remote agent's lines are there and READY, as if it had been on for long."""
        self._state.run("delete from vicidial_live_agents")
        for agent in self._state.all("select * from vicidial_remote_agents where status = 'ACTIVE'"):
            for user in self.users(agent):
                self._wanted[user] = 0
                self.come(user, agent["user_start"], now)

    def users(self, agent: sqlite3.Row) -> list[str]:
        """User Start and the numbers after it, one per line."""
        return [str(int(agent["user_start"]) + line) for line in range(agent["number_of_lines"])]

    def changed(self, user_start: str, now: float) -> None:
        """vicidial_remote_agents says something new: the daemon will see it in its own time."""
        agent = self._state.one("select * from vicidial_remote_agents where user_start = ?", user_start)
        if agent is None:
            return
        wanted = set(self.users(agent)) if agent["status"] == "ACTIVE" else set()
        rows = self._state.all("select user from vicidial_live_agents where ra_user = ?", user_start)
        for user in sorted(wanted | {row["user"] for row in rows} | self._coming(agent)):
            decision = self._wanted.get(user, 1)
            if (user in wanted) is (decision % 2 == 0):
                continue
            self._wanted[user] = decision + 1
            if user in wanted:
                self._later(self._timing.active_to_ready_s, user, now, partial(self.come, user, user_start))
            else:
                self._drain(user, now)

    def _drain(self, user: str, now: float) -> None:
        self._later(self._timing.inactive_to_last_call_s, user, now, lambda _: self._set(user, routable=0))
        self._later(self._timing.inactive_to_paused_s, user, now, lambda _: self._set(user, status="PAUSED"))
        self._later(self._timing.inactive_to_gone_s, user, now, lambda _: self.remove(user))

    def _coming(self, agent: sqlite3.Row) -> set[str]:
        """Lines that were decided to come and have no row yet."""
        first = int(agent["user_start"])
        return {user for user, decision in self._wanted.items() if decision % 2 == 0 and 0 <= int(user) - first < 50}

    def _later(self, span: Span, user: str, now: float, job: Callable[[float], None]) -> None:
        decision = self._wanted[user]

        def unless_changed(due: float) -> None:
            if self._wanted[user] == decision:
                job(due)

        self._schedule.at(now + self.span(span), unless_changed)

    def _set(self, user: str, **columns: object) -> None:
        self._state.update("vicidial_live_agents", {"user": user}, **columns)

    def come(self, user: str, ra_user: str, now: float) -> None:
        """The row is there, READY, or INCALL where it was on its way out with a call."""
        row = self._state.one("select * from vicidial_live_agents where user = ?", user)
        if row is None:
            agent = self._state.one("select * from vicidial_remote_agents where user_start = ?", ra_user)
            assert agent is not None
            self._state.insert("vicidial_live_agents", user=user, ra_user=ra_user, status="READY",
                               campaign_id=agent["campaign_id"], conf_exten=agent["conf_exten"])  # fmt: skip
        else:
            status = row["status"] if row["status"] != "PAUSED" else "INCALL" if row["callerid"] else "READY"
            self._set(user, status=status, routable=1)
        if row is None or not row["callerid"]:
            self.on_ready(user, now)

    def remove(self, user: str) -> None:
        """The row goes; a call on it stays up."""
        self._state.run("delete from vicidial_live_agents where user = ?", user)

    def find(self, group: str) -> sqlite3.Row | None:
        """A READY line for a campaign's or an in-group's call."""
        ready = self._state.all(
            "select l.*, a.closer_campaigns from vicidial_live_agents l "
            "join vicidial_remote_agents a on a.user_start = l.ra_user where l.status = 'READY' and l.routable = 1 "
            "order by l.calls_today, l.user"
        )
        return next((row for row in ready if row["campaign_id"] == group or f" {group} " in row["closer_campaigns"]), None)

    def take(self, user: str, call_id: str, uniqueid: str, lead_id: int, channel: str) -> None:
        calls_today = self._state.value("select calls_today from vicidial_live_agents where user = ?", user)
        self._set(user, status="QUEUE", comments="AUTO", callerid=call_id, uniqueid=uniqueid, lead_id=lead_id, channel=channel,
                  calls_today=calls_today + 1, dead=0)  # fmt: skip

    def free(self, call_id: str, now: float) -> None:
        """Whoever has this call is READY again; a line on its way out stays PAUSED."""
        row = self._state.one("select * from vicidial_live_agents where callerid = ?", call_id)
        if row is None:
            return
        status = "PAUSED" if row["status"] == "PAUSED" else "READY"
        self._set(row["user"], status=status, comments="REMOTE", callerid="", uniqueid="", lead_id=0, channel="", dead=0)
        if status == "READY":
            self.on_ready(row["user"], now)

    def hung_up(self, call_id: str, now: float) -> None:
        """Nobody told the daemon: it sees for itself that the call is gone, first DEAD, then READY."""

        def dead(due: float) -> None:
            self._state.update("vicidial_live_agents", {"callerid": call_id, "status": "INCALL"}, dead=1)

        self._schedule.at(now + self.span(self._timing.hung_up_to_dead_s), dead)
        self._schedule.at(now + self.span(self._timing.hung_up_to_ready_s), lambda due: self.free(call_id, due))
