"""The lab's scenarios on the real Asterisk, each through its command line, as an operator runs them."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.lab import persona
from tests.lab.asterisk.server import root_of
from tests.lab.faults import LabError
from tests.lab.kills import MOMENTS
from tests.lab.processes import spawn
from tests.lab.scenarios import BACK_LIMIT_S, BUSY_LINE, VOICEMAIL

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: the lab's Asterisk runs in a chroot, and tcpdump")
ROOT = Path(__file__).parents[2]
SCENARIO_S = 280
# What these say is at the edge of what the default recognizer understands over a synthetic voice.
HARD = {"curious", "slow_talker"}
# The scenario itself asks for SILENCE_LIMIT_S. On a machine that others keep busy the restarts take longer.
BUSY_MACHINE_SILENCE_S = 5.0


@dataclass(frozen=True)
class Finished:
    """A run of `python -m tests.lab … --json`: its exit status, its JSON, all that it printed."""

    status: int
    data: dict[str, Any]
    printed: str


def lab(*arguments: str) -> Finished:
    process = spawn(
        [sys.executable, "-m", "tests.lab", *arguments, "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT
    )
    try:
        out, shown = process.communicate(timeout=SCENARIO_S)
    finally:
        process.kill()
    printed = f"{shown.decode()}\n{out.decode()}"
    lines = out.decode().splitlines()
    assert lines, printed
    return Finished(process.returncode, json.loads(lines[-1]), printed)


def assert_passed(finished: Finished) -> None:
    assert finished.status == 0, finished.printed


# One call ------------------------------------------------------------------------------------------------------------


def a_call_as_the_main_job_tells_it(data: dict[str, Any]) -> None:
    """The exact shape of the JSON, and a conversation in it."""
    assert list(data) == ["calls", "gap_ms", "cut_offs", "media", "voicemail_box_hits"]
    assert list(data["gap_ms"]) == ["p50", "p95", "max", "n"]
    assert list(data["cut_offs"]) == ["n", "of"]
    assert list(data["media"]) == ["late_frames", "underruns", "overruns"]
    assert data["voicemail_box_hits"] == 0
    (call,) = data["calls"]
    assert list(call) == ["answered", "outcome", "turns", "recording", "transcript"]
    assert call["answered"] is True
    for path in (call["recording"], call["transcript"]):
        assert Path(path).stat().st_size > 0
    for turn in call["turns"]:
        assert list(turn) == ["who", "text", "start_s", "end_s", "gap_ms"]
        assert turn["who"] in ("caller", "agent")
        assert turn["start_s"] < turn["end_s"]


def four_turns_are_understood(data: dict[str, Any]) -> None:
    a_call_as_the_main_job_tells_it(data)
    (call,) = data["calls"]
    assert call["outcome"] == "completed"
    assert sum(turn["who"] == "caller" for turn in call["turns"]) >= 4
    assert data["gap_ms"]["n"] >= 4
    assert any(turn["gap_ms"] is not None for turn in call["turns"])


def registered_again_in_time(data: dict[str, Any]) -> None:
    assert data["registered_again_s"] <= BACK_LIMIT_S


def the_dropped_call_has_an_outcome(data: dict[str, Any]) -> None:
    registered_again_in_time(data)
    assert data["first_outcome"]
    assert data["calls"][1]["outcome"] == "not_interested"


def drained(data: dict[str, Any]) -> None:
    assert data["calls"][0]["outcome"] == "wants_human"
    assert data["turns_after_sigterm"] >= 2
    assert data["second_call"] in (VOICEMAIL, BUSY_LINE)
    assert data["voicemail_box_hits"] == (data["second_call"] == VOICEMAIL)
    assert data["exit_status"] == 0
    assert data["unregistered"]


def unharmed(data: dict[str, Any]) -> None:
    assert data["thrown"] > 100
    assert data["calls"][0]["outcome"] == "wants_human"


@dataclass(frozen=True)
class Single:
    arguments: tuple[str, ...]
    check: Callable[[dict[str, Any]], None]


SINGLES = {
    "run": Single(("run",), four_turns_are_understood),
    "restart_in_call": Single(("restart_in_call", "--persona", "not_interested"), the_dropped_call_has_an_outcome),
    "restart_idle": Single(("restart_idle", "--persona", "not_interested"), registered_again_in_time),
    "drain": Single(("drain", "--persona", "asks_human"), drained),
    "garbage": Single(("garbage", "--persona", "asks_human"), unharmed),
    "asterisk22": Single(("run", "--dialer", "asterisk22", "--persona", "asks_removal"), a_call_as_the_main_job_tells_it),
}


def no_asterisk22() -> str:
    """Why that dialer cannot be had, "" where it can."""
    try:
        root_of("asterisk22")
    except LabError as error:
        return f"{error.message}: {error.hint}"
    return ""


@pytest.mark.timeout(SCENARIO_S)
@pytest.mark.parametrize("single", SINGLES)
def test_a_single_call(single: str) -> None:
    if single == "asterisk22" and (why := no_asterisk22()):
        pytest.skip(why)
    finished = lab(*SINGLES[single].arguments)
    assert_passed(finished)
    SINGLES[single].check(finished.data)


@pytest.fixture(scope="module")
def everybody() -> Finished:
    return lab("personas")


@pytest.mark.timeout(SCENARIO_S)
@pytest.mark.parametrize("name", persona.names())
def test_a_persona_ends_as_it_should(name: str, everybody: Finished) -> None:
    """The outcome that the persona's file asks for; of the hard ones, that there is one."""
    met = everybody.data["personas"][name]
    assert met["outcome"] in persona.load(name).outcomes or (name in HARD and met["outcome"]), everybody.printed


