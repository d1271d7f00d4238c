"""The wire meter: from both directions of a call to response gaps, cut-offs, silences and lateness. Pure.

The response gap is the time from the last RTP packet with caller speech to the first RTP packet with agent speech, both
as they pass the caller's side. Two detectors (`onsets`) must place both edges within AGREE_S of each other, else the
turn is discarded, with the reason. A gap is never reported without the cut-offs beside it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from tests.lab.onsets import Stretch, by_energy, by_spectrum
from tests.lab.rtp import RATE_HZ, Leg

AGREE_S = 0.06
EDGE_S = 0.04  # an onset this near the end of the turn is at its end: packets are 20 ms, detectors off by as much
COLLISION_S = 0.2  # an agent that starts within this of the caller's start could not have known
BREATH_S = 0.5  # silences up to this belong to one utterance
SHORT_S = 0.3  # shorter silences are the gaps between words
SCRAP_S = 0.15  # shorter speech is a click, and breaks no silence


@dataclass(frozen=True)
class SpokenTurn:
    """What a customer said and when, by its own log: seconds since 1970. Incomplete where they hung up within it."""

    text: str
    start_at_s: float
    end_at_s: float
    complete: bool = True


@dataclass(frozen=True)
class Gap:
    """One answered turn. `turn` is its index; instants are seconds since 1970 on the wire."""

    turn: int
    caller_end_at_s: float
    agent_start_at_s: float
    gap_ms: float


@dataclass(frozen=True)
class Discarded:
    turn: int
    reason: str


@dataclass(frozen=True)
class CutOff:
    """The agent started to talk inside this turn, `before_end_ms` before its end."""

    turn: int
    before_end_ms: float


@dataclass(frozen=True)
class BargeIn:
    """The caller started to talk over the agent, who fell silent `stop_ms` later."""

    turn: int
    stop_ms: float


@dataclass(frozen=True)
class Lateness:
    """How much later than the stream's most punctual packet the agent's packets came."""

    packets: int = 0
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    max_ms: float = 0.0
    over_20_ms: int = 0
    lost: int = 0


@dataclass(frozen=True)
class Silence:
    """A stretch in which nobody spoke. `before` and `after` say who did: "caller", "agent", or "" at the call's ends."""

    seconds: float = 0.0
    from_at_s: float = 0.0
    before: str = ""
    after: str = ""

    @property
    def agents(self) -> bool:
        """Was it the agent's to break? Yes, but where the agent had spoken and the caller then did: they were thinking."""
        return (self.before, self.after) != ("agent", "caller")


@dataclass(frozen=True)
class Report:
    """One call as its caller met it. `judged` is how many turns could have been cut off."""

    gaps: list[Gap] = field(default_factory=list)
    discarded: list[Discarded] = field(default_factory=list)
    cut_offs: list[CutOff] = field(default_factory=list)
    barge_ins: list[BargeIn] = field(default_factory=list)
    judged: int = 0
    agent_speech: list[tuple[float, float]] = field(default_factory=list)
    caller_speech: list[tuple[float, float]] = field(default_factory=list)
    lateness: Lateness = Lateness()
    silences: list[Silence] = field(default_factory=list)

    @property
    def wait(self) -> Silence:
        """The longest silence that was the agent's to break."""
        return max((s for s in self.silences if s.agents), key=lambda s: s.seconds, default=Silence())


def _joined(stretches: Sequence[Stretch], within_s: float) -> list[Stretch]:
    joined: list[Stretch] = []
    for begin, end in stretches:
        if joined and begin - joined[-1][1] <= within_s * RATE_HZ:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((begin, end))
    return joined


class _Side:
    """One direction: its speech by both detectors, as arrival times of the packets at its edges."""

    def __init__(self, leg: Leg) -> None:
        self.leg = leg
        self.energy = by_energy(leg.pcm)
        self.spectrum = by_spectrum(leg.pcm)
        self.breaths = self.times(_joined(self.energy, BREATH_S))

    def times(self, stretches: Iterable[Stretch]) -> list[tuple[float, float]]:
        return [(self.leg.time_of(begin), self.leg.time_of(end - 1)) for begin, end in stretches]

    def last_end(self, since_s: float, until_s: float) -> tuple[float, float] | None:
        """When the last speech in this window arrived, by each detector."""
        ends = []
        for stretches in (self.energy, self.spectrum):
            inside = [end for begin, end in self.times(stretches) if since_s < end and begin < until_s]
            if not inside:
                return None
            ends.append(min(inside[-1], until_s))
        return ends[0], ends[1]

    def first_start(self, since_s: float) -> tuple[float, float] | None:
        """When the first speech that begins after this instant arrived, by each detector."""
        starts = []
        for stretches in (self.energy, self.spectrum):
            after = [begin for begin, _ in self.times(stretches) if begin >= since_s]
            if not after:
                return None
            starts.append(after[0])
        return starts[0], starts[1]

    def talking_at(self, instant_s: float) -> tuple[float, float] | None:
        return next(((b, e) for b, e in self.breaths if b < instant_s < e), None)


