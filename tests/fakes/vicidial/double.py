"""The front of the double: what tests, the lab and people call. Safe for threads."""

from __future__ import annotations

import random
import threading
from datetime import UTC, tzinfo

from tests.fakes.vicidial import admin_api, agent_api
from tests.fakes.vicidial.clock import Clock, RealClock, SteppedClock
from tests.fakes.vicidial.dialect import BUILD, Dialect
from tests.fakes.vicidial.faults import PAGE, Fault, FaultKind, Faults
from tests.fakes.vicidial.ledger import INERT, WRITES, Ledger, Seen, redacted, without
from tests.fakes.vicidial.lines import Timing
from tests.fakes.vicidial.model import Model, NoSwitch, Switch
from tests.fakes.vicidial.records import CAMPAIGN, Records
from tests.fakes.vicidial.server import Reply, WebServer
from tests.fakes.vicidial.site import Request, Site
from tests.fakes.vicidial.state import SEED_LEADS, SEED_LINES, State, seed

EXCUSED_S = 15.0  # after an outage a box may still end legs that it could not tell us of


class Double(Records):
    """Starts on construction, with the site of VICIDIAL.md. Use as a context manager, or call `close`.

    With a `SteppedClock` time moves by `step` alone. `switch` gets what the dialer does to customers' channels.
    """

    def __init__(
        self,
        *,
        path: str = ":memory:",
        clock: Clock | None = None,
        dialect: Dialect = Dialect.SOURCE,
        build: str = BUILD,
        timing: Timing | None = None,
        switch: Switch | None = None,
        chance: int = 1,
        leads: int = SEED_LEADS,
        lines: int = SEED_LINES,
        zone: tzinfo = UTC,
        port: int = 0,
    ) -> None:
        clock, state, ledger = clock or RealClock(), State(path), Ledger()
        now = clock.now()
        if state.is_new:
            seed(state, now, leads, lines)
        model = Model(state, ledger, timing or Timing(), random.Random(chance), switch or NoSwitch(), zone)
        super().__init__(clock, state, ledger, model)
        self.site = Site(state, model, ledger, dialect, build)
        self.forbid_writes = False
        self.excuse_bye = False
        self._faults = Faults()
        self._down_at: float | None = None
        self._up_at = float("-inf")
        self._stopping = threading.Event()
        self.model.start(now)
        self._daemon: threading.Thread | None = None
        if not isinstance(self.clock, SteppedClock):
            self._daemon = threading.Thread(target=self._run, name="vicidial-daemons", daemon=True)
            self._daemon.start()
        self._web = WebServer(self._answer, port)

    def __enter__(self) -> Double:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Safe to call twice."""
        self._stopping.set()
        self._web.go_down()
        with self._changed:
            self._changed.notify_all()
        if self._daemon is not None:
            self._daemon.join()
            self._daemon = None
        self.state.close()

    @property
    def url(self) -> str:
        return self._web.url

    # Time

    def step(self, seconds: float) -> None:
        """Move a stepped clock, running everything that falls due at its own time."""
        assert isinstance(self.clock, SteppedClock), "the machine's clock goes by itself"
        end = self.clock.now() + seconds
        while (due := self._next_due()) is not None and due <= end:
            self.clock.set(due)
            with self._changed:
                self.model.schedule.run(due)
            self._tell_switch()
        self.clock.set(end)
        self._tell_switch()

    def _next_due(self) -> float | None:
        with self._changed:
            return self.model.schedule.next_due

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._tell_switch()
            with self._changed:
                now = self.clock.now()
                self.model.schedule.run(now)
                due = self.model.schedule.next_due
                if not self.model.commands and not self._stopping.is_set():
                    self._changed.wait(None if due is None else max(0.0, due - now))

    def _tell_switch(self) -> None:
        """Not under the lock: a switch may well call back."""
        with self._changed:
            commands, self.model.commands = self.model.commands, []
        for command in commands:
            try:
                command()
            except Exception as error:  # noqa: BLE001 the daemon's thread must live; the test fails by the violation
                self.ledger.violations.append(f"the switch failed: {error!r}")

    # The APIs

    def _answer(self, request: Request) -> Reply:
        with self._changed:
            now = self._now()
            fault = self._faults.pick(request.function, now)
            body = self._body(request, now) if fault is None or fault.kind.writes else ""
            self._take_down(request, body, fault, now)
            self._changed.notify_all()
        return Reply(body) if fault is None else self._faulty(fault, body)

    def _body(self, request: Request, now: float) -> str:
        if request.api == "agent":
            return agent_api.answer(self.site, request, now)
        return admin_api.answer(self.site, request, now)

    def _faulty(self, fault: Fault, body: str) -> Reply:
        match fault.kind:
            case FaultKind.SLOW:
                self._stopping.wait(fault.delay_s)
                return Reply(body, cut=self._stopping.is_set())
            case FaultKind.STATUS_500:
                return Reply(status=500)
            case FaultKind.HTML:
                return Reply(PAGE)
            case FaultKind.EMPTY:
                return Reply()
            case FaultKind.TRUNCATED:
                return Reply(body[: len(body) // 2])
            case FaultKind.CUT_BEFORE | FaultKind.CUT_AFTER:
                return Reply(cut=True)

    def _take_down(self, request: Request, body: str, fault: Fault | None, now: float) -> None:
        secrets = self._passwords()
        params = redacted(request.params, secrets.values())
        hidden = without(body, {*secrets.values(), request.get("pass")})
        kind = "" if fault is None else fault.kind.value
        self.ledger.requests.append(Seen(now, request.api, request.function, params, hidden, kind))
        if request.function in INERT:
            self.ledger.violations.append(f"{request.function} was called: it does nothing for a remote agent")
        if self.forbid_writes and request.function in WRITES:
            self.ledger.violations.append(f"{request.function} was called where nothing may be written")

    def fault(self, kind: FaultKind, function: str = "", *, times: int | None = None, for_s: float | None = None,
              delay_s: float = 0.0) -> None:  # fmt: skip
        """From now on, for one function or all: so many times, so long, or until `clear_faults`."""
        with self._changed:
            until = None if for_s is None else self.clock.now() + for_s
            self._faults.add(Fault(kind, function, times, until, delay_s))

    def clear_faults(self) -> None:
        with self._changed:
            self._faults.clear()

    def go_down(self) -> None:
        """The web server dies: connections are cut, new ones refused. The calls and the daemons go on."""
        self._down_at = self.clock.now()
        self._web.go_down()

    def come_up(self) -> None:
        self._web.come_up()
        self._down_at, self._up_at = None, self.clock.now()

    # The telephony's side

    def next_lead(self, campaign: str = CAMPAIGN) -> int | None:
        """The next of the hopper, handed out once; None when all are called."""
        with self._changed:
            return self.model.next_lead(campaign)

    def call_answered(self, lead_id: int, channel: str, *, wait_s: float = 0.0, campaign: str = CAMPAIGN) -> str | None:
        """A customer answered on `channel`. The call's id when a READY line has it: ring its phone with that From name.

        None: no line was free, the dialer itself books a DROP. With `wait_s` the customer waits so long for a line, the
        id comes at once and `Switch.deliver` later.
        """
        with self._changed:
            call_id = self.model.answered(lead_id, channel, campaign, wait_s, self._now())
            self._changed.notify_all()
            return call_id

    def customer_hung_up(self, call_id: str) -> None:
        """The customer is gone, wherever they were by then. `call_id`: any of the call's ids."""
        with self._changed:
            self.model.customer_hung_up(call_id, self._now())
            self._changed.notify_all()

    def leg_ended(self, call_id: str, *, by_box: bool = False) -> None:
        """The leg to the phone ended. `by_box`: its BYE came from the phone; without control before it a violation."""
        with self._changed:
            now = self._now()
            self.model.leg_ended(call_id, by_box, self._excused(call_id, now), now)
            self._changed.notify_all()

    def _excused(self, call_id: str, now: float) -> bool:
        """Control was tried, or could not be: the API is down or was a moment ago."""
        tried = any(seen.params.get("value") == call_id for seen in self.ledger.requests if seen.function == "ra_call_control")
        return tried or self.excuse_bye or self._down_at is not None or now - self._up_at < EXCUSED_S

    def referred(self, call_id: str) -> None:
        """The box sent REFER and the customer is elsewhere: VICIdial does not know, the line stays INCALL."""
        with self._changed:
            self.model.refer(call_id)

    def landed_in_voicemail(self, call_id: str) -> None:
        """The phone refused or did not answer. For VICIdial the call goes on, and can still be moved."""
        with self._changed:
            self.ledger.voicemail_hits.append(call_id)

    # The operator's side

    def set_user(self, user: str, *, password: str | None = None, **columns: object) -> None:
        """Change a user, by columns of vicidial_users: user_level, vdc_agent_api_access, api_allowed_functions ..."""
        if password is not None:
            columns["pass"] = password
        with self._changed:
            assert self.state.one("select 1 from vicidial_users where user = ?", user), f"there is no user {user}"
            self.state.update("vicidial_users", {"user": user}, **columns)

    def set_remote_agent(self, user_start: str, **columns: object) -> None:
        """In the admin pages: status, number_of_lines. The daemon follows in its own time."""
        with self._changed:
            if self.state.update("vicidial_remote_agents", {"user_start": user_start}, **columns):
                self.model.lines.changed(user_start, self._now())
            self._changed.notify_all()

    def log_out(self, user: str) -> None:
        """A human leaves: their line is gone at once."""
        with self._changed:
            self.model.lines.remove(user)

    def log_in(self, user: str, user_start: str = "9101") -> None:
        """A human is there at once, on a line of the remote agent `user_start`."""
        with self._changed:
            self.model.lines.come(user, user_start, self._now())
            self._changed.notify_all()

    def define_status(self, *statuses: str) -> None:
        with self._changed:
            for status in statuses:
                self.state.upsert("vicidial_statuses", status=status)

    def define_custom_field(self, *names: str, list_id: int = 101) -> None:
        with self._changed:
            for name in names:
                self.state.upsert("vicidial_lists_fields", list_id=list_id, field_label=name)


def password_of(double: Double, user: str) -> str:
    """The password of a user of the double: for a client's settings, never to be written anywhere."""
    return str(double.rows("select pass from vicidial_users where user = ?", user)[0]["pass"])
