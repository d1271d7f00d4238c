"""The dead-man's switch as two real processes: what the dialer sees when the daemon is killed, frozen, stopped on purpose."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from appliance import guard_file
from appliance.guard_file import rescued_ids
from tests.box import Box, eventually
from tests.doctor.site import vicidial
from tests.fakes.vicidial.double import Double
from tests.integration.test_hostile_dialer import Hostile
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


def settled(box: Box, call_id: str) -> bool:
    """Whether the daemon is done with what it owes the dialer's log of this call."""
    with closing(sqlite3.connect(f"file:{box.state}/outbox.db?mode=ro", uri=True)) as database:
        found = database.execute("SELECT what FROM entries WHERE kind = 'settle' AND call_id = ?", (call_id,)).fetchall()
    return bool(found) and all(what is not None for (what,) in found)


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


def test_a_planned_restart_is_the_daemons_own_affair(box: Box, double: Double) -> None:
    with guard(box):
        eventually(lambda: "the daemon is registered" in told(box), "the registration")
        box.signal(signal.SIGTERM)
        eventually(lambda: statuses_set(double) == ["INACTIVE"], "the daemon's pause")
        eventually(lambda: "the daemon is draining" in told(box), "the drain")
        box.signal(signal.SIGTERM)  # not for 20 s
        assert box.ended(20) == 0
        eventually(lambda: "the daemon is gone" in told(box), "its end")
        assert guard_file.read(box.state) == guard_file.Kept()
        box.start()
        eventually(lambda: is_active(double), "the end of the daemon's pause")
        eventually(lambda: told(box).count("the daemon is registered") == 2, "its return")
    assert statuses_set(double) == ["INACTIVE", "ACTIVE"]
    assert "takes calls again" not in told(box)
    assert "nobody takes calls" not in told(box)


def test_the_guard_hears_the_dialers_id_wherever_the_dialer_puts_it(double: Double, tmp_path: Path) -> None:
    dialer = Hostile(2)
    with dialer, Box(tmp_path, registrar=dialer.address) as box:
        box.settings["dialer"] = {"kind": "vicidial", "vicidial": vicidial(double)}
        box.write()
        box.start()
        dialer.greeted(dialer.call(b'"Jane"', headers=b'P-Asserted-Identity: "V1221347110000000010" <sip:4155559999@x>\r\n'))
        eventually(lambda: [up["dialer_call_id"] for up in box.status()["calls"]] == ["V1221347110000000010"], "the id")
        caller = dialer.greeted(dialer.call(b'"Jim"', number=b"1"))
        eventually(lambda: len(box.status()["calls"]) == 2, "the second call")
        assert {up["caller_name"]: up["dialer_call_id"] for up in box.status()["calls"]}["Jim"] == ""
        dialer.hang_up(caller.number)
        eventually(lambda: len(box.status()["calls"]) == 1, "its end")


def test_whom_the_guard_sent_to_a_human_the_daemon_does_not_book_as_lost(double: Double, tmp_path: Path) -> None:
    dialer = Hostile(1)
    with dialer, Box(tmp_path, registrar=dialer.address) as box:
        box.settings["dialer"] = {"kind": "vicidial", "vicidial": vicidial(double)}
        box.write()
        box.start()
        eventually(lambda: len(double.lines()) == 2, "the dialer's lines")
        lead = double.next_lead()
        assert lead is not None
        call_id = double.call_answered(lead, "SIP/carrier-1")
        assert call_id is not None
        dialer.greeted(dialer.call(f'"{call_id}"'.encode()))
        eventually(lambda: box.status()["calls"], "the call")
        with guard(box):
            box.signal(signal.SIGKILL)
            eventually(lambda: double.log(call_id)["status"] == "XFER", "the rescue")
            box.process.wait()
            box.start()
            eventually(lambda: settled(box, call_id), "the daemon's own look at the call")
        assert double.log(call_id)["status"] == "XFER"
        assert call_id in rescued_ids(box.state)