@pytest.mark.timeout(SCENARIO_S)
def test_none_of_them_was_put_into_the_voicemail_box(everybody: Finished) -> None:
    assert everybody.data["voicemail_box_hits"] == 0
    assert all(call["answered"] for call in everybody.data["calls"])


# Many calls, and kills: one scenario after the other -----------------------------------------------------------------


@pytest.mark.timeout(SCENARIO_S)
def test_ten_calls_at_once() -> None:
    finished = lab("parallel", "--calls", "10")
    assert_passed(finished)
    assert len(finished.data["calls"]) == 10
    assert all(call["answered"] for call in finished.data["calls"])
    assert finished.data["voicemail_box_hits"] == 0


@pytest.mark.timeout(SCENARIO_S)
@pytest.mark.parametrize("part", ["speech", "mind"])
def test_a_killed_worker(part: str) -> None:
    finished = lab(f"kill_{part}")
    kills = finished.data["kills"]
    chosen = [row for row in kills if row["chosen"]]
    assert [row["moment"] for row in chosen] == [moment.name for moment in MOMENTS]
    assert all(row["worker_back_s"] is not None for row in kills), finished.printed
    assert all(row["silence_s"] <= BUSY_MACHINE_SILENCE_S for row in kills), finished.printed
    assert all(row["turns_after"] >= 1 for row in chosen), finished.printed
    assert all(call["outcome"] for call in finished.data["calls"]), finished.printed


# Ctrl-C --------------------------------------------------------------------------------------------------------------


def descendants(pid: int) -> list[int]:
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, task.read_text().split()):
            found += [child, *descendants(child)]
    return found


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


@pytest.mark.timeout(SCENARIO_S)
def test_ctrl_c_in_a_call_leaves_nothing_behind() -> None:
    """A real terminal: the interrupt reaches the whole foreground process group, as from a keyboard."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(ROOT)
        os.execv(sys.executable, [sys.executable, "-m", "tests.lab", "run"])
    shown = b""
    try:
        while b"Emma" not in shown:
            shown += os.read(terminal, 4096)
        started = descendants(pid)
        assert len(started) >= 6, "dialer, capture, customers, appliance and its workers"
        os.write(terminal, b"\x03")
        due = time.monotonic() + 8
        while any(map(alive, [pid, *started])) and time.monotonic() < due:
            shown += _read(terminal)
        left = [one for one in [pid, *started] if alive(one)]
    finally:
        os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        os.close(terminal)
    assert left == [], shown.decode(errors="replace")
    assert os.waitstatus_to_exitcode(status) == 130


def _read(terminal: int) -> bytes:
    """What it printed; waits a moment where it has closed its side."""
    try:
        return os.read(terminal, 4096)
    except OSError:
        time.sleep(0.02)
        return b""
