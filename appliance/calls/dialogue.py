"""What to do next in the script. Frozen positions in, decisions out, so that a step can be taken back."""

from __future__ import annotations

import msgspec

from appliance.calls.campaign import BUILTIN_OUTCOME, END, NEXT, REPEAT, Builtin, Campaign, SlotKind
from appliance.calls.effects import Act, ActKind
from appliance.calls.events import Understanding

MAX_NO_INPUTS = 2
MAX_REPEATS = 3  # a machine says "what?" for ever
OPTED_OUT = BUILTIN_OUTCOME[Builtin.OPT_OUT]


class Position(msgspec.Struct, frozen=True):
    """Where in the script a call is. `slots` holds what was captured, by question id.

    `reasks`, `no_inputs` and `repeats` count for the question. `closed` is the outcome whose closing has been said, while
    the caller speaks on. `opted_out` stays when the reply to an opt-out is taken back.
    """

    question: str
    slots: dict[str, str]
    reasks: int = 0
    no_inputs: int = 0
    repeats: int = 0
    closed: str | None = None
    opted_out: bool = False


class Decision(msgspec.Struct, frozen=True):
    """What to say, where that leads, and with which outcome the call ends after it (None: it goes on).

    No acts: everything has been said, hang up.
    """

    acts: tuple[Act, ...]
    position: Position
    outcome: str | None = None


def opening(campaign: Campaign) -> Decision:
    """The first words: greeting, then the first question."""
    first = campaign.questions[0].id
    return Decision((Act(ActKind.GREET), Act(ActKind.ASK, first)), Position(first, {}))


def on_meaning(campaign: Campaign, at: Position, meant: Understanding) -> Decision:
    """The caller said something that means `meant`."""
    if at.closed is not None:
        return _over_closing(campaign, at, meant, at.closed)
    if at.opted_out:
        return _close(at, OPTED_OUT)
    question = campaign.question(at.question)
    at = msgspec.structs.replace(at, no_inputs=0)
    if meant.slot is not None:
        at = msgspec.structs.replace(at, slots={**at.slots, at.question: meant.slot})
    if meant.intent == Builtin.REPEAT:
        return _again(campaign, at)
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
    if at.opted_out:
        return _close(at, OPTED_OUT)
    question = campaign.question(at.question)
    if at.reasks >= question.reasks:
        return _go(campaign, at, question.give_up, Act(ActKind.ACKNOWLEDGE))
    at = msgspec.structs.replace(at, reasks=at.reasks + 1)
    return Decision((Act(ActKind.SORRY), Act(ActKind.REASK, at.question)), at)


def on_no_input(at: Position) -> Decision:
    """The caller said nothing for a while."""
    if at.opted_out:
        return _close(at, OPTED_OUT)
    if at.no_inputs >= MAX_NO_INPUTS:
        return _close(at, "no_input")
    acts = (Act(ActKind.STILL_THERE), Act(ActKind.REASK, at.question))
    return Decision(acts, msgspec.structs.replace(at, no_inputs=at.no_inputs + 1))


def on_engine_back(at: Position) -> Decision:
    """An engine died and is back; what the caller said meanwhile is lost."""
    if at.opted_out:
        return _close(at, OPTED_OUT)
    return Decision((Act(ActKind.BACK), Act(ActKind.REASK, at.question)), at)


def _over_closing(campaign: Campaign, at: Position, meant: Understanding, closed: str) -> Decision:
    """The caller spoke into our last words. An opt-out stays one; a "no" that was misheard can be put right."""
    any_words = campaign.question(at.question).slot in (SlotKind.OPEN, SlotKind.NAME)  # a "thank you" too
    slot = None if any_words else meant.slot
    wish = meant.intent in BUILTIN_OUTCOME or (meant.intent is not None and campaign.reply(meant.intent) is not None)
    if closed == OPTED_OUT or meant.intent in (Builtin.GOODBYE, Builtin.REPEAT) or (not wish and slot is None):
        return Decision((), at, closed)
    again = on_meaning(campaign, msgspec.structs.replace(at, closed=None), Understanding(meant.intent, slot))
    # Nobody wants the same goodbye twice.
    return msgspec.structs.replace(again, acts=()) if again.outcome == closed else again


def _again(campaign: Campaign, at: Position, *first: Act) -> Decision:
    """Say `first` and ask the same again; who needs that too often has not understood."""
    if at.repeats >= MAX_REPEATS:
        return on_nothing_understood(campaign, at)
    return Decision((*first, Act(ActKind.ASK, at.question)), msgspec.structs.replace(at, repeats=at.repeats + 1))


def _close(at: Position, outcome: str) -> Decision:
    return Decision((Act(ActKind.CLOSE, outcome),), at, outcome)


def _go(campaign: Campaign, at: Position, target: str, first: Act) -> Decision:
    """Say `first`, then go where `target` points."""
    if target.startswith(END):
        closing = _close(at, target.removeprefix(END))
        # A thank-you before a goodbye is one too many; an answer still has to be given.
        acts = closing.acts if first.kind is ActKind.ACKNOWLEDGE else (first, *closing.acts)
        return msgspec.structs.replace(closing, acts=acts)
    if target in (REPEAT, at.question):
        return _again(campaign, at, first)
    if target == NEXT:
        ids = [q.id for q in campaign.questions]
        following = ids.index(at.question) + 1
        if following == len(ids):
            return _go(campaign, at, f"{END}completed", first)
        target = ids[following]
    return Decision((first, Act(ActKind.ASK, target)), Position(target, at.slots))
