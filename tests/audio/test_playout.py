"""Every sample that is written leaves once, in order, and is counted; what a cut takes away is counted exactly too."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from appliance.audio.formats import FRAME_BYTES, FRAME_SAMPLES, SILENCE
from appliance.audio.levels import FADE_SAMPLES, fade_in, fade_out
from appliance.audio.playout import CAPACITY_SAMPLES, Playout, Progress


def ramp(start: int, samples: int) -> bytes:
    """Samples that say which they are: start, start + 1, ... (never 0)."""
    return (np.arange(start, start + samples) % 32000 + 1).astype("<i2").tobytes()


def play(playout: Playout, frames: int) -> bytes:
    return b"".join(playout.next_frame() for _ in range(frames))


def say(playout: Playout, utterance: int, pcm: bytes) -> None:
    playout.write(utterance, 0, pcm, True)
    playout.close(utterance)


def test_nothing_to_say_is_silence() -> None:
    playout = Playout()
    assert playout.next_frame() == SILENCE
    assert playout.progress() == []
    assert playout.stats().underruns == 0


def test_plays_in_frames_and_pads_the_end() -> None:
    playout = Playout()
    pcm = ramp(0, 400)
    say(playout, 1, pcm)
    assert play(playout, 3) == pcm + bytes(160)
    assert playout.next_frame() == SILENCE
    assert playout.progress() == [Progress(1, 400, finished=True, cut=False, at_samples=480)]
    assert playout.stats().underruns == 0


def test_pieces_of_any_length_join_without_a_seam() -> None:
    playout = Playout()
    pcm = ramp(0, 1000)
    for start in range(0, 2000, 74):
        playout.write(1, 0, pcm[start : start + 74], False)
    assert play(playout, 6) == pcm[: 6 * FRAME_BYTES]


def test_clauses_sound_in_order_whatever_order_they_come_in() -> None:
    playout = Playout()
    playout.write(1, 2, ramp(500, 100), True)
    playout.write(1, 1, b"", True)
    assert playout.next_frame() == SILENCE
    playout.write(1, 0, ramp(0, 100), False)
    playout.write(1, 0, ramp(100, 200), True)
    playout.close(1)
    assert play(playout, 3) == ramp(0, 300) + ramp(500, 100) + bytes(160)
    assert playout.progress()[-1].finished


def test_closing_passes_over_clauses_that_never_came() -> None:
    playout = Playout()
    playout.write(1, 0, ramp(0, 80), False)
    playout.write(1, 3, ramp(300, 80), True)
    playout.close(1)
    assert playout.next_frame() == ramp(0, 80) + ramp(300, 80)
    assert playout.progress() == [Progress(1, 160, finished=True, cut=False, at_samples=160)]


def test_audio_of_a_clause_already_behind_is_dropped() -> None:
    playout = Playout()
    playout.write(1, 0, ramp(0, 160), True)
    playout.write(1, 1, ramp(200, 160), False)
    play(playout, 2)
    playout.write(1, 0, ramp(0, 50), True)
    playout.write(1, 1, ramp(360, 160), True)
    assert playout.next_frame() == ramp(360, 160)
    assert playout.stats().backlog_samples == 0


def test_an_utterance_closed_without_audio_is_finished() -> None:
    playout = Playout()
    playout.close(4)
    assert playout.next_frame() == SILENCE
    assert playout.progress() == [Progress(4, 0, finished=True, cut=False, at_samples=0)]


def test_utterances_follow_each_other_on_frame_borders() -> None:
    playout = Playout()
    playout.write(1, 0, ramp(0, 100), True)
    say(playout, 2, ramp(5000, 160))
    playout.close(1)
    assert play(playout, 2) == ramp(0, 100) + bytes(120) + ramp(5000, 160)
    assert [(p.utterance, p.finished) for p in playout.progress()] == [(1, True), (2, True)]


def test_an_utterance_waits_for_the_one_before_it() -> None:
    playout = Playout()
    playout.write(1, 0, ramp(0, 160), False)
    say(playout, 2, ramp(5000, 160))
    assert play(playout, 2) == ramp(0, 160) + SILENCE
    playout.write(1, 0, ramp(160, 160), True)
    playout.close(1)
    assert play(playout, 2) == ramp(160, 160) + ramp(5000, 160)


def test_underruns_are_counted_only_inside_an_utterance() -> None:
    playout = Playout()
    play(playout, 3)
    playout.write(1, 0, b"", False)
    play(playout, 3)
    playout.write(1, 0, ramp(0, 200), False)
    assert play(playout, 4) == ramp(0, 200) + bytes(4 * FRAME_BYTES - 400)
    assert playout.stats().underruns == 2
    playout.pause()
    play(playout, 5)
    assert playout.stats().underruns == 2


def test_pause_fades_out_keeps_the_place_and_resume_fades_in() -> None:
    playout = Playout()
    pcm = ramp(0, 1000)
    say(playout, 1, pcm)
    assert playout.next_frame() == pcm[:320]
    playout.pause()
    assert playout.next_frame() == fade_out(pcm[320:400])
    assert play(playout, 10) == SILENCE * 10
    assert playout.progress() == [Progress(1, 200, finished=False, cut=False, at_samples=320)]
    playout.resume()
    assert playout.next_frame() == fade_in(pcm[400:720])
    assert playout.next_frame() == pcm[720:1040]


def test_pause_twice_fades_once() -> None:
    playout = Playout()
    say(playout, 1, ramp(0, 1000))
    playout.next_frame()
    playout.pause()
    playout.pause()
    playout.next_frame()
    playout.pause()
    assert playout.next_frame() == SILENCE
    assert playout.progress()[-1].samples == FRAME_SAMPLES + FADE_SAMPLES


def test_pause_and_resume_between_two_frames_lose_nothing() -> None:
    playout = Playout()
    pcm = ramp(0, 1000)
    say(playout, 1, pcm)
    playout.next_frame()
    playout.pause()
    playout.resume()
    playout.pause()
    playout.resume()
    assert playout.next_frame() == fade_out(pcm[320:400])
    assert playout.next_frame() == fade_in(pcm[400:720])


def test_pause_before_the_first_word_has_nothing_to_fade() -> None:
    playout = Playout()
    playout.pause()
    say(playout, 1, ramp(0, 160))
    assert playout.next_frame() == SILENCE
    playout.resume()
    assert playout.next_frame() == ramp(0, 160)


def test_pause_in_the_last_samples_finishes_on_resume() -> None:
    playout = Playout()
    say(playout, 1, ramp(0, 170))
    playout.next_frame()
    playout.pause()
    assert playout.next_frame() == fade_out(ramp(160, 10))
    assert not playout.progress()[-1].finished
    playout.resume()
    assert playout.next_frame() == SILENCE
    assert playout.progress() == [Progress(1, 170, finished=True, cut=False, at_samples=320)]


def test_retire_fades_drops_the_rest_and_late_audio() -> None:
    playout = Playout()
    pcm = ramp(0, 1000)
    playout.write(1, 0, pcm, False)
    playout.next_frame()
    playout.retire(1)
    assert not playout.write(1, 0, ramp(0, 160), True)
    playout.close(1)
    assert play(playout, 2) == fade_out(pcm[320:400]) + SILENCE
    assert playout.progress() == [Progress(1, 200, finished=True, cut=True, at_samples=320)]
    assert playout.stats().backlog_samples == 0
    assert playout.stats().underruns == 0


def test_after_a_retired_utterance_the_next_begins_unfaded() -> None:
    playout = Playout()
    say(playout, 1, ramp(0, 1000))
    say(playout, 2, ramp(5000, 160))
    playout.next_frame()
    playout.retire(1)
    playout.next_frame()
    assert playout.next_frame() == ramp(5000, 160)


def test_retire_while_paused_ends_the_pause() -> None:
    playout = Playout()
    say(playout, 1, ramp(0, 1000))
    playout.next_frame()
    playout.pause()
    playout.next_frame()
    playout.retire(1)
    say(playout, 2, ramp(5000, 160))
    assert playout.next_frame() == ramp(5000, 160)
    assert [(p.utterance, p.samples, p.cut) for p in playout.progress()] == [(1, 200, True), (2, 160, False)]


def test_retire_of_one_that_waits_does_not_touch_the_one_that_sounds() -> None:
    playout = Playout()
    say(playout, 1, ramp(0, 320))
    say(playout, 2, ramp(5000, 160))
    playout.next_frame()
    playout.retire(2)
    playout.retire(3)
    assert play(playout, 2) == ramp(160, 160) + SILENCE
    assert [(p.utterance, p.samples, p.cut) for p in playout.progress()] == [(1, 320, False), (2, 0, True)]


def test_more_than_60_s_is_an_overrun_and_the_clause_still_ends() -> None:
    playout = Playout()
    assert playout.write(1, 0, bytes(2 * CAPACITY_SAMPLES), False)
    assert not playout.write(1, 0, bytes(2), True)
    assert playout.stats().overruns == 1
    playout.next_frame()
    assert playout.stats().backlog_samples == CAPACITY_SAMPLES - FRAME_SAMPLES
    assert playout.write(1, 1, bytes(FRAME_BYTES), True)


def test_half_a_sample_is_refused() -> None:
    with pytest.raises(ValueError, match="middle of a sample"):
        Playout().write(1, 0, b"abc", False)


def test_progress_says_the_newest_of_each_utterance_once() -> None:
    playout = Playout()
    say(playout, 1, ramp(0, 1000))
    play(playout, 3)
    assert playout.progress() == [Progress(1, 480, finished=False, cut=False, at_samples=480)]
    assert playout.progress() == []


@settings(deadline=None)
@given(
    pieces=st.lists(st.integers(0, 700), max_size=12),
    clauses=st.lists(st.booleans(), min_size=12, max_size=12),
    frames=st.lists(st.integers(0, 4), min_size=12, max_size=12),
)
def test_without_a_cut_every_sample_leaves_once_and_in_order(pieces: list[int], clauses: list[bool], frames: list[int]) -> None:
    playout = Playout()
    written, sent = 0, b""
    clause = 0
    for samples, ends_clause, reads in zip(pieces, clauses, frames, strict=False):
        assert playout.write(7, clause, ramp(written, samples), ends_clause)
        clause += ends_clause
        written += samples
        sent += play(playout, reads)
    playout.close(7)
    sent += play(playout, written // FRAME_SAMPLES + 2)
    heard = np.frombuffer(sent, dtype="<i2")
    assert heard[heard != 0].tobytes() == ramp(0, written)
    final = playout.progress()[-1]
    assert (final.samples, final.finished) == (written, True)


@dataclass
class Told:
    """The writer's own book of one utterance."""

    written: int = 0
    closed: bool = False
    retired: bool = False
    seen: list[Progress] = field(default_factory=list)


