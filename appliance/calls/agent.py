"""Our side of the talk: what is being said, what of it was heard, and what is owed to the caller."""

from __future__ import annotations

from appliance.audio.formats import RATE_HZ
from appliance.calls import effects, events
from appliance.calls.campaign import Campaign, clauses
from appliance.calls.effects import Act, ActKind, AnyEffect, Prompt, Speaker
from appliance.calls.utterance import Utterance

TAKE_BACK_S = 0.3  # so little of a reply heard: the caller was not done, and both pieces are one turn
PARTING = frozenset({ActKind.CLOSE, ActKind.CONNECTING, ActKind.CALLBACK_SET})
TAIL_S = 1.0  # listening noises this near to the end of a question are its answer


class Agent:
    """`utterance` is the sentence of the moment, `line` one that the daemon itself holds and plays while engines fail."""

    def __init__(self, call: str, campaign: Campaign) -> None:
        self.utterance: Utterance | None = None
        self.line: Utterance | None = None
        self.replies_to: int | None = None  # the caller's last speech, in samples, till our answer to it is heard
        self._call = call
        self._campaign = campaign
        self._disclosure_owed = False

    # What to say -----------------------------------------------------------------------------------------------------

    def owing(self, acts: tuple[Act, ...]) -> tuple[Act, ...]:
        """The acts, after a disclosure that was cut: it comes first, unless these are the last words."""
        kinds = {act.kind for act in acts}
        if ActKind.GREET in kinds or ActKind.DISCLOSE in kinds:
            self._disclosure_owed = False
        elif self._disclosure_owed and kinds.isdisjoint(PARTING):
            self._disclosure_owed = False
            return (Act(ActKind.DISCLOSE), *acts)
        return acts

    def worded(self, utterance: Utterance, text: str, last: bool) -> None:
        """The mind has given one more clause, or (no text) has no more."""
        if text:
            utterance.clauses.append(text)
        utterance.worded = last

    def say(self, utterance: Utterance) -> list[AnyEffect]:
        """All of it that is worded so far."""
        final = len(utterance.clauses) - 1
        return [
            effects.Say(self._call, utterance.number, i, text, utterance.worded and i == final)
            for i, text in enumerate(utterance.clauses)
        ]

    def play(self, prompt: Prompt, number: int) -> list[AnyEffect]:
        """One of the daemon's own lines, as utterance `number`."""
        lines = self._campaign.lines
        text: str = getattr(lines, prompt.value)
        self.line = Utterance(number, None)
        self.worded(self.line, text, True)
        return [effects.Play(self._call, number, prompt)]

    # What was heard --------------------------------------------------------------------------------------------------

    def voiced(self, event: events.Voiced) -> None:
        for utterance in (self.utterance, self.line):
            if utterance is not None and utterance.number == event.utterance:
                utterance.voiced(event.clause, event.samples)

    def left(self, utterance: Utterance, event: events.Played) -> bool:
        """More of it has left for the caller; False when it has not."""
        if event.samples <= utterance.played_samples:
            return False
        utterance.played(event.samples, event.at_samples)
        if self.replies_to is not None:
            utterance.gap_ms = round(utterance.started_s * 1000 - self.replies_to * 1000 / RATE_HZ, 1)
            self.replies_to = None
        return True

    @property
    def nearly_asked(self) -> bool:
        """The end of a question is sounding: a "yes" over it is its answer, not a listening noise."""
        utterance = self.utterance
        return (
            utterance is not None
            and utterance.acts[-1].kind in (ActKind.ASK, ActKind.REASK)
            and utterance.all_voiced
            and utterance.left_s <= TAIL_S
            and utterance.played_s >= TAKE_BACK_S
        )

    def cut(self) -> list[AnyEffect]:
        """Be silent: neither the daemon's line nor the utterance is said any further."""
        return self.line_over(cut=True) + self.over(cut=True)

    def over(self, *, cut: bool) -> list[AnyEffect]:
        """The utterance has left to its end, or is `cut`: what was heard of it becomes history."""
        utterance, self.utterance = self.utterance, None
        if utterance is None:
            return []
        self._note_disclosure(utterance, whole=not cut and bool(utterance.clauses))
        hush = [effects.Hush(self._call, utterance.number)] if cut and utterance.clauses else []
        return [*self._taken(utterance, cut=cut), *hush]

    def line_over(self, *, cut: bool) -> list[AnyEffect]:
        """The same of the daemon's line."""
        line, self.line = self.line, None
        if line is None:
            return []
        return [*self._taken(line, cut=cut), *([effects.Hush(self._call, line.number)] if cut else [])]

    def _taken(self, utterance: Utterance, *, cut: bool) -> list[AnyEffect]:
        text = utterance.heard_text() if cut else utterance.text()
        if not utterance.started or not text:
            return []
        times = (round(utterance.started_s, 3), round(utterance.ended_s, 3))
        return [effects.TurnTaken(self._call, Speaker.AGENT, text, *times, utterance.gap_ms, cut)]

    def _note_disclosure(self, utterance: Utterance, *, whole: bool) -> None:
        """It is owed until it has left to its last clause, in however many pieces."""
        greeting = self._campaign.greeting
        lines = {
            ActKind.BACK: self._campaign.lines.back,
            ActKind.GREET: f"{greeting.hello} {greeting.disclosure}",
            ActKind.DISCLOSE: greeting.disclosure,
        }
        needed = 0
        for act in utterance.acts:
            needed += len(clauses(lines.get(act.kind, "")))
            if act.kind in (ActKind.GREET, ActKind.DISCLOSE):
                self._disclosure_owed = not whole and utterance.heard_clauses < needed
