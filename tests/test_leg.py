"""A leg joins the rings of a call's media with what the core wants to hear: real rings, a real playout."""

from __future__ import annotations

import pytest

from appliance.audio.formats import FRAME_BYTES, FRAME_SAMPLES, SILENCE
from appliance.audio.playout import CAPACITY_SAMPLES, Playout
from appliance.audio.rings import FrameRing
from appliance.calls import effects, events
from appliance.engines.wire import Audio
from appliance.leg import MAX_SKEW_FRAMES, Leg

CALL = "c1"


class Line:
    """The far end of a leg: what the media clock's thread does."""

    def __init__(self) -> None:
        self.received = FrameRing(50)
        self.sent = FrameRing(50)
        self.playout = Playout()
        self.leg = Leg(CALL, self.received, self.sent, self.playout)

    def beat(self, count: int = 1) -> bytes:
        """So many frames leave. Returns them."""
        return b"".join(self.playout.next_frame() for _ in range(count))

    def voice(self, utterance: int, clause: int, samples: int, *, last: bool = True) -> list[events.AnyEvent]:
        return self.leg.audio(Audio(CALL, utterance, clause, tone(samples), last))

    def say(self, utterance: int, clause: int, *, last: bool, text: str = "Well.") -> None:
        self.leg.say(effects.Say(CALL, utterance, clause, text, last))


def frame(number: int) -> bytes:
    return bytes([number]) * FRAME_BYTES


def tone(samples: int) -> bytes:
    return b"\x01\x02" * samples


def numbers(pairs: list[tuple[bytes, bytes]]) -> list[tuple[int, int]]:
    assert all(len(caller) == len(agent) == FRAME_BYTES for caller, agent in pairs)
    return [(caller[0], agent[0]) for caller, agent in pairs]


# Frames --------------------------------------------------------------------------------------------------------------


def test_frames_come_in_pairs_and_each_once() -> None:
    line = Line()
    assert line.leg.frames() == []
    for n in (1, 2):
        line.received.push(frame(n))
        line.sent.push(frame(n + 10))
    assert numbers(line.leg.frames()) == [(1, 11), (2, 12)]
    assert line.leg.frames() == []


def test_a_frame_waits_for_its_counterpart() -> None:
    line = Line()
    for n in range(1, MAX_SKEW_FRAMES + 1):
        line.received.push(frame(n))
        assert line.leg.frames() == []
    line.sent.push(frame(11))
    assert numbers(line.leg.frames()) == [(1, 11)]


@pytest.mark.parametrize("received", [True, False])
def test_a_direction_that_has_stopped_is_silence_and_the_other_goes_on(received: bool) -> None:
    line = Line()
    ring = line.received if received else line.sent
    for n in range(1, MAX_SKEW_FRAMES + 4):
        ring.push(frame(n))
    assert numbers(line.leg.frames()) == [(n, 0) if received else (0, n) for n in (1, 2, 3)]
    assert line.leg.frames() == [], "the rest still waits"


def test_audio_time_goes_by_frames() -> None:
    leg = Line().leg
    assert leg.at_samples == 0
    assert [leg.next_moment(), leg.next_moment()] == [FRAME_SAMPLES, 2 * FRAME_SAMPLES]
    assert leg.at_samples == 2 * FRAME_SAMPLES


# Utterances ----------------------------------------------------------------------------------------------------------


def test_a_clause_is_voiced_when_its_last_piece_has_come() -> None:
    line = Line()
    line.say(1, 0, last=True)
    assert line.voice(1, 0, 100, last=False) == []
    assert line.voice(1, 0, 60) == [events.Voiced(CALL, 1, 0, 160)]
    assert line.beat(2) == tone(160) + SILENCE
    assert line.leg.progress() == [events.Played(CALL, 1, 160, True, FRAME_SAMPLES)]
    assert line.leg.progress() == []


