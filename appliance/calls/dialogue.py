"""What to do next in the script. Frozen positions in, decisions out, so that a step can be taken back."""

from __future__ import annotations

import msgspec

from appliance.calls.campaign import BUILTIN_OUTCOME, END, NEXT, REPEAT, Builtin, Campaign
from appliance.calls.effects import Act, ActKind
from appliance.calls.events import Understanding

MAX_NO_INPUTS = 2


class Position(msgspec.Struct, frozen=True):
    """Where in the script a call is. `slots` holds what was captured, by question id."""

    question: str
    slots: dict[str, str]
    reasks: int = 0
    no_inputs: int = 0


class Decision(msgspec.Struct, frozen=True):
    """What to say, where that leads, and with which outcome the call ends after it (None: it goes on)."""

    acts: tuple[Act, ...]
    position: Position
    outcome: str | None = None


def opening(campaign: Campaign) -> Decision:
    """The first words: greeting, then the first question."""
    first = campaign.questions[0].id
    return Decision((Act(ActKind.GREET), Act(ActKind.ASK, first)), Position(first, {}))


def on_meaning(campaign: Campaign, at: Position, meant: Understanding) -> Decision:
    """The caller said something that means `meant`."""
    question = campaign.question(at.question)
    at = msgspec.structs.replace(at, no_inputs=0)
    if meant.slot is not None:
        at = msgspec.structs.replace(at, slots={**at.slots, at.question: meant.slot})
    if meant.intent == Builtin.REPEAT:
        return Decision((Act(ActKind.ASK, at.question),), at)
    if meant.intent in BUILTIN_OUTCOME:
        return _close(at, BUILTIN_OUTCOME[Builtin(meant.intent)])
    reply = campaign.reply(meant.intent) if meant.intent else None
    if reply is not None:
        kind = ActKind.ANSWER if reply in campaign.answers else ActKind.OBJECTION
        if meant.slot is not None and reply.then == REPEAT:
            return _go(campaign, at, question.on.get(meant.slot, question.otherwise), Act(kind, reply.id))
        return _go(campaign, at, reply.then, Act(kind, reply.id))
    if meant.slot is not None:
        return _go(campaign, at, question.on.get(meant.slot, question.otherwise), Act(ActKind.ACKNOWLEDGE))
    return on_nothing_understood(campaign, at)


def on_nothing_understood(campaign: Campaign, at: Position) -> Decision:
    """The caller spoke, and nothing could be made of it."""
    question = campaign.question(at.question)
    if at.reasks >= question.reasks:
        return _go(campaign, at, question.give_up, Act(ActKind.ACKNOWLEDGE))
    at = msgspec.structs.replace(at, reasks=at.reasks + 1)
    return Decision((Act(ActKind.SORRY), Act(ActKind.REASK, at.question)), at)


def on_no_input(at: Position) -> Decision:
    """The caller said nothing for a while."""
    if at.no_inputs >= MAX_NO_INPUTS:
        return _close(at, "no_input")
    acts = (Act(ActKind.STILL_THERE), Act(ActKind.REASK, at.question))
    return Decision(acts, msgspec.structs.replace(at, no_inputs=at.no_inputs + 1))


def on_engine_back(at: Position) -> Decision:
    """An engine died and is back; what the caller said meanwhile is lost."""
    return Decision((Act(ActKind.BACK), Act(ActKind.REASK, at.question)), at)


def _close(at: Position, outcome: str) -> Decision:
    return Decision((Act(ActKind.CLOSE, outcome),), at, outcome)


def _go(campaign: Campaign, at: Position, target: str, first: Act) -> Decision:
    """Say `first`, then go where `target` points."""
    if target.startswith(END):
        closing = _close(at, target.removeprefix(END))
        # A thank-you before a goodbye is one too many; an answer still has to be given.
        acts = closing.acts if first.kind is ActKind.ACKNOWLEDGE else (first, *closing.acts)
        return msgspec.structs.replace(closing, acts=acts)
    if target == REPEAT:
        return Decision((first, Act(ActKind.ASK, at.question)), at)
    if target == NEXT:
        ids = [q.id for q in campaign.questions]
        following = ids.index(at.question) + 1
        if following == len(ids):
            return _go(campaign, at, f"{END}completed", first)
        target = ids[following]
    return Decision((first, Act(ActKind.ASK, target)), Position(target, at.slots))
