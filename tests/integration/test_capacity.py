"""How many calls the real box asks its dialer for: fewer on a machine that cannot keep up, none when it stops."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.box import Box, eventually
from tests.doctor.site import vicidial
from tests.fakes.vicidial import Double, FaultKind
from tests.integration.test_hostile_dialer import Hostile

LINES = 4


@pytest.fixture
def double() -> Iterator[Double]:
    with Double(lines=LINES) as made:
        yield made


@pytest.fixture
def dialer() -> Iterator[Hostile]:
    made = Hostile(4)
    with made:
        yield made


@pytest.fixture
def box(tmp_path: Path, dialer: Hostile, double: Double) -> Iterator[Box]:
    with Box(tmp_path, registrar=dialer.address, capacity={"lines": LINES, "least": 2}) as made:
        made.settings["dialer"] = {"kind": "vicidial", "vicidial": vicidial(double, timeout_s=0.5)}
        made.write()
        yield made.start()
        assert "Traceback" not in made.log


def lines(double: Double) -> int:
    return int(double.remote_agent()["number_of_lines"])


def spin() -> None:
    while True:
        pass


@contextmanager
def busy_cores() -> Iterator[None]:
    spinning = [multiprocessing.get_context("fork").Process(target=spin, daemon=True) for _ in range(2 * (os.cpu_count() or 1))]
    for each in spinning:
        each.start()
    try:
        yield
    finally:
        for each in spinning:
            each.kill()
            each.join()


@pytest.mark.timeout(150)
def test_a_machine_that_is_busy_with_a_call_up_asks_for_fewer_and_later_for_more(
    box: Box, dialer: Hostile, double: Double
) -> None:
    double.set_remote_agent("9001", number_of_lines=1)  # whatever an operator left there
    caller = dialer.greeted(dialer.call(b'"x"'))
    with busy_cores():
        eventually(lambda: lines(double) == 2, "no more than the machine can take", within_s=40)
    assert "capacity: 3 calls at once" in box.log
    eventually(lambda: lines(double) == 3, "one line more after half a minute of health", within_s=70)
    assert double.remote_agent()["status"] == "ACTIVE"
    dialer.hang_up(caller.number)


@pytest.mark.timeout(90)
def test_a_planned_stop_pauses_the_dialer_till_it_has_heard_and_takes_what_still_comes(
    box: Box, dialer: Hostile, double: Double
) -> None:
    double.fault(FaultKind.STATUS_500, "update_remote_agent", times=2)
    box.signal(signal.SIGTERM)
    eventually(lambda: double.remote_agent()["status"] == "INACTIVE", "the pause")
    assert dialer.registered is not None
    caller = dialer.greeted(dialer.call(b'"x"'))
    assert box.running
    dialer.hang_up(caller.number)
    assert box.ended(within_s=40) == 0
    box.start()
    eventually(lambda: double.remote_agent()["status"] == "ACTIVE", "the end of the pause")


def test_an_operators_pause_is_theirs(box: Box, double: Double) -> None:
    eventually(lambda: "the dialer was asked for" in box.log, "the first word with the dialer")
    double.set_remote_agent("9001", status="INACTIVE")
    box.signal(signal.SIGKILL)
    box.ended(within_s=5)
    box.start()
    eventually(lambda: box.log.count("the dialer was asked for") == 2, "the second start's word")
    assert double.remote_agent()["status"] == "INACTIVE"
