"""The dead-man's switch as two real processes: what the dialer sees when the daemon is killed, frozen, stopped on purpose."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.box import Box, eventually
from tests.doctor.site import vicidial
from tests.fakes.vicidial.double import Double
from tests.lab.asterisk.server import Asterisk
from tests.lab.processes import end, free_ports, spawn

INACTIVE_S = 12.0


@pytest.fixture(scope="module")
def asterisk() -> Iterator[Asterisk]:
    with Asterisk(free_ports()) as started:
        yield started


@pytest.fixture
def double() -> Iterator[Double]:
    with Double() as made:
        yield made


@pytest.fixture
def box(asterisk: Asterisk, double: Double, tmp_path: Path) -> Iterator[Box]:
    sip = {"password": asterisk.phone.secret}
    with Box(tmp_path, registrar=asterisk.address, sip=sip, capacity={"lines": 2}) as box:
        box.settings["dialer"] = {"kind": "vicidial", "vicidial": vicidial(double)}
        box.write()
        double.watch(box.log_file)
        double.watch(tmp_path / "guard.log")
        box.start()
        asterisk.wait_registered()
        yield box
    double.check()


@contextmanager
def guard(box: Box) -> Iterator[subprocess.Popen[bytes]]:
    with (box.folder / "guard.log").open("ab") as log:
        process = spawn([sys.executable, "-m", "appliance", "guard", "--config", box.config], stdout=log, stderr=log)
    try:
        eventually(lambda: "the daemon is" in told(box), "the guard's first look")
        yield process
    finally:
        end(process)


def told(box: Box) -> str:
    return (box.folder / "guard.log").read_text(errors="replace")


def is_active(double: Double) -> bool:
    return bool(double.remote_agent()["status"] == "ACTIVE")


def statuses_set(double: Double) -> list[str]:
    return [seen.params["status"] for seen in double.ledger.of("update_remote_agent") if "status" in seen.params]


def test_a_killed_box_gets_no_calls_and_a_live_one_gets_them_again_also_after_the_guards_own_death(
    box: Box, double: Double
) -> None:
    with guard(box) as first:
        eventually(lambda: "the daemon is registered" in told(box), "the registration")
        assert statuses_set(double) == []
        box.signal(signal.SIGKILL)
        took_s = eventually(lambda: not is_active(double), "the pause", INACTIVE_S)
        assert took_s > 6, "a daemon that restarts must have the time for it"
        first.kill()
        first.wait()
    box.process.wait()
    box.start()
    assert not is_active(double)
    with guard(box) as second:
        eventually(lambda: is_active(double), "the end of the pause")
        second.send_signal(signal.SIGTERM)
        assert second.wait(5) == 0
    assert statuses_set(double) == ["INACTIVE", "ACTIVE"]
    assert "Traceback" not in told(box)


def test_a_frozen_box_gets_no_calls_and_gets_them_again_when_it_thaws(box: Box, double: Double) -> None:
    with guard(box):
        eventually(lambda: "the daemon is registered" in told(box), "the registration")
        box.signal(signal.SIGSTOP)
        eventually(lambda: not is_active(double), "the pause", INACTIVE_S)
        box.signal(signal.SIGCONT)
        eventually(lambda: is_active(double), "the end of the pause")
    assert statuses_set(double) == ["INACTIVE", "ACTIVE"]
    lines = told(box).splitlines()
    assert sum("nobody takes calls" in line for line in lines) == 1
    assert sum("takes calls again" in line for line in lines) == 1
