"""The dead-man's switch: its logic by calling it, its loop against the dialer's double."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from appliance import guard as guard_module
from appliance import guard_file
from appliance.api.client import ApiClient
from appliance.api.server import MAX_PEERS, ApiServer
from appliance.api.wire import ActiveCall, DialerHealth, Registration, RegistrationState, Status
from appliance.dialers.choice import dialer_of
from appliance.dialers.pbx import PbxDialer
from appliance.dialers.protocol import Control, Controlled, Dialer, DialerCall
from appliance.guard import (
    RESCUED_AT_ONCE,
    Action,
    Guard,
    Pause,
    Rescue,
    Resume,
    Seen,
    Sight,
    Times,
    Watch,
    look,
    seen_of,
)
from appliance.guard_file import rescued_ids
from tests.api.test_wire import STATUS
from tests.doctor.site import settings
from tests.fakes.vicidial.double import Double
from tests.fakes.vicidial.faults import FaultKind

T = Times()
SERVING, GONE = Seen(Sight.SERVING, lines=5), Seen(Sight.GONE)
HIDDEN = Seen(Sight.HIDDEN, None, detail="64 connections are open already")
AWAY = (Sight.GONE, Sight.SILENT, Sight.UNREGISTERED)


def run(guard: Guard, seen: Seen, begin: float, end: float, answer: Callable[[Action, float], None] | None = None) -> list[Any]:
    """Looks once a second over [begin, end); (time, action) of all that is asked for."""
    todo = []
    for now in range(round(begin), round(end)):
        for action in guard.observe(seen, now):
            todo.append((now, action))
            if answer is not None:
                answer(action, now)
    return todo


def dialer(guard: Guard, *, active: bool = True) -> Callable[[Action, float], None]:
    """One that does what it is told, and says whether it was so before."""
    is_active = active

    def answer(action: Action, now: float) -> None:
        nonlocal is_active
        if isinstance(action, Pause):
            guard.paused(now, changed=is_active)
            is_active = False
        if isinstance(action, Resume):
            guard.resumed()
            is_active = True

    return answer


def of(kind: type, todo: list[Any]) -> list[float]:
    return [at for at, action in todo if isinstance(action, kind)]


def test_a_daemon_that_serves_needs_nothing() -> None:
    assert run(Guard(), SERVING, 0, 100) == []


@pytest.mark.parametrize("sight", AWAY)
def test_the_pause_comes_after_the_grace_and_once(sight: Sight) -> None:
    guard = Guard()
    run(guard, SERVING, 0, 10)
    todo = run(guard, Seen(sight), 10, 10 + T.renew_s, dialer(guard))
    assert of(Pause, todo) == [10 + T.grace_s]
    assert guard.owns


@pytest.mark.parametrize("sight", AWAY)
def test_a_restart_within_the_grace_changes_nothing_at_the_dialer(sight: Sight) -> None:
    guard = Guard()
    for begin in (0, 20, 40):
        run(guard, SERVING, begin, begin + 10)
        todo = run(guard, Seen(sight), begin + 10, begin + 10 + T.grace_s, dialer(guard))
        assert of(Pause, todo) == []
    assert not guard.owns


def test_a_look_that_took_its_time_counts_from_its_beginning() -> None:
    guard = Guard()
    assert guard.observe(Seen(Sight.SILENT, took_s=2.0), 12.0) == []
    assert guard.observe(Seen(Sight.SILENT, took_s=2.0), 17.9) == []
    assert Pause(planned=False) in guard.observe(Seen(Sight.SILENT, took_s=2.0), 18.0)


def test_several_ways_of_being_away_are_one_absence() -> None:
    guard = Guard()
    run(guard, Seen(Sight.UNREGISTERED), 0, 4)
    run(guard, Seen(Sight.SILENT), 4, 6)
    assert of(Pause, run(guard, GONE, 6, 9)) == [T.grace_s]


def test_a_pause_that_fails_is_tried_again_till_it_is_done() -> None:
    guard = Guard()
    todo = run(guard, GONE, 0, 15, lambda action, now: guard.failed())
    assert of(Pause, todo) == [8, 10, 12, 14]
    guard.paused(15, changed=True)
    assert of(Pause, run(guard, GONE, 15, 15 + T.renew_s)) == []


def test_the_pause_of_an_operator_is_not_ours_and_is_not_ended() -> None:
    guard = Guard()
    run(guard, GONE, 0, 20, dialer(guard, active=False))
    assert not guard.owns
    assert run(guard, SERVING, 20, 60) == []


def test_a_pause_whose_answer_was_lost_is_ours() -> None:
    guard = Guard()
    run(guard, GONE, 0, 9, lambda action, now: guard.failed())
    run(guard, GONE, 9, 20, dialer(guard, active=False))
    assert guard.owns


def test_our_pause_ends_when_the_daemon_is_well_for_a_while() -> None:
    guard = Guard()
    run(guard, GONE, 0, 20, dialer(guard))
    todo = run(guard, SERVING, 20, 40, dialer(guard))
    assert todo == [(20 + T.healthy_s, Resume(5))]
    assert not guard.owns


def test_a_daemon_that_flaps_is_not_sent_calls() -> None:
    guard = Guard()
    run(guard, GONE, 0, 20, dialer(guard))
    for begin in range(20, 60, 4):
        assert of(Resume, run(guard, SERVING, begin, begin + 2)) == []
        run(guard, GONE, begin + 2, begin + 4)
    assert guard.owns


def test_a_resume_that_fails_is_tried_again() -> None:
    guard = Guard(owns=True)
    assert of(Resume, run(guard, SERVING, 0, 8)) == [3, 5, 7]


def test_a_guard_that_was_restarted_ends_its_own_pause() -> None:
    assert of(Resume, run(Guard(owns=True), SERVING, 0, 4)) == [T.healthy_s]
    assert of(Resume, run(Guard(owns=False), SERVING, 0, 30)) == []


def test_a_box_that_never_came_up_is_paused() -> None:
    assert of(Pause, run(Guard(), GONE, 0, 9)) == [T.grace_s]


def test_a_planned_drain_is_left_alone_and_its_pause_is_the_daemons() -> None:
    guard = Guard()
    assert run(guard, Seen(Sight.DRAINING), 0, 60) == []
    todo = run(guard, GONE, 60, 80, dialer(guard))
    assert todo[0][0] >= 60
    assert [action for _, action in todo if isinstance(action, Pause)] == [Pause(planned=True)]
    assert not guard.owns
    assert run(guard, SERVING, 80, 100) == []


def test_a_crash_after_a_planned_restart_is_no_plan() -> None:
    guard = Guard()
    run(guard, Seen(Sight.DRAINING), 0, 10)
    run(guard, SERVING, 10, 20)
    run(guard, GONE, 20, 40, dialer(guard))
    assert guard.owns


def test_a_drain_ends_nobodys_pause() -> None:
    assert run(Guard(owns=True), Seen(Sight.DRAINING), 0, 60) == []


def test_callers_of_a_dead_daemon_are_looked_for_at_once_and_as_long_as_the_dialer_sends() -> None:
    guard = Guard()
    times = of(Rescue, run(guard, GONE, 0, 200, dialer(guard)))
    assert times == list(range(2, 58, round(T.again_s)))
    assert times[-1] >= T.grace_s + T.sends_s - T.again_s


@pytest.mark.parametrize("sight", [Sight.SILENT, Sight.UNREGISTERED])
def test_callers_of_one_that_may_only_be_slow_are_left_alone_for_the_grace(sight: Sight) -> None:
    assert of(Rescue, run(Guard(), Seen(sight), 0, 20))[0] == T.grace_s


def test_callers_that_the_daemon_talks_to_are_not_rescued() -> None:
    ours = frozenset({"V1221347110000000010"})
    todo = run(Guard(), Seen(Sight.UNREGISTERED, ours), 0, 20)
    assert {action for _, action in todo if isinstance(action, Rescue)} == {Rescue(ours)}
    assert of(Rescue, run(Guard(), Seen(Sight.UNREGISTERED, None), 0, 20)) == []


def test_while_the_pause_is_not_on_callers_are_looked_for_for_ever() -> None:
    guard = Guard()

    def fail(action: Action, now: float) -> None:
        if isinstance(action, Pause):
            guard.cannot(now)

    todo = run(guard, GONE, 0, 300, fail)
    assert of(Rescue, todo)[-1] >= 298
    assert of(Pause, todo) == [8 + 30 * n for n in range(10)]


def test_a_pause_that_somebody_ended_is_renewed_and_callers_are_looked_for_again() -> None:
    guard = Guard()
    todo = run(guard, GONE, 0, 100, dialer(guard))
    assert of(Pause, todo) == [8, 38, 68, 98]
    assert of(Rescue, todo)[-1] < 60
    todo = run(guard, GONE, 100, 140, dialer(guard))
    assert of(Pause, todo) == [128]
    assert of(Rescue, todo) == [129, 131, 133, 135, 137, 139]


def up(call_id: str) -> ActiveCall:
    """A call whose caller's name says nothing of the dialer's id."""
    return ActiveCall("1", "Jane Doe", "4155550123", "now", "listening", call_id)


def test_a_daemon_that_cannot_be_seen_is_left_alone() -> None:
    guard = Guard()
    run(guard, SERVING, 0, 10)
    assert run(guard, HIDDEN, 10, 4000) == []
    assert run(Guard(owns=True), HIDDEN, 0, 100) == []


def test_what_was_seen_before_it_was_hidden_is_no_part_of_an_absence() -> None:
    guard = Guard()
    run(guard, GONE, 0, 7)
    run(guard, HIDDEN, 7, 100)
    assert of(Pause, run(guard, GONE, 100, 110, dialer(guard))) == [100 + T.grace_s]


def test_a_lost_answer_is_remembered_while_the_daemon_is_hidden() -> None:
    guard = Guard()
    run(guard, GONE, 0, 9, lambda action, now: guard.failed())
    run(guard, HIDDEN, 9, 20)
    run(guard, GONE, 20, 40, dialer(guard, active=False))
    assert guard.owns


@pytest.mark.parametrize("lines", [8, None])
def test_a_drain_whose_pause_was_not_taken_is_helped_once_the_phone_is_gone_and_the_pause_is_the_daemons(
    lines: int | None,
) -> None:
    guard = Guard()
    drain = msgspec.structs.replace(
        STATUS, draining=True, calls=[up("V1221347110000000010")], dialer=DialerHealth("vicidial", lines=lines)
    )
    assert run(guard, seen_of(drain), 0, 40) == []  # its phone still takes what comes
    alone = msgspec.structs.replace(drain, registration=Registration(RegistrationState.OFF))
    todo = run(guard, seen_of(alone), 40, 60, dialer(guard))
    assert [each for each in todo if isinstance(each[1], Pause)] == [(40 + T.grace_s, Pause(planned=True))]
    assert {action for _, action in todo if isinstance(action, Rescue)} == {Rescue(frozenset({"V1221347110000000010"}))}
    assert run(guard, SERVING, 60, 80) == []


@pytest.mark.parametrize(
    ("changes", "sight"),
    [
        ({}, Sight.SERVING),
        ({"draining": True}, Sight.DRAINING),
        ({"draining": True, "dialer": DialerHealth(lines=8)}, Sight.DRAINING),
        *(
            (
                {"draining": True, "registration": Registration(RegistrationState.OFF), "dialer": DialerHealth(lines=lines)},
                sight,
            )
            for lines, sight in ((0, Sight.DRAINING), (8, Sight.UNREGISTERED), (None, Sight.UNREGISTERED))
        ),
        *(({"registration": Registration(state)}, Sight.UNREGISTERED) for state in set(RegistrationState) - {"registered"}),
    ],
)
def test_a_status_as_the_guard_sees_it(changes: dict[str, object], sight: Sight) -> None:
    good: dict[str, object] = {"draining": False, "registration": Registration(RegistrationState.REGISTERED), "calls": []}
    assert seen_of(msgspec.structs.replace(STATUS, **{**good, **changes})).sight is sight


def test_the_calls_and_lines_of_a_status() -> None:
    known = msgspec.structs.replace(STATUS, calls=[up("V1221347110000000010")], dialer=DialerHealth(lines=3))
    assert seen_of(known).ours == frozenset({"V1221347110000000010"})
    assert seen_of(known).lines == 3
    assert seen_of(msgspec.structs.replace(known, calls=[*known.calls, up("")])).ours is None


# One look ----------------------------------------------------------------------------------------------------------------


def seen_at(path: Path) -> Seen:
    return asyncio.run(look(ApiClient(path)))


def test_nobody_listens(tmp_path: Path) -> None:
    assert seen_at(tmp_path / "api.sock") == Seen(Sight.GONE)


def answering(path: Path, answer: Callable[[asyncio.StreamWriter], object]) -> Seen:
    """A look at whoever answers so."""

    async def play() -> Seen:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readline()
            answer(writer)
            await reader.read()
            writer.close()

        async with await asyncio.start_unix_server(serve, path):
            return await look(ApiClient(path))

    return asyncio.run(play())


def test_who_hangs_up_or_says_nothing_is_silent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert answering(tmp_path / "api.sock", lambda writer: writer.close()).sight is Sight.SILENT
    monkeypatch.setattr(guard_module, "ANSWER_S", 0.1)
    silent = answering(tmp_path / "api.sock", lambda writer: None)
    assert (silent.sight, silent.ours) == (Sight.SILENT, frozenset())
    assert silent.took_s == pytest.approx(0.1, abs=0.02)


def test_what_we_slept_ourselves_is_no_silence_of_the_daemons(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard_module, "ANSWER_S", 0.1)
    assert answering(tmp_path / "api.sock", lambda writer: time.sleep(0.3)).took_s <= 0.1


def test_who_takes_no_more_connections_is_silent(tmp_path: Path) -> None:
    path = str(tmp_path / "api.sock")
    with socket.socket(socket.AF_UNIX) as frozen, socket.socket(socket.AF_UNIX) as first:
        frozen.bind(path)
        frozen.listen(0)
        first.connect(path)
        assert seen_at(Path(path)).sight is Sight.SILENT


@pytest.mark.parametrize("said", [b'{"type":"Refused","message":"full"}\n', b"220 ready\n", b'{"type":"Accepted"}\n{}\n'])
def test_who_answers_anything_is_not_silent(tmp_path: Path, said: bytes) -> None:
    seen = answering(tmp_path / "api.sock", lambda writer: writer.write(said))
    assert (seen.sight, seen.ours, seen.detail != "") == (Sight.HIDDEN, None, True)


def test_a_socket_that_we_cannot_reach_says_nothing_of_the_daemon(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "file" / "api.sock", tmp_path / ("x" * 120)):
        seen = seen_at(path)
        assert (seen.sight, seen.ours) == (Sight.HIDDEN, None)


def test_a_socket_that_is_not_for_us_says_nothing_of_the_daemon(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir(mode=0o000)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)  # nobody
    try:
        seen = seen_at(folder / "api.sock")
    finally:
        os.seteuid(user)
    assert (seen.sight, seen.ours, "not allowed" in seen.detail) == (Sight.HIDDEN, None, True)


# The loop ----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def double() -> Iterator[Double]:
    with Double() as made:
        yield made
        made.check()


# The real times are the pure part's; here they would only be waited for.
SOON = Times(look_s=0.05, grace_s=0.3, alone_s=0.1, healthy_s=0.2, again_s=0.1)


class Site:
    """A guard at work beside an API socket whose answer the test chooses."""

    def __init__(self, double: Double, folder: Path) -> None:
        self.double = double
        self.settings = settings(double, folder)
        self.status: Status = msgspec.structs.replace(
            STATUS,
            draining=False,
            registration=Registration(RegistrationState.REGISTERED),
            calls=[],
            dialer=DialerHealth("vicidial", lines=2),
        )
        self._server: ApiServer | None = None

    @property
    def memory(self) -> bool:
        return guard_file.read(self.settings.paths.state).paused_by_guard

    @property
    def rescued(self) -> frozenset[str]:
        return rescued_ids(self.settings.paths.state)

    @asynccontextmanager
    async def guarded(self, dialer: Dialer | None = None) -> Any:
        dialer = dialer or dialer_of(self.settings)
        watch = Watch(self.settings, dialer, times=SOON)
        watching = asyncio.create_task(watch.run())
        try:
            yield
        finally:
            watch.stop()
            assert await watching == 0
            await dialer.close()
            if self._server is not None:
                await self._server.stop()

    async def up(self) -> None:
        self._server = ApiServer(
            self.settings.paths.runtime / "api.sock",
            snapshot=lambda: self.status,
            drain=lambda limit_s: None,
            retry_outbox=lambda: None,
        )
        await self._server.start()

    async def die(self) -> None:
        assert self._server is not None
        await self._server.stop()
        self._server = None

    async def agent_is(self, status: str) -> None:
        await eventually(lambda: self.double.remote_agent()["status"] == status)


async def eventually(true: Callable[[], object], within_s: float = 8.0) -> None:
    deadline = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline, "it did not happen"
        await asyncio.sleep(0.02)


def call_up(double: Double) -> str:
    lead = double.next_lead()
    assert lead is not None
    call_id = double.call_answered(lead, "SIP/carrier-1")
    assert call_id is not None
    return call_id


def call_id(number: int) -> str:
    return f"V122134711{number:010d}"


class Line(PbxDialer):
    """A dialer with customers whom nobody has; what comes of each is its answer, once `answers` is set."""

    def __init__(self, told: dict[str, Controlled]) -> None:
        super().__init__("")
        self.told = told
        self.answers = asyncio.Event()
        self.asked: list[str] = []
        self.at_once = self.most_at_once = self.pauses = 0

    async def capacity(self, lines: int, *, resume: bool = False) -> Controlled:
        self.pauses += lines == 0
        return Controlled(Control.DONE)

    async def stranded(self, ours: frozenset[str]) -> list[DialerCall]:
        return [DialerCall(each, 1) for each in self.told if each not in self.asked]

    async def rescue(self, call: DialerCall, status: str) -> Controlled:
        self.asked.append(call.call_id)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await self.answers.wait()
        self.at_once -= 1
        return self.told[call.call_id]


def writes(double: Double, function: str) -> int:
    return len(double.ledger.of(function))


def test_a_daemon_dies_and_comes_back(double: Double, tmp_path: Path) -> None:
    site = Site(double, tmp_path)

    async def play() -> None:
        await site.up()
        async with site.guarded():
            await asyncio.sleep(0.3)
            assert writes(double, "update_remote_agent") == 0
            await site.die()
            await site.agent_is("INACTIVE")
            await eventually(lambda: site.memory)
            await site.up()
            await site.agent_is("ACTIVE")
            await eventually(lambda: not site.memory)
        assert double.remote_agent()["number_of_lines"] == 2

    asyncio.run(play())


def test_an_operators_pause_stays(double: Double, tmp_path: Path) -> None:
    site = Site(double, tmp_path)
    double.set_remote_agent("9001", status="INACTIVE")

    async def play() -> None:
        async with site.guarded():
            await eventually(lambda: writes(double, "update_remote_agent") >= 1)
            await site.up()
            await asyncio.sleep(0.4)
        assert double.remote_agent()["status"] == "INACTIVE"
        assert not site.memory
        assert writes(double, "update_remote_agent") == 1

    asyncio.run(play())


def test_a_guard_that_dies_in_its_own_pause_ends_it_after_its_restart(double: Double, tmp_path: Path) -> None:
    site = Site(double, tmp_path)

    async def play() -> None:
        async with site.guarded():
            await site.agent_is("INACTIVE")
        await site.up()
        async with site.guarded():
            await site.agent_is("ACTIVE")

    asyncio.run(play())


def test_a_lost_answer_leaves_the_pause_ours(double: Double, tmp_path: Path) -> None:
    site = Site(double, tmp_path)
    double.fault(FaultKind.CUT_AFTER, "update_remote_agent", times=1)

    async def play() -> None:
        async with site.guarded():
            await eventually(lambda: writes(double, "update_remote_agent") >= 2)
            await site.up()
            await site.agent_is("ACTIVE")

    asyncio.run(play())


def test_callers_of_a_dead_daemon_go_to_a_human(double: Double, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    site = Site(double, tmp_path)

    async def play() -> None:
        await eventually(lambda: len(double.lines()) == 2)
        await site.up()
        async with site.guarded():
            call_id = call_up(double)
            site.status = msgspec.structs.replace(site.status, calls=[up(call_id)])
            await asyncio.sleep(0.5)
            assert writes(double, "ra_call_control") == 0
            double.fault(FaultKind.SLOW, "ra_call_control", delay_s=0.3)
            await site.die()
            await eventually(lambda: double.log(call_id)["status"] == "XFER")
            assert site.rescued == {call_id}, "whoever asks the dialer now must know why the call is gone"
            assert double.ledger.of("ra_call_control")[0].params["ingroup_choices"] == "SALESLINE"
            await eventually(lambda: "was sent to a human" in caplog.text)
            assert site.rescued == {call_id}

    asyncio.run(play())


def test_only_callers_whom_the_daemon_does_not_have_are_rescued(double: Double, tmp_path: Path) -> None:
    """It lives, and has lost its registration: who was talking goes on, who came since is in the voicemail."""
    site = Site(double, tmp_path)

    async def play() -> None:
        await eventually(lambda: len(double.lines()) == 2)
        talking, lost = call_up(double), call_up(double)
        site.status = msgspec.structs.replace(
            site.status,
            registration=Registration(RegistrationState.LOST),
            calls=[up(talking)],
        )
        await site.up()
        async with site.guarded():
            await eventually(lambda: double.log(lost)["status"] == "XFER")
        assert {seen.params["value"] for seen in double.ledger.of("ra_call_control")} == {lost}

    asyncio.run(play())


def test_a_full_disk_keeps_no_guard_from_its_work(double: Double, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    site = Site(double, tmp_path)
    site.settings.paths.state.parent.mkdir(exist_ok=True)
    site.settings.paths.state.touch()  # a file in the place of the folder

    async def play() -> None:
        async with site.guarded():
            await site.agent_is("INACTIVE")

    asyncio.run(play())
    assert "guard.json" in caplog.text


def test_many_callers_of_a_dead_daemon_meet_a_slow_dialer_at_once_and_the_pause_does_not_wait(
    double: Double, tmp_path: Path
) -> None:
    site = Site(double, tmp_path)

    async def play() -> None:
        line = Line({call_id(n): Controlled(Control.DONE) for n in range(12)})
        async with site.guarded(line):
            await eventually(lambda: line.asked)
            await eventually(lambda: line.pauses)
            assert line.most_at_once == RESCUED_AT_ONCE > 1
            line.answers.set()
            await eventually(lambda: site.rescued == line.told.keys())
        assert (line.most_at_once, len(line.asked)) == (RESCUED_AT_ONCE, 12)

    asyncio.run(play())


def test_only_who_was_sent_to_a_human_or_may_have_been_is_remembered(double: Double, tmp_path: Path) -> None:
    site = Site(double, tmp_path)
    told = {
        call_id(0): Controlled(Control.DONE),
        call_id(1): Controlled(Control.GONE),
        call_id(2): Controlled(Control.FAILED, "no permission"),
        call_id(3): Controlled(Control.FAILED, "no answer within 4 s", unclear=True),
    }

    async def play() -> None:
        line = Line(told)
        async with site.guarded(line):
            await eventually(lambda: line.asked)
            assert site.rescued == told.keys()
            line.answers.set()
            await eventually(lambda: site.rescued == {call_id(0), call_id(3)})
            await eventually(lambda: site.memory)
        assert site.rescued == {call_id(0), call_id(3)}

    asyncio.run(play())


def test_a_bug_in_a_rescue_ends_the_guard(double: Double, tmp_path: Path) -> None:
    class Broken(Line):
        async def stranded(self, ours: frozenset[str]) -> list[DialerCall]:
            raise ZeroDivisionError

    async def play() -> None:
        with pytest.raises(ZeroDivisionError):
            async with asyncio.timeout(5):
                await Watch(Site(double, tmp_path).settings, Broken({}), times=SOON).run()

    asyncio.run(play())


def test_a_daemon_with_no_room_for_us_is_left_alone(double: Double, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    site = Site(double, tmp_path)
    site.status = msgspec.structs.replace(site.status, calls=[up(call_id(10))])

    async def play() -> None:
        await eventually(lambda: len(double.lines()) == 2)
        call_up(double)
        await site.up()
        path = site.settings.paths.runtime / "api.sock"
        consoles = [await asyncio.open_unix_connection(path) for _ in range(MAX_PEERS)]
        async with site.guarded():
            await asyncio.sleep(0.45)
            for _, console in consoles:
                console.close()
        assert double.ledger.requests == []

    asyncio.run(play())
    assert [each.message for each in caplog.records if each.levelno >= logging.WARNING] == [
        f"the daemon is hidden from us, nothing is done till we see it: {MAX_PEERS} connections are open already"
    ]


def test_a_drain_that_could_not_pause_the_dialer_is_helped(double: Double, tmp_path: Path) -> None:
    site = Site(double, tmp_path)

    async def play() -> None:
        await eventually(lambda: len(double.lines()) == 2)
        talking, lost = call_up(double), call_up(double)
        site.status = msgspec.structs.replace(
            site.status, draining=True, registration=Registration(RegistrationState.OFF), calls=[up(talking)]
        )
        await site.up()
        async with site.guarded():
            await site.agent_is("INACTIVE")
            await eventually(lambda: double.log(lost)["status"] == "XFER")
        assert {seen.params["value"] for seen in double.ledger.of("ra_call_control")} == {lost}

    asyncio.run(play())


def test_a_drain_is_left_alone(double: Double, tmp_path: Path) -> None:
    site = Site(double, tmp_path)
    site.status = msgspec.structs.replace(site.status, draining=True)

    async def play() -> None:
        await site.up()
        async with site.guarded():
            await asyncio.sleep(0.4)
        assert double.ledger.requests == []

    asyncio.run(play())


def test_a_wrong_password_is_tried_once_and_the_guard_lives_on(double: Double, tmp_path: Path) -> None:
    site = Site(double, tmp_path)
    site.settings = settings(double, tmp_path, password="Wrong-41-open")

    async def play() -> None:
        async with site.guarded():
            await eventually(lambda: [seen for seen in double.ledger.requests if seen.params.get("user")])
            await asyncio.sleep(0.4)
        assert len([seen for seen in double.ledger.requests if seen.params.get("user")]) == 1

    asyncio.run(play())