def test_an_utterance_ends_with_its_last_clause_and_not_with_what_has_come() -> None:
    line = Line()
    line.say(1, 0, last=False)
    line.voice(1, 0, 160)
    line.beat(2)
    assert line.leg.progress() == [events.Played(CALL, 1, 160, False, FRAME_SAMPLES)]
    line.say(1, 1, last=True)
    line.beat()
    assert line.leg.progress() == []
    line.voice(1, 1, 160)
    line.beat()
    assert line.leg.progress() == [events.Played(CALL, 1, 320, True, 4 * FRAME_SAMPLES)]
    assert line.leg.underruns == 2, "one before and one after the second clause was asked for"


def test_clauses_may_come_in_any_order() -> None:
    line = Line()
    line.say(1, 0, last=False)
    line.say(1, 1, last=True)
    assert line.voice(1, 1, 160) == [events.Voiced(CALL, 1, 1, 160)]
    line.beat()
    assert line.leg.progress() == []
    line.voice(1, 0, 160)
    line.beat(2)
    assert line.leg.progress() == [events.Played(CALL, 1, 320, True, 3 * FRAME_SAMPLES)]


def test_an_utterance_closed_without_a_further_word_is_finished() -> None:
    """The mind died in the middle of a sentence: `Say` with no text closes what is there."""
    line = Line()
    line.say(1, 0, last=False)
    line.voice(1, 0, 160)
    line.say(1, 0, last=True, text="")
    line.beat()
    assert line.leg.progress() == [events.Played(CALL, 1, 160, True, FRAME_SAMPLES)]


def test_a_clause_that_could_not_be_voiced_has_no_samples_and_holds_nothing_up() -> None:
    line = Line()
    line.say(1, 0, last=False)
    line.say(1, 1, last=True)
    assert line.voice(1, 0, 0) == [events.Voiced(CALL, 1, 0, 0)]
    line.voice(1, 1, 160)
    line.beat()
    assert line.leg.progress() == [events.Played(CALL, 1, 160, True, FRAME_SAMPLES)]


def test_a_line_that_the_daemon_holds_is_played_whole() -> None:
    line = Line()
    assert line.leg.play(7, tone(320)) == [events.Voiced(CALL, 7, 0, 320)]
    assert line.beat(2) == tone(320)
    assert line.leg.progress() == [events.Played(CALL, 7, 320, True, 2 * FRAME_SAMPLES)]


def test_a_line_that_the_daemon_does_not_hold_is_over_at_once() -> None:
    line = Line()
    assert line.leg.play(7, b"") == [events.Voiced(CALL, 7, 0, 0)]
    assert line.beat() == SILENCE
    assert line.leg.progress() == [events.Played(CALL, 7, 0, True, 0)]


def test_what_is_hushed_is_heard_no_more_however_late_its_audio_comes() -> None:
    line = Line()
    line.say(1, 0, last=False)
    line.say(1, 1, last=True)
    line.voice(1, 0, 400)
    line.beat()
    line.leg.hush(1)
    line.voice(1, 1, 400)
    line.beat()  # the fade
    assert line.beat(3) == 3 * SILENCE
    (played,) = line.leg.progress()
    assert isinstance(played, events.Played)
    assert (played.utterance, played.finished) == (1, True)
    assert FRAME_SAMPLES < played.samples < 400, "what faded out was heard too"
    line.leg.play(2, tone(160))
    assert line.beat() != SILENCE


def test_a_hush_ends_a_pause() -> None:
    line = Line()
    line.leg.play(1, tone(1600))
    line.leg.play(2, tone(160))
    line.beat()
    line.leg.playout.pause()
    line.beat()
    assert line.beat() == SILENCE
    line.leg.hush(1)
    line.beat()
    assert [p.utterance for p in line.playout.progress() if p.finished] == [1, 2]


def test_what_was_lost_on_the_way_is_counted() -> None:
    line = Line()
    assert (line.leg.underruns, line.leg.overruns) == (0, 0)
    for n in range(51):
        line.received.push(frame(n))
    for n in range(52):
        line.sent.push(frame(n))
    line.say(1, 0, last=False)
    line.voice(1, 0, CAPACITY_SAMPLES, last=False)
    line.voice(1, 0, 1, last=False)
    assert line.leg.overruns == 1 + 2 + 1
