from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.audio.formats import FRAME_S, FRAME_SAMPLES
from appliance.calls import bargein
from appliance.calls.bargein import BargeIn, Verdict, is_backchannel
from appliance.calls.events import Heard
from appliance.calls.turns import SpeechTracker


class Line:
    """The caller's side of one agent utterance."""

    def __init__(self) -> None:
        self.tracker = SpeechTracker()
        self.barge = BargeIn()
        self.verdicts: list[tuple[float, Verdict]] = []
        self.frames = 0

    def hear(
        self, for_s: float, *, level: float | None = None, outbound: float = -20.0, text: str | None = None
    ) -> list[Verdict]:
        new: list[Verdict] = []
        for i in range(round(for_s / FRAME_S)):
            self.frames += 1
            shown = text if i == 0 else None
            speech = 0.9 if level is not None else 0.1
            row = Heard("c", self.frames * FRAME_SAMPLES, speech, -70.0 if level is None else level, outbound, shown)
            self.barge.hear(row, self.tracker)
            verdict = self.barge.judge(self.tracker)
            self.verdicts.append((self.frames * FRAME_S, verdict))
            if verdict is not Verdict.NOTHING:
                new.append(verdict)
        return new


def test_speech_pauses_within_120_ms_and_once() -> None:
    line = Line()
    line.hear(1.0)
    assert line.hear(0.12, level=-22) == [Verdict.PAUSE]
    assert line.hear(0.3, level=-22) == []


def test_words_commit() -> None:
    line = Line()
    line.hear(0.2, level=-22)
    assert line.hear(0.02, level=-22, text="wait")[:1] == [Verdict.COMMIT]


@pytest.mark.parametrize("text", [None, "uh huh", "okay go on"])
def test_a_listening_noise_resumes_once(text: str | None) -> None:
    line = Line()
    line.hear(0.2, level=-22)
    line.hear(0.2, level=-22, text=text)
    assert line.hear(0.34) == []
    assert line.hear(0.02) == [Verdict.RESUME]
    line.tracker.clear()
    assert line.hear(0.3) == []
    assert line.hear(0.2, level=-22) == [Verdict.PAUSE]


def test_a_long_stretch_commits_whatever_its_words() -> None:
    wordless = Line()
    assert Verdict.COMMIT not in wordless.hear(0.78, level=-22)
    assert wordless.hear(0.02, level=-22) == [Verdict.COMMIT]
    yeah = Line()
    assert Verdict.COMMIT not in yeah.hear(2.48, level=-22, text="yeah yeah")
    assert yeah.hear(0.02, level=-22) == [Verdict.COMMIT]


def test_own_echo_is_no_speech_and_the_gate_opens_after_it() -> None:
    line = Line()
    assert line.barge.gate_dbov == bargein.FLOOR_DBOV
    assert line.hear(2.0, level=-32, outbound=-20) == []
    assert line.barge.gate_dbov == -30
    assert line.hear(0.2, level=-32, outbound=-127) == [], "the tail of it comes back after our last word"
    line.hear(0.2, outbound=-127)
    assert line.barge.gate_dbov == bargein.FLOOR_DBOV
    assert line.hear(0.2, level=-32, outbound=-127) == [Verdict.PAUSE]


def test_reset_starts_over() -> None:
    line = Line()
    line.hear(0.2, level=-22)
    line.barge.reset()
    assert line.hear(0.02, level=-22) == [Verdict.PAUSE]


def test_backchannels() -> None:
    assert is_backchannel("uh huh okay")
    assert not is_backchannel("okay stop")


@given(st.lists(st.sampled_from([None, -22.0, -45.0]), max_size=150), st.sampled_from([None, "uh huh", "no wait"]))
def test_every_commit_and_resume_follows_a_pause(levels: list[float | None], text: str | None) -> None:
    line = Line()
    paused = False
    for i, level in enumerate(levels):
        for verdict in line.hear(FRAME_S, level=level, text=text if i == 20 else None):
            assert (verdict is Verdict.PAUSE) is not paused
            paused = verdict is Verdict.PAUSE
            if verdict is Verdict.COMMIT:
                return
            if verdict is Verdict.RESUME:
                line.tracker.clear()
