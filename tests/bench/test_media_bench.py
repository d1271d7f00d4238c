"""The media bench: its arithmetic, and one short run of all its processes."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from appliance.bench.peer import Packets, lateness_ms


def stream(late_ms: dict[int, float], count: int = 100, first_rtp: int = 0) -> Packets:
    """`count` packets on a 20 ms grid, some of them late; RTP timestamps from `first_rtp` on, wrapping."""
    packets = Packets()
    for n in range(count):
        packets.at_s.append(1000.0 + n * 0.02 + late_ms.get(n, 0.0) / 1000)
        packets.rtp_samples.append((first_rtp + n * 160) & 0xFFFFFFFF)
    return packets


def test_a_punctual_stream_is_not_late() -> None:
    assert lateness_ms(stream({})) == pytest.approx([0.0] * 87, abs=1e-6)


def test_late_packets_are_found_by_how_much() -> None:
    late = lateness_ms(stream({40: 7.0, 90: 12.5}))
    assert sorted(late)[-2:] == pytest.approx([7.0, 12.5], abs=1e-6)
    assert sum(ms > 5 for ms in late) == 2


def test_the_rtp_clock_may_wrap() -> None:
    assert max(lateness_ms(stream({}, first_rtp=0xFFFFFFFF - 1600))) == pytest.approx(0.0, abs=1e-6)


def test_the_first_quarter_second_is_left_out() -> None:
    assert max(lateness_ms(stream({2: 40.0}))) == pytest.approx(0.0, abs=1e-6)
    assert lateness_ms(Packets()) == []


def test_a_short_run_reports_every_figure() -> None:
    command = [sys.executable, "-m", "appliance", "bench", "media", "--calls", "2", "--seconds", "2", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout.splitlines()[-1])
    (run,) = report["runs"]
    assert run["calls"] == 2
    assert run["frames"] == pytest.approx(run["frames_expected"], rel=0.05)
    assert sum(run["wire_histogram_ms"].values()) == run["frames"]
    assert 0 < run["own_path_ms"]["p50"] <= run["own_path_ms"]["p99"] <= run["own_path_ms"]["max"]
    assert set(run["cpu_percent"]) == {"daemon", "speech", "recognizer", "mind"}
    assert run["cpu_percent_per_call"] == pytest.approx(sum(run["cpu_percent"].values()) / 2, abs=0.2)
    assert run["overruns"] == 0
