"""The dead-man's switch: its logic by calling it, its loop against the dialer's double."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from appliance.api.server import ApiServer
from appliance.api.wire import ActiveCall, DialerHealth, Registration, RegistrationState, Status
from appliance.dialers.choice import dialer_of
from appliance.errors import StoreError
from appliance.guard import (
    Action,
    Guard,
    Memory,
    Pause,
    Rescue,
    Resume,
    Seen,
    Sight,
    Times,
    Watch,
    seen_of,
)
from tests.api.test_wire import STATUS
from tests.doctor.site import settings
from tests.fakes.vicidial.double import Double
from tests.fakes.vicidial.faults import FaultKind

T = Times()
SERVING, GONE = Seen(Sight.SERVING, lines=5), Seen(Sight.GONE)
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


@pytest.mark.parametrize(
    ("changes", "sight"),
    [
        ({}, Sight.SERVING),
        ({"draining": True}, Sight.DRAINING),
        ({"draining": True, "registration": Registration(RegistrationState.OFF)}, Sight.DRAINING),
        *(({"registration": Registration(state)}, Sight.UNREGISTERED) for state in set(RegistrationState) - {"registered"}),
    ],
)
def test_a_status_as_the_guard_sees_it(changes: dict[str, object], sight: Sight) -> None:
    good: dict[str, object] = {"draining": False, "registration": Registration(RegistrationState.REGISTERED), "calls": []}
    assert seen_of(msgspec.structs.replace(STATUS, **{**good, **changes})).sight is sight


def test_the_calls_and_lines_of_a_status() -> None:
    def call(name: str) -> ActiveCall:
        return ActiveCall("1", name, "4155550123", "now", "listening")

    known = msgspec.structs.replace(STATUS, calls=[call("V1221347110000000010")], dialer=DialerHealth(lines=3))
    assert seen_of(known).ours == frozenset({"V1221347110000000010"})
    assert seen_of(known).lines == 3
    assert seen_of(msgspec.structs.replace(known, calls=[*known.calls, call("Jane Doe")])).ours is None


# What is remembered ------------------------------------------------------------------------------------------------------


def test_what_is_remembered_survives_and_nonsense_is_a_no(tmp_path: Path) -> None:
    path = tmp_path / "state" / "guard.json"
    memory = Memory(path)
    assert memory.read() is False
    memory.write(True)
    assert Memory(path).read() is True
    memory.write(False)
    assert Memory(path).read() is False
    for nonsense in ("", "{", "[]", "true", '{"paused_by_guard": 1}'):
        path.write_text(nonsense)
        assert Memory(path).read() is False


def test_a_folder_that_cannot_be_written_is_an_error_with_a_hint(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="guard") as caught:
        Memory(tmp_path / "file" / "guard.json").write(True)
    assert "paths.state" in caught.value.hint


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
        path = self.settings.paths.state / "guard.json"
        return path.exists() and json.loads(path.read_text())["paused_by_guard"]

    @asynccontextmanager
    async def guarded(self) -> Any:
        dialer = dialer_of(self.settings)
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
    site = Site(double, tmp_path)

    async def play() -> None:
        await eventually(lambda: len(double.lines()) == 2)
        await site.up()
        async with site.guarded():
            call_id = call_up(double)
            site.status = msgspec.structs.replace(site.status, calls=[ActiveCall("1", call_id, "1", "now", "listening")])
            await asyncio.sleep(0.5)
            assert writes(double, "ra_call_control") == 0
            await site.die()
            await eventually(lambda: double.log(call_id)["status"] == "XFER")
            assert double.ledger.of("ra_call_control")[0].params["ingroup_choices"] == "SALESLINE"

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
            calls=[ActiveCall("1", talking, "1", "now", "listening")],
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
