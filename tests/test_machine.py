from __future__ import annotations

import os
import time
from pathlib import Path

from appliance.machine import CpuShare


def test_the_share_is_of_the_time_since_the_last_question(tmp_path: Path) -> None:
    stat = tmp_path / "stat"
    stat.write_text("cpu  100 0 100 700 100 0 0 0 50 0\ncpu0 1 1 1 1\n")
    share = CpuShare(stat)
    stat.write_text("cpu  130 10 110 720 120 10 0 0 90 0\ncpu0 1 1 1 1\n")
    assert share.since_last() == 1 - 40 / 100
    assert share.since_last() == 0.0  # no time has passed


def test_a_busy_core_is_seen() -> None:
    share = CpuShare()
    until = time.monotonic() + 0.2
    while time.monotonic() < until:
        pass
    assert share.since_last() > 0.5 / (os.cpu_count() or 1)
