from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.audio.rings import FrameRing, RingStats


def test_first_in_first_out() -> None:
    ring = FrameRing(3)
    assert ring.pop() is None
    assert ring.push(b"a")
    assert ring.push(b"b")
    assert len(ring) == 2
    assert ring.pop() == b"a"
    assert ring.drain() == [b"b"]
    assert ring.stats() == RingStats(pushed=2, popped=2, overruns=0, peak=2)


def test_a_full_ring_drops_its_oldest_and_counts() -> None:
    ring = FrameRing(2)
    assert [ring.push(bytes([n])) for n in range(4)] == [True, True, False, False]
    assert ring.stats() == RingStats(pushed=4, popped=0, overruns=2, peak=2)
    assert ring.drain() == [b"\2", b"\3"]


def test_a_ring_holds_at_least_one_frame() -> None:
    with pytest.raises(ValueError, match="at least one"):
        FrameRing(0)


class EmptiedMeanwhile(FrameRing):
    """The reader takes everything between the writer's look and its step."""

    def _drop_oldest(self) -> bool:
        self.drain()
        return super()._drop_oldest()


def test_nothing_is_counted_as_dropped_when_the_reader_was_faster() -> None:
    ring = EmptiedMeanwhile(1)
    assert ring.push(b"a")
    assert ring.push(b"b")
    assert ring.drain() == [b"b"]
    assert ring.stats() == RingStats(pushed=2, popped=2, overruns=0, peak=1)


@given(capacity=st.integers(1, 5), pushes=st.lists(st.booleans(), max_size=60))
def test_what_comes_out_is_what_went_in_less_the_overruns(capacity: int, pushes: list[bool]) -> None:
    ring = FrameRing(capacity)
    model: list[bytes] = []
    dropped = 0
    for n, is_push in enumerate(pushes):
        if is_push:
            model.append(bytes([n]))
            assert ring.push(bytes([n])) == (len(model) <= capacity)
            if len(model) > capacity:
                del model[0]
                dropped += 1
        else:
            assert ring.pop() == (model.pop(0) if model else None)
    stats = ring.stats()
    assert stats.overruns == dropped
    assert stats.pushed == stats.popped + stats.overruns + len(ring)
    assert ring.drain() == model


def test_two_threads_lose_nothing_uncounted() -> None:
    ring = FrameRing(8)
    total = 20_000
    done = threading.Event()

    def produce() -> None:
        for n in range(total):
            ring.push(n.to_bytes(4, "big"))
        done.set()

    producer = threading.Thread(target=produce)
    producer.start()
    got: list[int] = []
    while not done.is_set() or len(ring):
        got += [int.from_bytes(frame, "big") for frame in ring.drain()]
    producer.join()
    assert got == sorted(set(got))
    stats = ring.stats()
    assert stats.pushed == total
    assert stats.popped == len(got)
    assert stats.popped + stats.overruns == total
    assert stats.peak <= 8
