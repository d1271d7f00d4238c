"""What both API scripts stand on: the request as PHP reads it, the log-in with its lock, permissions, the version line."""

from __future__ import annotations

import re
import sqlite3
from dataclasses import dataclass
from urllib.parse import parse_qsl

from tests.fakes.vicidial.dialect import AGENT_BUILD, Dialect
from tests.fakes.vicidial.ledger import Ledger, Write
from tests.fakes.vicidial.model import Model
from tests.fakes.vicidial.state import State

LOCK_TRIES = 10
LOCK_S = 15 * 60
STATUS_WIDTH = 6
NOT_AN_ID = re.compile(r"[^-_0-9a-zA-Z]")


def identifier(text: str) -> str:
    """What the scripts leave of a text that should be an id."""
    return NOT_AN_ID.sub("", text)


@dataclass(frozen=True)
class Request:
    """`api`: "agent" or "admin". `pairs`: the parameters in their order, those of the address before those of the body."""

    api: str
    method: str
    pairs: tuple[tuple[str, str], ...]
    first: tuple[str, ...] = ()

    @classmethod
    def read(cls, api: str, method: str, query: str, body: str = "") -> Request:
        pairs, first = [], []
        for text in (query, body):
            found = parse_qsl(text, keep_blank_values=True, errors="replace")
            pairs += found
            first += [name for name, _ in found[:1]]
        return cls(api, method, tuple(pairs), tuple(first))

    @property
    def params(self) -> dict[str, str]:
        """The last of two wins."""
        return dict(self.pairs)

    def get(self, name: str) -> str:
        """ "" where it is missing; blanks around it are not part of a value."""
        return self.params.get(name, "")

    @property
    def function(self) -> str:
        return identifier(self.get("function"))

    @property
    def value(self) -> str:
        """The agent script's `value`. In a POST without one it is the last parameter's: a slip in its reading loop."""
        if "value" in self.params or self.method != "POST" or not self.pairs:
            return self.get("value")
        return self.pairs[-1][1]


@dataclass(frozen=True)
class Login:
    """`message`: GOOD, BAD or LOCK."""

    message: str
    user: sqlite3.Row | None


@dataclass(frozen=True)
class Site:
    """One VICIdial: its tables, its calls, and how its scripts talk."""

    state: State
    model: Model
    ledger: Ledger
    dialect: Dialect
    build: str

    def stamp(self, at: float) -> str:
        return f"{self.model.local(at):%Y-%m-%d %H:%M:%S}"

    def login(self, request: Request, now: float) -> Login:
        """Count failures as user_authorization does: VICIDIAL.md Part II section 7. Both APIs share the counter."""
        user = self.state.one("select * from vicidial_users where user = ?", request.get("user"))
        if user is None:
            return Login("BAD", None)
        failures, over = user["failed_login_count"], now - user["last_login_date"] >= LOCK_S
        if failures >= LOCK_TRIES and not over:
            return Login("LOCK", user)
        if user["pass"] == request.get("pass") and user["user_level"] > 0:
            self.state.update("vicidial_users", {"user": user["user"]}, failed_login_count=0, last_login_date=now)
            return Login("GOOD", user)
        if failures >= LOCK_TRIES:
            self.state.update("vicidial_users", {"user": user["user"]}, failed_login_count=1, last_login_date=now)
        else:
            self.state.update("vicidial_users", {"user": user["user"]}, failed_login_count=failures + 1)
        return Login("BAD", user)

    def may(self, user: sqlite3.Row, function: str) -> bool:
        allowed = user["api_allowed_functions"].split()
        return function in allowed or "ALL_FUNCTIONS" in allowed

    def version(self, api: str, now: float) -> str:
        local = self.model.local(now)
        if api == "agent":
            return f"VERSION: 2.14-82|BUILD: {AGENT_BUILD}|DATE: {self.stamp(now)}|EPOCH: {int(now)}\n"
        summer = int(bool(local.dst()))
        offset = local.utcoffset()
        hours = offset.total_seconds() / 3600 if offset else 0.0
        return (
            f"VERSION: 2.14-202|BUILD: {self.build}|DATE: {self.stamp(now)}|EPOCH: {int(now)}|DST: {summer}|"
            f"TZ: {hours - summer:.2f}|TZNOW: {hours:.2f}|\n"
        )

    def status(self, text: str, what: str) -> str:
        """A status as it is stored: cut in silence, whatever it says. The ledger is less patient."""
        kept = identifier(text)[:STATUS_WIDTH]
        if len(text) > STATUS_WIDTH:
            self.ledger.violations.append(f"{what}: status {text!r} is longer than {STATUS_WIDTH}")
        elif self.state.one("select 1 from vicidial_statuses where status = ?", kept) is None:
            self.ledger.violations.append(f"{what}: no status {text!r} is defined")
        return kept

    def wrote(self, now: float, function: str, entity: str, value: str, *, changed: bool, lead_id: int = 0, call_id: str = "",
              repeats: bool = True) -> None:  # fmt: skip
        self.ledger.wrote(Write(now, function, entity, value, changed, lead_id, call_id), repeats=repeats)
