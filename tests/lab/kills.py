"""A worker is killed at the three kinds of moment in a call, and what the caller then met. The judgement is pure.

Three calls are up at once, a few seconds apart, and each has its moment: the agent is in the middle of a sentence, the
caller talks, the caller has just finished and waits for the reply. A kill meets all calls that are up, and so every one
of them is judged after every kill.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from appliance.api import wire
from tests.lab.bench import MATCH_S, Bench, CallRecord, world_shift_s
from tests.lab.meter import Report, Silence
from tests.lab.show import Show

SILENCE_LIMIT_S = 2.0
SENTENCE_S = 0.5  # shorter speech of the agent is a scrap of one
AWAITED_S = 1.0
SETTLED_S = 8.0  # between a worker's return and the next kill, so that each is met by a conversation


@dataclass(frozen=True)
class Moment:
    """So long after the customers' event of this kind; an event older than STALE_S when it is heard of is let go by."""

    name: str
    event: str
    after_s: float


STALE_S = 0.1
MOMENTS = (
    Moment("agent in a sentence", "agent_talks", 1.0),
    Moment("caller talks", "talks", 0.4),
    Moment("reply awaited", "turn", 0.0),
)


@dataclass(frozen=True)
class Kill:
    """One kill: the moment was chosen in this call. `back_at_s` is None for a worker that did not come back."""

    moment: str
    number: str
    at_s: float
    back_at_s: float | None


@dataclass(frozen=True)
class Sentence:
    """A turn of the agent by the appliance's account, in seconds since 1970. `asks`: a question, said to its end."""

    begin_s: float
    end_s: float
    asks: bool


@dataclass(frozen=True)
class Aftermath:
    """What one caller met after one kill. Seconds; None where it did not happen.

    `silence`: the longest with nobody speaking that was the agent's to break. While the worker is away every silence is;
    later not what follows a question that was asked to its end, and not what the caller ends. `wait_s`: from the kill, or
    the end of the sentence it fell into, until somebody was heard again. `new_s`: from the worker's return to the next new
    sentence of the agent. `turns`: how many of those there were until the end.
    """

    kill: Kill
    number: str
    silence: Silence
    wait_s: float | None
    new_s: float | None
    turns: int

    @property
    def chosen(self) -> bool:
        """Was the moment chosen in this call?"""
        return self.kill.number == self.number

    def problems(self) -> list[str]:
        at = f"kill while '{self.kill.moment}', caller {self.number}"
        found = []
        if self.silence.seconds > SILENCE_LIMIT_S:
            found.append(f"{at}: {self.silence.seconds:.1f} s of silence, limit {SILENCE_LIMIT_S:.0f} s")
        if self.kill.back_at_s is None:
            found.append(f"{at}: the worker did not come back")
        elif self.chosen and self.new_s is None:  # the other calls may be saying goodbye
            found.append(f"{at}: no new sentence of the agent after the worker was back")
        return found

    def row(self) -> dict[str, Any]:
        """As data for --json."""
        back_s = None if self.kill.back_at_s is None else round(self.kill.back_at_s - self.kill.at_s, 2)
        return {
            "moment": self.kill.moment,
            "call": self.number,
            "chosen": self.chosen,
            "worker_back_s": back_s,
            "silence_s": round(self.silence.seconds, 2),
            "heard_again_s": None if self.wait_s is None else round(self.wait_s, 2),
            "new_sentence_s": None if self.new_s is None else round(self.new_s, 2),
            "turns_after": self.turns,
        }


def hit(kill: Kill, report: Report) -> bool:
    """Did the kill fall into its moment, by the wire?"""
    agent = any(begin < kill.at_s < end for begin, end in report.agent_speech)
    caller = any(begin < kill.at_s < end for begin, end in report.caller_speech)
    if kill.moment == MOMENTS[0].name:
        return agent and not caller
    if kill.moment == MOMENTS[1].name:
        return caller and not agent
    ended_s = max((end for _, end in report.caller_speech if end <= kill.at_s), default=0.0)
    spoke_s = max((end for _, end in report.agent_speech if end <= kill.at_s), default=0.0)
    return not agent and not caller and ended_s > spoke_s and kill.at_s - ended_s < AWAITED_S


