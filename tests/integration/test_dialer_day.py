"""A short campaign day on the real Asterisk with VICIdial's double, through the lab's command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.lab.dialer.judge import ZEROES
from tests.lab.dialer.mix import SHARES
from tests.lab.processes import spawn

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: the lab's Asterisk runs in a chroot")
ROOT = Path(__file__).parents[2]
CALLS = 20
DAY_S = 270
WENT_WRONG = ("calls at once, 3 more than the box takes", "the dialer's API is back", "the box is started again")


@pytest.mark.timeout(DAY_S)
def test_a_day_with_a_burst_an_outage_and_a_kill_leaves_true_statistics() -> None:
    command = [sys.executable, "-m", "tests.lab", "dialer-day", "--calls", str(CALLS), "--json"]
    process = spawn(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT)
    try:
        out, shown = process.communicate(timeout=DAY_S)
    finally:
        process.kill()
    printed = f"{shown.decode()}\n{out.decode()}"
    assert out, printed
    data = json.loads(out.decode().splitlines()[-1])
    assert {name: data[name] for name in ZEROES} == dict.fromkeys(ZEROES, 0), printed
    assert (process.returncode, data["violations"], data["problems"]) == (0, [], []), printed
    assert data["calls"] == data["answered"] == CALLS, printed
    assert set(data["by_persona"]) == set(SHARES), printed
    for words in WENT_WRONG:
        assert words in printed
    written = {status for statuses in data["by_persona"].values() for status in statuses}
    assert {"DNC", "CALLBK", "NI", "AICU", "XFER"} <= written, printed
    assert data["transfers"] >= 2, printed