class PlayoutMachine(RuleBasedStateMachine):
    """Any order of commands and frames. Each utterance is a ramp on its own level, so each sample has one origin."""

    @initialize()
    def begin(self) -> None:
        self.playout = Playout()
        self.told: dict[int, Told] = {}
        self.paused = False
        self.next_number = 0
        self.frames = 0

    def open_ones(self) -> list[int]:
        return [n for n, told in self.told.items() if not told.closed and not told.retired]

    @rule(samples=st.integers(0, 900), new=st.booleans(), pick=st.integers(0, 5))
    def write(self, samples: int, new: bool, pick: int) -> None:
        choices = self.open_ones()
        if new or not choices:
            self.next_number += 1
            self.told[self.next_number] = Told()
            choices = [self.next_number]
        number = choices[pick % len(choices)]
        told = self.told[number]
        assert self.playout.write(number, 0, ramp(told.written, samples), False)
        told.written += samples

    @precondition(lambda self: bool(self.told))
    @rule(pick=st.integers(0, 5))
    def retire(self, pick: int) -> None:
        number = list(self.told)[pick % len(self.told)]
        self.playout.retire(number)
        self.told[number].retired = True
        self.paused = False
        assert not self.playout.write(number, 0, ramp(0, 10), False)

    @precondition(lambda self: bool(self.open_ones()))
    @rule(pick=st.integers(0, 5))
    def close(self, pick: int) -> None:
        choices = self.open_ones()
        number = choices[pick % len(choices)]
        self.playout.close(number)
        self.told[number].closed = True

    @rule()
    def pause(self) -> None:
        self.playout.pause()
        self.paused = True

    @rule()
    def resume(self) -> None:
        self.playout.resume()
        self.paused = False

    @rule(frames=st.integers(1, 6))
    def read(self, frames: int) -> None:
        for n in range(frames):
            frame = self.playout.next_frame()
            self.frames += 1
            assert len(frame) == FRAME_BYTES
            if self.paused:
                allowed = FADE_SAMPLES * 2 if n == 0 else 0
                assert frame[allowed:] == bytes(FRAME_BYTES - allowed)
        self.collect()

    def collect(self) -> None:
        for progress in self.playout.progress():
            told = self.told[progress.utterance]
            last = told.seen[-1] if told.seen else Progress(progress.utterance, 0, False, False, 0)
            assert not last.finished
            assert last.samples <= progress.samples <= told.written
            assert last.at_samples <= progress.at_samples <= self.frames * FRAME_SAMPLES
            if progress.finished:
                assert progress.cut == (told.retired and (progress.cut or progress.samples < told.written))
                assert progress.cut or (told.closed and progress.samples == told.written)
            told.seen.append(progress)

    @invariant()
    def nothing_is_lost_uncounted(self) -> None:
        if not hasattr(self, "playout"):
            return
        written = sum(told.written for told in self.told.values())
        assert 0 <= self.playout.stats().backlog_samples <= written

    def teardown(self) -> None:
        if not hasattr(self, "playout"):
            return
        self.playout.resume()
        for number in self.open_ones():
            self.playout.close(number)
            self.told[number].closed = True
        self.paused = False
        self.read(sum(told.written // FRAME_SAMPLES + 2 for told in self.told.values()) + 2)
        assert self.playout.stats().backlog_samples == 0
        for told in self.told.values():
            assert told.seen
            assert told.seen[-1].finished
            assert told.retired or told.seen[-1].samples == told.written


TestPlayoutMachine = PlayoutMachine.TestCase
TestPlayoutMachine.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)


def test_two_threads_deliver_every_sample_once() -> None:
    playout = Playout()
    total = 200_000
    stop = threading.Event()
    sent: list[bytes] = []

    def clock() -> None:
        while not stop.is_set():
            sent.append(playout.next_frame())

    reader = threading.Thread(target=clock)
    reader.start()
    written = 0
    while written < total:
        if playout.write(1, 0, ramp(written, 37), False):
            written += 37
    playout.close(1)
    finished: list[Progress] = []
    for _ in range(10_000):
        finished = [progress for progress in playout.progress() if progress.finished]
        if finished:
            break
        stop.wait(0.001)
    stop.set()
    reader.join()
    assert [progress.samples for progress in finished] == [written]
    heard = np.frombuffer(b"".join(sent), dtype="<i2")
    assert heard[heard != 0].tobytes() == ramp(0, written)