def measure(caller: Leg, agent: Leg, turns: Sequence[SpokenTurn], *, since_s: float = 0.0, until_s: float = 0.0) -> Report:
    """Everything about one call. `since_s` and `until_s` bound where silence counts (answered, hung up)."""
    his, ours = _Side(caller), _Side(agent)
    gaps: list[Gap] = []
    discarded: list[Discarded] = []
    cut_offs: list[CutOff] = []
    barge_ins: list[BargeIn] = []
    judged = 0
    for index, turn in enumerate(turns):
        ends = his.last_end(turn.start_at_s, turn.end_at_s + 0.4)
        if ends is None:
            discarded.append(Discarded(index, "not found on the wire"))
            continue
        end_s = sum(ends) / 2
        talked = ours.talking_at(turn.start_at_s + 0.02)
        if talked is not None and turn.complete:
            barge_ins.append(BargeIn(index, _stop_ms(ours, turn.start_at_s)))
        if not turn.complete:
            discarded.append(Discarded(index, "the caller hung up in it"))
            continue
        if talked is None:
            inside = [b for b, _ in ours.breaths if turn.start_at_s < b < end_s - EDGE_S]
            if inside and inside[0] - turn.start_at_s < COLLISION_S:
                discarded.append(Discarded(index, "both began at once"))
                continue
            judged += 1
            if inside:
                cut_offs.append(CutOff(index, (end_s - inside[0]) * 1000))
                discarded.append(Discarded(index, "cut off"))
                continue
        reason, gap = _gap(index, ends, ours, turns[index + 1].start_at_s if index + 1 < len(turns) else None)
        if gap is not None:
            gaps.append(gap)
        else:
            discarded.append(Discarded(index, reason))
    return Report(
        gaps,
        discarded,
        cut_offs,
        barge_ins,
        judged,
        ours.breaths,
        his.breaths,
        lateness(agent),
        silences(his.times(his.energy), ours.times(ours.energy), since_s, until_s),
    )


def _gap(index: int, ends: tuple[float, float], ours: _Side, next_turn_s: float | None) -> tuple[str, Gap | None]:
    end_s = sum(ends) / 2
    if abs(ends[0] - ends[1]) > AGREE_S:
        return "the detectors disagree about the caller's end", None
    if any(begin < end_s - EDGE_S and end > end_s for begin, end in ours.breaths):
        return "the agent was talking", None
    starts = ours.first_start(end_s - EDGE_S)
    if starts is None or (next_turn_s is not None and min(starts) > next_turn_s):
        return "no answer", None
    if abs(starts[0] - starts[1]) > AGREE_S:
        return "the detectors disagree about the agent's start", None
    start_s = sum(starts) / 2
    return "", Gap(index, end_s, start_s, (start_s - end_s) * 1000)


def _stop_ms(ours: _Side, caller_start_s: float) -> float:
    """How long the agent went on after the caller began."""
    for begin, end in ours.times(ours.energy):
        if begin <= caller_start_s + 0.02 and end > caller_start_s:
            return (end - caller_start_s) * 1000
    return 0.0


def lateness(leg: Leg) -> Lateness:
    """Arrival of every packet against its timestamp, per stream."""
    late: list[np.ndarray[tuple[int], np.dtype[np.float64]]] = []
    for source in np.unique(leg.sources):
        mine = leg.sources == source
        transit_s = leg.at_s[mine] - leg.starts[mine] / RATE_HZ
        late.append((transit_s - transit_s.min()) * 1000)
    if not late:
        return Lateness()
    ms = np.concatenate(late)
    p50, p99 = np.percentile(ms, [50, 99])
    return Lateness(len(ms), float(p50), float(p99), float(ms.max()), int((ms > 20).sum()), leg.lost)


def silences(
    caller: Iterable[tuple[float, float]], agent: Iterable[tuple[float, float]], since_s: float, until_s: float
) -> list[Silence]:
    """Every stretch of [since_s, until_s] longer than SHORT_S without speech of either side. Scraps are no speech."""
    speech = [(begin, end, who) for who, side in (("caller", caller), ("agent", agent)) for begin, end in side]
    found: list[Silence] = []
    at_s, before = since_s, ""
    for begin, end, who in [*sorted(s for s in speech if s[1] - s[0] >= SCRAP_S), (until_s, until_s, "")]:
        stop_s = min(begin, until_s)
        if stop_s - at_s > SHORT_S:
            found.append(Silence(stop_s - at_s, at_s, before, who))
        if end > at_s:
            at_s, before = end, who
    return found


def percentiles(gaps_ms: Sequence[float]) -> dict[str, float | int | None]:
    """p50, p95, max and n, in milliseconds; None where there is nothing to say."""
    if not gaps_ms:
        return {"p50": None, "p95": None, "max": None, "n": 0}
    p50, p95 = np.percentile(np.asarray(gaps_ms), [50, 95])
    return {"p50": round(float(p50)), "p95": round(float(p95)), "max": round(max(gaps_ms)), "n": len(gaps_ms)}
