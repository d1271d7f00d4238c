"""The meter's calibration: real sockets, a real capture, and a delay that only the answerer knows."""

from __future__ import annotations

from pathlib import Path

from tests.lab.reference import calibrate


def test_the_meter_finds_a_hidden_delay_within_20_ms(tmp_path: Path) -> None:
    found = calibrate(tmp_path, pairs=6, turns=2)
    assert found.good, found
    assert abs(found.bias_ms) < 10, found
