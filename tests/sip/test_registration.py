"""The registration machine against a registrar that is away at times: how soon are we usable again, how often told?"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.sip.registration import (
    BACKOFF_MAX_S,
    LEAVE_S,
    REFUSED_RETRY_S,
    Action,
    Registration,
    RegistrationChanged,
    SendProbe,
    SendRegister,
    SendUnregister,
    State,
)

T1_S, T2_S, TIMEOUT_S = 0.5, 4.0, 32.0


def machine() -> Registration:
    return Registration(registrar="10.0.0.5", username="8371", expires_s=300, rng=random.Random(1))


def states(actions: list[Action]) -> list[State]:
    return [action.state for action in actions if isinstance(action, RegistrationChanged)]


def sends(actions: list[Action]) -> list[type]:
    return [type(action) for action in actions if not isinstance(action, RegistrationChanged)]


@dataclass
class Network:
    """A registrar beyond a SIP transaction layer: a request is repeated until it is answered or 32 s have passed."""

    up: Callable[[float], bool]
    code: Callable[[float], int] = lambda now: 200
    answers_options: bool = True
    machine: Registration = field(default_factory=machine)
    now: float = 0.0
    told: list[tuple[float, RegistrationChanged]] = field(default_factory=list)
    registers: list[float] = field(default_factory=list)
    probes: list[float] = field(default_factory=list)
    knows_us_since: float | None = None
    _events: list[tuple[float, str]] = field(default_factory=list)

    def _transaction(self, answerable: bool) -> tuple[float, bool]:
        """When it ends, and whether with an answer."""
        at, gap = self.now, T1_S
        while at < self.now + TIMEOUT_S:
            if answerable and self.up(at):
                return at + 0.002, True
            at += gap
            gap = min(gap * 2, T2_S)
        return self.now + TIMEOUT_S, False

    def do(self, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case RegistrationChanged():
                    self.told.append((self.now, action))
                case SendRegister() | SendUnregister():
                    self.registers.append(self.now)
                    at, answered = self._transaction(True)
                    self._events.append((at, "answer" if answered else "timeout"))
                case SendProbe():
                    self.probes.append(self.now)
                    at, answered = self._transaction(self.answers_options)
                    if answered:
                        self._events.append((at, "probe"))

    def run(self, until: float) -> None:
        while True:
            deadline = self.machine.deadline
            times = [at for at, _ in self._events] + ([deadline] if deadline is not None else [])
            if not times or min(times) > until:
                self.now = until
                return
            self.now = max(self.now, min(times))
            due = sorted(event for event in self._events if event[0] <= self.now)
            self._events = [event for event in self._events if event[0] > self.now]
            for _, kind in due:
                self._happen(kind)
            self.do(self.machine.handle_timer(self.now))

    def _happen(self, kind: str) -> None:
        if kind == "probe":
            self.do(self.machine.on_probe_answer(self.now))
        elif kind == "answer":
            code = self.code(self.now)
            if code == 200:
                self.knows_us_since = self.now
            self.do(self.machine.on_answer(self.now, code, "reason", 300))
        else:
            self.do(self.machine.on_answer(self.now, 0, "timeout", 0))

    def start(self) -> Network:
        self.do(self.machine.register(self.now))
        return self

    def states(self) -> list[State]:
        return [change.state for _, change in self.told]


def test_registers_and_refreshes_at_half_the_expiry() -> None:
    network = Network(up=lambda now: True).start()
    network.run(460)
    assert network.states() == [State.TRYING, State.REGISTERED]
    assert network.registers == pytest.approx([0, 150, 300, 450], abs=0.1)
    gaps = [b - a for a, b in zip(network.probes, network.probes[1:], strict=False)]
    assert max(gaps) <= 0.6


def test_an_unreachable_registrar_is_one_line_and_no_storm() -> None:
    network = Network(up=lambda now: False).start()
    network.run(600)
    assert network.states() == [State.TRYING, State.LOST]
    assert "10.0.0.5 does not answer" in network.told[-1][1].detail
    assert len(network.registers) <= 600 / TIMEOUT_S + 2
    gaps = [b - a for a, b in zip(network.probes[8:], network.probes[9:], strict=False)]
    assert min(gaps) >= 1
    assert max(gaps) <= 4
    assert len(set(gaps)) > 10


@settings(max_examples=200)
@given(down_at=st.floats(3, 170), away_s=st.floats(2, 120), seed=st.integers(0, 999))
def test_usable_again_within_5_s_of_the_dialers_restart(down_at: float, away_s: float, seed: int) -> None:
    """The restarted dialer has forgotten us; a call can come through from the moment it knows us again."""
    back_at = down_at + away_s
    network = Network(up=lambda now: not down_at <= now < back_at)
    network.machine._rng.seed(seed)
    network.start().run(back_at + 10)
    assert network.knows_us_since is not None
    assert back_at <= network.knows_us_since <= back_at + 5
    assert network.machine.state is State.REGISTERED
    expected = [State.TRYING, State.REGISTERED, State.LOST, State.REGISTERED]
    assert network.states() in (expected, expected[:2])


@given(down_at=st.floats(3, 40), away_s=st.floats(0.51, 4))
def test_a_short_absence_is_noticed_though_nobody_is_told(down_at: float, away_s: float) -> None:
    network = Network(up=lambda now: not down_at <= now < down_at + away_s).start()
    network.run(down_at + away_s + 5)
    assert network.knows_us_since is not None
    assert network.knows_us_since >= down_at + away_s


def test_a_registrar_that_starts_later_is_reached_within_5_s() -> None:
    network = Network(up=lambda now: now >= 47).start()
    network.run(60)
    assert network.states() == [State.TRYING, State.LOST, State.REGISTERED]
    assert network.told[-1][0] <= 52
    assert ", after 4" in network.told[-1][1].detail


def test_a_registrar_deaf_to_options_is_kept_by_refreshes_alone() -> None:
    network = Network(up=lambda now: not 400 <= now < 420, answers_options=False).start()
    network.run(390)
    assert network.states() == [State.TRYING, State.REGISTERED]
    gaps = [b - a for a, b in zip(network.registers, network.registers[1:], strict=False)]
    assert min(gaps) >= 6
    assert max(gaps) <= 20
    network.run(600)
    assert network.machine.state is State.REGISTERED


@pytest.mark.parametrize("code", [401, 403, 404, 407])
def test_a_wrong_password_is_one_line_and_15_minutes_of_peace(code: int) -> None:
    network = Network(up=lambda now: True, code=lambda now: code).start()
    network.run(REFUSED_RETRY_S - 1)
    assert network.states() == [State.TRYING, State.REFUSED]
    assert "sip.password" in network.told[-1][1].detail
    assert len(network.registers) == 1
    assert len(network.probes) == 1
    network.run(3 * REFUSED_RETRY_S + 10)
    assert len(network.registers) == 4
    assert len(network.told) == 2


def test_a_mended_password_is_taken_up_without_a_restart() -> None:
    network = Network(up=lambda now: True, code=lambda now: 403 if now < 100 else 200).start()
    network.run(200)
    assert network.machine.state is State.REFUSED
    network.do(network.machine.register(network.now))
    network.run(201)
    assert network.states()[-2:] == [State.TRYING, State.REGISTERED]


def test_a_refusal_of_a_dialer_that_is_still_starting_is_not_believed_at_once() -> None:
    """chan_pjsip answers 401 to everybody until its users are loaded."""
    network = Network(up=lambda now: not 20 <= now < 30, code=lambda now: 401 if 30 <= now < 33 else 200).start()
    network.run(60)
    assert network.states() == [State.TRYING, State.REGISTERED, State.LOST, State.REGISTERED]
    assert network.told[-1][0] < 37


def test_a_password_changed_on_the_dialer_ends_in_refused() -> None:
    network = Network(up=lambda now: True, code=lambda now: 200 if now < 100 else 403).start()
    network.run(1000)
    assert network.states() == [State.TRYING, State.REGISTERED, State.LOST, State.REFUSED]
    assert len([at for at in network.registers if at > 100]) == 3


def test_a_dialer_far_away_is_not_taken_for_one_that_was_away() -> None:
    subject = machine()
    subject.register(0)
    subject.on_answer(0.1, 200, "OK", 300)
    for n in range(20):
        assert subject.handle_timer(1 + n) == [SendProbe()]
        assert subject.on_probe_answer(1.2 + n + 0.01 * (n % 5)) == []
    subject.handle_timer(50)
    assert subject.on_probe_answer(50.9) == [SendRegister()]


def test_an_odd_answer_is_tried_again_slowly() -> None:
    network = Network(up=lambda now: True, code=lambda now: 488).start()
    network.run(300)
    assert network.states() == [State.TRYING, State.LOST]
    assert "488" in network.told[-1][1].detail


def test_an_overloaded_registrar_is_tried_again_soon() -> None:
    network = Network(up=lambda now: True, code=lambda now: 503 if now < 3 else 200).start()
    network.run(10)
    assert network.states() == [State.TRYING, State.LOST, State.REGISTERED]


def test_no_answer_after_a_refusal_stays_a_refusal() -> None:
    subject = machine()
    subject.register(0)
    subject.on_answer(1, 403, "Forbidden", 0)
    assert sends(subject.handle_timer(1 + REFUSED_RETRY_S)) == [SendRegister]
    assert subject.on_answer(950, 0, "timeout", 0) == []
    assert subject.state is State.REFUSED
    assert subject.deadline == 950 + REFUSED_RETRY_S


def test_a_refusal_that_lasts_is_told_once() -> None:
    subject = machine()
    subject.register(0)
    subject.on_answer(1, 403, "Forbidden", 0)
    subject.handle_timer(1 + REFUSED_RETRY_S)
    assert subject.on_answer(902, 403, "Forbidden", 0) == []
    assert subject.deadline == 902 + REFUSED_RETRY_S


def test_a_connection_lost_while_it_was_lost_already_is_no_news() -> None:
    subject = machine()
    subject.register(0)
    subject.handle_timer(3)
    assert subject.state is State.LOST
    assert subject.on_transport_lost(3.5) == []


def test_an_untrusted_certificate_is_told_once_until_we_are_accepted() -> None:
    subject = machine()
    subject.register(0)
    (told,) = subject.on_untrusted(0.1, "the certificate is untrusted")
    assert isinstance(told, RegistrationChanged)
    assert told.state is State.LOST
    assert "the certificate is untrusted" in told.detail
    assert subject.on_answer(0.1, 0, "Service Unavailable", 0) == []
    retry = sends(subject.handle_timer(0.1 + BACKOFF_MAX_S))
    assert SendRegister in retry
    assert subject.on_untrusted(4.2, "the certificate is untrusted") == []
    assert states(subject.on_answer(5, 200, "OK", 300)) == [State.REGISTERED]
    assert states(subject.on_untrusted(9, "the certificate has expired")) == [State.LOST]
    assert states(subject.on_untrusted(10, "the certificate is untrusted")) == [State.LOST]


@pytest.mark.parametrize("state", [State.OFF, State.REFUSED])
def test_a_certificate_is_no_matter_where_nothing_is_tried(state: State) -> None:
    subject = machine()
    if state is State.REFUSED:
        subject.register(0)
        subject.on_answer(0.1, 403, "Forbidden", 0)
    assert subject.on_untrusted(1, "the certificate is untrusted") == []
    assert subject.state is state


def test_a_dialer_that_dies_after_refusing_us_is_probed_again() -> None:
    subject = machine()
    subject.register(0)
    subject.on_answer(0.1, 200, "OK", 300)
    assert states(subject.on_answer(150, 403, "Forbidden", 0)) == [State.LOST]
    assert sends(subject.handle_timer(155)) == [SendRegister]
    assert subject.on_answer(187, 0, "timeout", 0) == []
    assert subject.handle_timer(187.6) == [SendProbe()]


def test_register_twice_is_register_once() -> None:
    subject = machine()
    first = subject.register(0)
    assert states(first) == [State.TRYING]
    assert sends(first) == [SendRegister, SendProbe]
    assert subject.register(0.1) == []


def test_unregister_takes_it_back() -> None:
    subject = machine()
    assert subject.unregister(0) == []
    subject.register(0)
    subject.on_answer(0.1, 200, "OK", 60)
    assert subject.unregister(5) == [SendUnregister()]
    assert subject.unregister(5.1) == []
    assert subject.deadline == 5 + LEAVE_S
    assert subject.on_transport_lost(5.2) == []
    assert states(subject.on_answer(5.3, 200, "OK", 0)) == [State.OFF]
    assert subject.on_answer(9, 200, "OK", 60) == []


def trying() -> Registration:
    subject = machine()
    subject.register(0)
    return subject


def lost() -> Registration:
    subject = trying()
    assert states(subject.handle_timer(3)) == [State.LOST]
    return subject


def refreshing() -> Registration:
    subject = trying()
    subject.on_answer(0.1, 200, "OK", 60)
    subject.on_probe_answer(0.2)
    assert SendRegister in sends(subject.handle_timer(30.1))
    return subject


@pytest.mark.parametrize("pending", [trying, lost, refreshing])
def test_leaving_waits_for_the_register_under_way_and_then_takes_it_back(pending: Callable[[], Registration]) -> None:
    subject = pending()
    assert subject.unregister(31) == []
    assert subject.on_probe_answer(31.1) == []
    assert subject.on_answer(31.2, 200, "OK", 60) == [SendUnregister()]
    assert states(subject.on_answer(31.3, 200, "OK", 0)) == [State.OFF]
    assert subject.deadline is None


@pytest.mark.parametrize("pending", [trying, lost, refreshing])
def test_leaving_ends_without_an_answer_and_a_late_one_is_still_taken_back(pending: Callable[[], Registration]) -> None:
    subject = pending()
    subject.unregister(31)
    assert subject.deadline == 31 + LEAVE_S
    assert states(subject.handle_timer(31 + LEAVE_S)) == [State.OFF]
    assert subject.deadline is None
    assert subject.on_answer(40, 200, "OK", 60) == [SendUnregister()]
    assert subject.on_answer(40.1, 200, "OK", 0) == []
    assert subject.state is State.OFF


def test_a_register_that_is_refused_while_leaving_leaves_nothing_to_take_back() -> None:
    subject = trying()
    subject.unregister(1)
    assert states(subject.on_answer(1.1, 403, "Forbidden", 0)) == [State.OFF]


def test_a_refresh_that_fails_while_leaving_leaves_the_old_registration_to_take_back() -> None:
    subject = refreshing()
    subject.unregister(31)
    assert subject.on_answer(31.1, 503, "Busy", 0) == [SendUnregister()]
    assert states(subject.on_answer(31.2, 0, "timeout", 0)) == [State.OFF]


def test_a_dialer_that_was_lost_may_know_us_still() -> None:
    subject = refreshing()
    assert states(subject.on_answer(62, 0, "timeout", 0)) == [State.LOST]
    assert subject.unregister(63) == [SendUnregister()]


def test_wanted_again_while_the_old_requests_are_under_way() -> None:
    subject = trying()
    subject.unregister(1)
    subject.handle_timer(1 + LEAVE_S)
    # A second REGISTER waits for the end of the first, and that serves
    assert sends(subject.register(6)) == [SendProbe]
    assert states(subject.on_answer(7, 200, "OK", 60)) == [State.REGISTERED]
    assert subject.unregister(8) == [SendUnregister()]
    subject.handle_timer(8 + LEAVE_S)
    assert sends(subject.register(13)) == [SendProbe]
    assert subject.on_answer(14, 200, "OK", 0) == [SendRegister()]
    assert states(subject.on_answer(15, 200, "OK", 60)) == [State.REGISTERED]


def test_a_closed_connection_asks_at_once_and_registers_anew() -> None:
    subject = machine()
    subject.register(0)
    subject.on_answer(0.1, 200, "OK", 60)
    assert subject.on_transport_lost(7) == [SendProbe()]
    assert subject.on_probe_answer(7.01) == [SendRegister()]


def test_late_answers_of_old_probes_are_no_news() -> None:
    subject = machine()
    subject.register(0)
    subject.on_answer(0.1, 200, "OK", 60)
    assert subject.on_probe_answer(0.2) == []
    assert subject.on_probe_answer(5.0) == []


def test_an_answer_without_an_expiry_means_what_was_asked() -> None:
    subject = machine()
    subject.register(0)
    subject.on_answer(0.0, 200, "OK", 0)
    while subject.deadline is not None and subject.deadline < 150:
        subject.on_probe_answer(subject.deadline - 0.1)
        assert SendRegister not in sends(subject.handle_timer(subject.deadline))
        subject.on_probe_answer(subject.deadline - 0.49)
    assert subject.deadline == 150