def aftermath(kill: Kill, number: str, report: Report, until_s: float, sentences: Sequence[Sentence]) -> Aftermath:
    """Judge one call, that ended at `until_s`, after one kill. `sentences` are the agent's, holding lines left out."""
    back_s = kill.back_at_s if kill.back_at_s is not None else until_s
    longest = Silence()
    for silence in report.silences:
        begin_s, end_s = silence.from_at_s, silence.from_at_s + silence.seconds
        if end_s <= kill.at_s or (begin_s > back_s and not _agents_to_break(silence, sentences)):
            continue
        if silence.before != "caller":
            begin_s = max(begin_s, kill.at_s)  # till then the caller was thinking about an answer
        if end_s - begin_s > longest.seconds:
            longest = Silence(end_s - begin_s, begin_s, silence.before, silence.after)
    speech = [*report.agent_speech, *report.caller_speech]
    free_s = max([kill.at_s, *(end for begin, end in speech if begin < kill.at_s < end)])
    heard = [max(begin, free_s) for begin, end in speech if end - max(begin, free_s) >= SENTENCE_S]
    new = [s.begin_s for s in sentences if s.begin_s > back_s and _on_the_wire(s, report)]
    return Aftermath(
        kill,
        number,
        longest,
        min(heard) - free_s if heard else None,
        min(new) - back_s if new and kill.back_at_s is not None else None,
        len(new),
    )


def _agents_to_break(silence: Silence, sentences: Sequence[Sentence]) -> bool:
    if not silence.agents:
        return False
    return silence.before != "agent" or not any(s.asks and abs(s.end_s - silence.from_at_s) < MATCH_S for s in sentences)


def _on_the_wire(sentence: Sentence, report: Report) -> bool:
    heard_s = sum(max(0.0, min(e, sentence.end_s) - max(b, sentence.begin_s)) for b, e in report.agent_speech)
    return heard_s >= SENTENCE_S


class Killer:
    """Watches a bench of len(MOMENTS) calls and kills the worker `part` at each call's moment."""

    def __init__(self, bench: Bench, part: str, show: Show) -> None:
        self._bench, self._part, self._show = bench, part, show
        self._waiting = dict(zip((r.number for r in bench.records), MOMENTS, strict=True))
        self._kills: list[tuple[Moment, str, float]] = []
        self._back_at_s: list[float] = []

    @property
    def done(self) -> bool:
        return not self._waiting

    def event(self, record: CallRecord, event: dict[str, Any]) -> None:
        """One event of a customer."""
        moment = self._waiting.get(record.number)
        understood = any(turn.who == "caller" for turn in record.turns)
        if moment is None or event["kind"] != moment.event or not understood or not self._settled():
            return
        due_s = event["at"] + moment.after_s
        if time.time() - due_s > STALE_S:
            return
        time.sleep(max(0.0, due_s - time.time()))
        self._show.step(f"kill -9 of the {self._part} worker: {moment.name} ({record.number[-4:]})")
        self._kills.append((moment, record.number, self._bench.appliance.kill_worker(self._part)))
        del self._waiting[record.number]

    def engine(self, change: wire.EngineChanged) -> None:
        """A worker went or came."""
        if change.engine.engine == self._part and change.engine.up and len(self._back_at_s) < len(self._kills):
            self._back_at_s.append(time.time())

    def _settled(self) -> bool:
        if len(self._back_at_s) < len(self._kills):
            return False
        return not self._back_at_s or time.time() - self._back_at_s[-1] > SETTLED_S

    @property
    def kills(self) -> list[Kill]:
        back: list[float | None] = [*self._back_at_s, *[None] * (len(self._kills) - len(self._back_at_s))]
        return [Kill(m.name, number, at_s, b) for (m, number, at_s), b in zip(self._kills, back, strict=True)]


def judge(kill: Kill, record: CallRecord, report: Report, holding: str) -> Aftermath | None:
    """None for a call that was not up at the kill. `holding` is the line that says nothing new."""
    if record.answered_at_s is None or record.left_at_s is None:
        return None
    if not record.answered_at_s < kill.at_s < record.left_at_s:
        return None
    shift_s = world_shift_s(record, report)
    sentences = [
        Sentence(turn.start_s + shift_s, turn.end_s + shift_s, turn.text.endswith("?") and not turn.cut)
        for turn in record.turns
        if shift_s is not None and turn.who == "agent" and turn.text != holding
    ]
    return aftermath(kill, record.number, report, record.left_at_s, sentences)


def filed(record: CallRecord) -> list[str]:
    """What is missing of the call's end: an outcome that is no failure, a recording, a transcript."""
    if record.ended is None or not record.ended.outcome:
        return [f"{record.number}: the call has no outcome"]
    found = []
    if record.ended.outcome not in record.persona.outcomes:
        found.append(f"{record.number}: outcome {record.ended.outcome}, expected {' or '.join(record.persona.outcomes)}")
    for what, path in (("recording", record.ended.recording), ("transcript", record.ended.transcript)):
        if path is None or not Path(path).is_file() or not Path(path).stat().st_size:
            found.append(f"{record.number}: the call has no {what}")
    return found
