from __future__ import annotations

from appliance.sip.media import MediaClock


def test_a_late_beat_is_a_late_frame_for_each_call_and_for_nobody_when_idle() -> None:
    clock = MediaClock()
    for beat in range(10):
        clock.beat(beat * 0.02)
    clock.beat(0.2 + 0.006)
    assert clock.late_frames == 0
    clock.plugged = 3
    clock.beat(0.22 + 0.004)
    assert clock.late_frames == 0
    clock.beat(0.24 + 0.006)
    clock.beat(0.26 + 0.015)
    clock.beat(0.28)
    assert clock.late_frames == 6
    assert clock.last_beat_at == 0.28


def test_the_first_fault_is_handed_out_once() -> None:
    clock = MediaClock()
    assert clock.take_fault() is None
    clock.failed(KeyError("a customer's number"))
    clock.failed(ValueError())
    assert clock.take_fault() == "KeyError"
    clock.failed(ValueError())
    assert clock.take_fault() is None
    assert clock.faults == 3
