from __future__ import annotations

import queue
import threading
from collections.abc import Iterator

import pytest

from appliance.engines.synthesis import Job, Synthesis

WAIT_S = 5.0


class GatedVoice:
    """Speaks one piece of one byte pair per word; holds at the word "wait" until let go."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.holding = threading.Event()
        self.made: list[str] = []

    def synthesize(self, clause: str) -> Iterator[bytes]:
        self.made.append(clause)
        for word in clause.split():
            if word == "wait":
                self.holding.set()
                assert self.gate.wait(WAIT_S)
            yield b"\1\0"


class Bench:
    def __init__(self) -> None:
        self.voice = GatedVoice()
        self.out: queue.Queue[tuple[str, int, bool]] = queue.Queue()
        self.synthesis = Synthesis(self.voice, lambda job, pcm, last: self.out.put((job.call, job.clause, last)))

    def finished(self, count: int) -> list[tuple[str, int]]:
        """The next `count` clauses in the order in which they were completed."""
        done: list[tuple[str, int]] = []
        while len(done) < count:
            call, clause, last = self.out.get(timeout=WAIT_S)
            if last:
                done.append((call, clause))
        return done

    def hold(self) -> None:
        self.synthesis.speak(Job("holder", 1, 0, "wait"))
        assert self.voice.holding.wait(WAIT_S)


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.voice.gate.set()
    bench.synthesis.stop()


def test_first_clauses_of_other_calls_come_before_second_ones(bench: Bench) -> None:
    bench.hold()
    for clause in range(3):
        bench.synthesis.speak(Job("a", 1, clause, f"a {clause}"))
    bench.synthesis.speak(Job("b", 1, 0, "b 0"))
    bench.voice.gate.set()
    assert bench.finished(5) == [("holder", 0), ("a", 0), ("b", 0), ("a", 1), ("a", 2)]


def test_a_dropped_utterance_is_not_made(bench: Bench) -> None:
    bench.hold()
    bench.synthesis.speak(Job("a", 1, 0, "old"))
    bench.synthesis.speak(Job("a", 2, 0, "new"))
    bench.synthesis.drop("a", 1)
    bench.synthesis.drop("holder")
    bench.voice.gate.set()
    assert bench.finished(1) == [("a", 0)]
    assert "old" not in bench.voice.made
    assert bench.out.empty()


def test_prepared_clauses_come_at_once_and_are_made_once(bench: Bench) -> None:
    bench.synthesis.prepare(["hello there"])
    deadline = threading.Event()
    for _ in range(500):
        if bench.synthesis.prepared() == (1, 0):
            break
        deadline.wait(0.01)
    bench.hold()
    bench.synthesis.speak(Job("a", 1, 0, "hello there"))
    assert bench.out.get_nowait() == ("a", 0, True)
    assert bench.voice.made.count("hello there") == 1


def test_a_ready_clause_waits_for_the_ones_before_it(bench: Bench) -> None:
    bench.synthesis.prepare(["ready"])
    bench.hold()
    bench.synthesis.speak(Job("holder", 1, 1, "ready"))
    assert bench.out.empty()
    bench.voice.gate.set()
    assert bench.finished(2) == [("holder", 0), ("holder", 1)]


def test_a_call_that_asks_for_too_much_is_refused_and_counted(bench: Bench) -> None:
    bench.hold()
    for clause in range(70):
        bench.synthesis.speak(Job("a", 1, clause, "x"))
    assert bench.synthesis.counts.refused == 6
    assert bench.finished(6) == [("a", clause) for clause in range(64, 70)]


def test_a_voice_that_makes_nothing_still_closes_the_clause(bench: Bench) -> None:
    bench.synthesis.speak(Job("a", 1, 0, " "))
    assert bench.finished(1) == [("a", 0)]
    assert bench.synthesis.counts.failed == 1
