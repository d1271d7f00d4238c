"""What to do next in the script. Frozen positions in, decisions out, so that a step can be taken back."""

from __future__ import annotations

import msgspec

from appliance.calls.campaign import BUILTIN_OUTCOME, END, NEXT, REPEAT, Builtin, Campaign, SlotKind
from appliance.calls.effects import Act, ActKind
from appliance.calls.events import Understanding

MAX_NO_INPUTS = 2
MAX_REPEATS = 3  # a machine says "what?" for ever
OPTED_OUT = BUILTIN_OUTCOME[Builtin.OPT_OUT]
CALLBACK = "callback"  # the outcome of a booked callback, where the campaign has it


class Position(msgspec.Struct, frozen=True):
    """Where in the script a call is. `slots` holds what was captured, by question id.

    `reasks`, `no_inputs` and `repeats` count for the question. `closed` is the outcome whose closing has been said, while
    the caller speaks on. `opted_out` stays when the reply to an opt-out is taken back. `reached` is the outcome whose
    transfer failed: it is what the call has come to, unless the caller wants something else after all.
    """

    question: str
    slots: dict[str, str]
    reasks: int = 0
    no_inputs: int = 0
    repeats: int = 0
    closed: str | None = None
    opted_out: bool = False
    reached: str | None = None


class Decision(msgspec.Struct, frozen=True):
    """What to say, where that leads, and with which outcome the call ends after it (None: it goes on).

    No acts: everything has been said, hang up. `book`: have this callback booked first; what to say depends on it.
    """

    acts: tuple[Act, ...]
    position: Position
    outcome: str | None = None
    book: str | None = None


def opening(campaign: Campaign) -> Decision:
    """The first words: greeting, then the first question."""
    first = campaign.in_line()[0]
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
        return _leave(at, Builtin(meant.intent))
    if meant.slot is not None and question.slot is SlotKind.WHEN:
        return Decision((), at, book=meant.slot)
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
        return _give_up(campaign, at, Act(ActKind.ACKNOWLEDGE))
    at = msgspec.structs.replace(at, reasks=at.reasks + 1)
    return Decision((Act(ActKind.SORRY), Act(ActKind.REASK, at.question)), at)


def on_no_input(at: Position) -> Decision:
    """The caller said nothing for a while."""
    if at.opted_out:
        return _close(at, OPTED_OUT)
    if at.no_inputs >= MAX_NO_INPUTS:
        return _close(at, at.reached or "no_input")
    acts = (Act(ActKind.STILL_THERE), Act(ActKind.REASK, at.question))
    return Decision(acts, msgspec.structs.replace(at, no_inputs=at.no_inputs + 1))


def on_engine_back(at: Position) -> Decision:
    """An engine died and is back; what the caller said meanwhile is lost."""
    if at.opted_out:
        return _close(at, OPTED_OUT)
    return Decision((Act(ActKind.BACK), Act(ActKind.REASK, at.question)), at)


def on_transfer_failed(campaign: Campaign, at: Position, outcome: str) -> Decision:
    """No human takes the caller: offer to call back, where the campaign knows how to ask for a time."""
    at = msgspec.structs.replace(at, closed=None)
    if outcome == OPTED_OUT:
        return _close(at, OPTED_OUT)
    sorry = Act(ActKind.NOBODY_FREE)
    asked = next((q.id for q in campaign.questions if q.slot is SlotKind.WHEN), None)
    if asked is None:
        return Decision((sorry, Act(ActKind.CLOSE, outcome)), at, outcome)
    return Decision((sorry, Act(ActKind.ASK, asked)), Position(asked, at.slots, reached=outcome))


def on_callback_set(campaign: Campaign, at: Position, said: str) -> Decision:
    """The callback is booked, in words at `said`. Its line says goodbye too."""
    booked = Act(ActKind.CALLBACK_SET, value=said)
    if campaign.has_outcome(CALLBACK):
        return Decision((booked,), at, CALLBACK)
    return _go(campaign, at, campaign.question(at.question).otherwise, booked)


def on_callback_refused(campaign: Campaign, at: Position, hours: str) -> Decision:
    """Not at that time: only in these `hours`; "" where the time was none."""
    at = msgspec.structs.replace(at, slots={name: value for name, value in at.slots.items() if name != at.question})
    if not hours:
        return on_nothing_understood(campaign, at)
    only = Act(ActKind.CALLBACK_HOURS, value=hours)
    if at.reasks >= campaign.question(at.question).reasks:
        return _give_up(campaign, at, only)
    return Decision((only, Act(ActKind.REASK, at.question)), msgspec.structs.replace(at, reasks=at.reasks + 1))


def on_callback_lost(campaign: Campaign, at: Position) -> Decision:
    """It is not booked, or nobody says so: nothing is promised."""
    return _close(at, CALLBACK) if campaign.has_outcome(CALLBACK) else _give_up(campaign, at, Act(ActKind.ACKNOWLEDGE))


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


def _leave(at: Position, wish: Builtin) -> Decision:
    """Who does not wait for a callback takes nothing back of what the script had come to; who wanted a human may."""
    kept = (Builtin.GOODBYE, Builtin.NOT_INTERESTED) if at.reached not in BUILTIN_OUTCOME.values() else (Builtin.GOODBYE,)
    return _close(at, at.reached if at.reached is not None and wish in kept else BUILTIN_OUTCOME[wish])


def _give_up(campaign: Campaign, at: Position, first: Act) -> Decision:
    """Say `first` and leave the question."""
    target = f"{END}{at.reached}" if at.reached is not None else campaign.question(at.question).give_up
    return _go(campaign, at, target, first)


def _go(campaign: Campaign, at: Position, target: str, first: Act) -> Decision:
    """Say `first`, then go where `target` points."""
    if target.startswith(END):
        closing = _close(at, target.removeprefix(END))
        match first.kind:
            case ActKind.ACKNOWLEDGE:
                return closing  # a thank-you before a goodbye is one too many
            case ActKind.CALLBACK_SET:
                return msgspec.structs.replace(closing, acts=(first,))  # it is a goodbye
            case _:
                return msgspec.structs.replace(closing, acts=(first, *closing.acts))
    if target in (REPEAT, at.question):
        return _again(campaign, at, first)
    if target == NEXT:
        if campaign.question(at.question).aside:
            return _give_up(campaign, at, first)
        line = campaign.in_line()
        following = line.index(at.question) + 1
        if following == len(line):
            return _go(campaign, at, f"{END}completed", first)
        target = line[following]
    return Decision((first, Act(ActKind.ASK, target)), Position(target, at.slots, reached=at.reached))
