"""The mind without a model: it knows the campaign's wordings and says the campaign's lines, word for word."""

from __future__ import annotations

from collections import deque
from typing import assert_never

import msgspec

from appliance.calls.campaign import HOURS, WHEN, Builtin, Campaign, clauses
from appliance.calls.effects import Act, ActKind
from appliance.calls.events import Understanding
from appliance.engines.minds.matching import Match, Phrase, best_match, present, vocabulary
from appliance.engines.minds.slots import Value, phrases_of, slot_value
from appliance.engines.minds.words import tokens
from appliance.engines.wire import Clause, Meaning

# The order in which a sentence is read. What would hurt most to miss comes first.
_URGENT = (Builtin.OPT_OUT, Builtin.HUMAN)
_LEAVING = (Builtin.NOT_INTERESTED, Builtin.GOODBYE)


class Reader:
    """Caller text -> Understanding, for one campaign. Deterministic, holds no state of a call."""

    def __init__(self, campaign: Campaign) -> None:
        self._questions = {q.id: q for q in campaign.questions}
        self._slots = {q.id: phrases_of(q) for q in campaign.questions}
        builtins = {b: [Phrase.of(b.value, p) for p in campaign.intents.get(b, [])] for b in Builtin}
        self._groups = [
            *(builtins[b] for b in _URGENT),
            [p for b in _LEAVING for p in builtins[b]],
            [Phrase.of(r.id, p) for r in campaign.objections for p in r.phrases],
            [Phrase.of(r.id, p) for r in campaign.answers for p in r.phrases],
            builtins[Builtin.REPEAT],
        ]
        self._vocabulary = vocabulary(phrase for group in self._groups for phrase in group)

    def understand(self, question: str | None, text: str) -> Understanding:
        """What `text` means as a reply to `question`. An unknown question is read as no question."""
        heard = tokens(text)
        if not heard:
            return Understanding()
        asked = self._questions.get(question or "")
        value = slot_value(asked, self._slots[asked.id], heard) if asked else None
        intent = self._intent(heard)
        if intent is None:
            return Understanding(slot=value.text if value else None)
        if value is None:
            return Understanding(intent=intent.label)
        return _settle(intent, value)

    def _intent(self, heard: tuple[str, ...]) -> Match | None:
        """The first group that matches, unless a later one explains all its words and more."""
        words = present(heard, self._vocabulary)
        found: Match | None = None
        for group in self._groups:
            match = best_match(heard, group, words)
            if match and (found is None or match.explains_more_than(found)):
                found = match
        return found


def _settle(intent: Match, value: Value) -> Understanding:
    """Both an intent and an answer were read: keep both unless they stand on the same words."""
    if intent.label in (Builtin.OPT_OUT, Builtin.HUMAN):
        return Understanding(intent=intent.label)
    if intent.at <= value.at:
        return Understanding(slot=value.text)
    if intent.label in (Builtin.NOT_INTERESTED, Builtin.GOODBYE):
        return Understanding(intent=intent.label)
    if intent.label == Builtin.REPEAT or value.at <= intent.at:
        return Understanding(slot=value.text) if intent.label == Builtin.REPEAT else Understanding(intent=intent.label)
    return Understanding(intent=intent.label, slot=value.text)


class _Request(msgspec.Struct, frozen=True):
    call: str
    request: int
    result: tuple[Meaning | Clause, ...]


class ScriptedMind:
    """Implements `protocols.Mind`. Every request is complete at the next `step`."""

    def __init__(self, campaign: Campaign) -> None:
        self._campaign = campaign
        self._reader = Reader(campaign)
        self._pending: deque[_Request] = deque()
        self._acknowledged: dict[str, int] = {}

    def understand(self, call: str, request: int, question: str | None, text: str) -> None:
        meaning = Meaning(call, request, self._reader.understand(question, text))
        self._pending.append(_Request(call, request, (meaning,)))

    def phrase(self, call: str, request: int, acts: tuple[Act, ...]) -> None:
        """An act whose reference the campaign does not have says nothing; the last clause always comes."""
        said = [clause for act in acts for clause in clauses(self._line(call, act))] or [""]
        out = tuple(Clause(call, request, text, last=i == len(said) - 1) for i, text in enumerate(said))
        self._pending.append(_Request(call, request, out))

    def cancel(self, call: str, request: int | None) -> None:
        self._pending = deque(p for p in self._pending if p.call != call or request not in (None, p.request))
        if request is None:
            self._acknowledged.pop(call, None)

    def step(self) -> list[Meaning | Clause]:
        done = [item for pending in self._pending for item in pending.result]
        self._pending.clear()
        return done

    def _line(self, call: str, act: Act) -> str:
        campaign, lines = self._campaign, self._campaign.lines
        match act.kind:
            case ActKind.GREET:
                return f"{campaign.greeting.hello} {campaign.greeting.disclosure}"
            case ActKind.DISCLOSE:
                return campaign.greeting.disclosure
            case ActKind.ASK | ActKind.REASK:
                asked = next((q for q in campaign.questions if q.id == act.ref), None)
                return "" if asked is None else asked.ask if act.kind is ActKind.ASK else asked.reask
            case ActKind.ANSWER | ActKind.OBJECTION:
                reply = campaign.reply(act.ref)
                return reply.say if reply else ""
            case ActKind.ACKNOWLEDGE:
                turn = self._acknowledged.get(call, 0)
                self._acknowledged[call] = turn + 1
                return lines.acknowledge[turn % len(lines.acknowledge)] if lines.acknowledge else ""
            case ActKind.SORRY:
                return lines.sorry
            case ActKind.BACK:
                return lines.back
            case ActKind.STILL_THERE:
                return lines.still_there
            case ActKind.CLOSE:
                return next((o.closing for o in campaign.outcomes if o.id == act.ref), "")
            case ActKind.CONNECTING:
                return lines.connecting
            case ActKind.NOBODY_FREE:
                return lines.nobody_free
            case ActKind.CALLBACK_SET:
                return lines.callback_set.replace(WHEN, act.value)
            case ActKind.CALLBACK_HOURS:
                return lines.callback_hours.replace(HOURS, act.value)
            case _:
                assert_never(act.kind)


def make(campaign: Campaign) -> ScriptedMind:
    """See `protocols.MakeMind`."""
    return ScriptedMind(campaign)
