from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.calls import dialogue
from appliance.calls.campaign import REQUIRED_OUTCOMES, Campaign
from appliance.calls.dialogue import MAX_NO_INPUTS, MAX_REPEATS, Decision, Position
from appliance.calls.effects import Act, ActKind
from appliance.calls.events import Understanding
from tests.calls.driver import CAMPAIGN, FOR_A_DIALER

OWNER = Position("owner", {})
CLOSED = Position("owner", {"owner": "no"}, closed="not_qualified")
ACK = Act(ActKind.ACKNOWLEDGE)


def meaning(intent: str | None = None, slot: str | None = None, at: Position = OWNER) -> Decision:
    return dialogue.on_meaning(CAMPAIGN, at, Understanding(intent, slot))


def ask(question: str) -> Act:
    return Act(ActKind.ASK, question)


def close(outcome: str) -> Act:
    return Act(ActKind.CLOSE, outcome)


def test_the_opening_greets_and_asks() -> None:
    assert dialogue.opening(CAMPAIGN) == Decision((Act(ActKind.GREET), ask("owner")), OWNER)


def test_an_answer_leads_to_the_next_question() -> None:
    assert meaning(slot="yes") == Decision((ACK, ask("year")), Position("year", {"owner": "yes"}))


def test_an_answer_may_end_the_call_without_thanks_before_the_goodbye() -> None:
    assert meaning(slot="no") == Decision((close("not_qualified"),), Position("owner", {"owner": "no"}), "not_qualified")


def test_an_answer_may_ask_for_the_same_again() -> None:
    assert meaning(slot="maybe") == Decision((ACK, ask("owner")), Position("owner", {"owner": "maybe"}, repeats=1))


def test_the_last_answer_completes() -> None:
    last = meaning(slot="nothing", at=Position("more", {"owner": "yes"}))
    assert last.outcome == "completed"
    assert last.acts == (close("completed"),)
    assert last.position.slots == {"owner": "yes", "more": "nothing"}


def test_builtin_intents_close() -> None:
    for intent, outcome in (
        ("opt_out", "dnc"),
        ("human", "wants_human"),
        ("not_interested", "not_interested"),
        ("goodbye", "not_interested"),
    ):
        assert meaning(intent) == Decision((close(outcome),), OWNER, outcome)


def test_an_opt_out_wins_over_the_answer_it_came_with() -> None:
    both = meaning("opt_out", "yes")
    assert both.outcome == "dnc"
    assert both.position.slots == {"owner": "yes"}


def test_repeat_asks_again_and_is_no_reask() -> None:
    at = Position("owner", {}, reasks=1, no_inputs=1)
    assert meaning("repeat", at=at) == Decision((ask("owner"),), Position("owner", {}, reasks=1, repeats=1))


@pytest.mark.parametrize("meant", [("repeat", None), ("who", None), (None, "maybe")])
def test_who_wants_all_of_it_again_too_often_has_not_understood(meant: tuple[str | None, str | None]) -> None:
    at = OWNER
    for count in range(1, MAX_REPEATS + 1):
        at = meaning(*meant, at).position
        assert (at.repeats, at.reasks) == (count, 0)
    sorry = meaning(*meant, at)
    assert sorry.acts == (Act(ActKind.SORRY), Act(ActKind.REASK, "owner"))
    assert meaning(*meant, sorry.position).outcome == "not_qualified", "where give_up leads"
    assert meaning(slot="yes", at=sorry.position).position.repeats == 0, "counted per question"


def test_a_branch_to_the_question_itself_is_a_repeat() -> None:
    raw = CAMPAIGN.model_dump(mode="json")
    raw["questions"][0]["on"]["yes"] = "owner"
    decision = dialogue.on_meaning(Campaign.model_validate(raw), OWNER, Understanding(slot="yes"))
    assert decision.position.repeats == 1


@pytest.mark.parametrize(
    ("intent", "slot"), [(None, None), ("goodbye", None), ("repeat", None), ("no_such_intent", None), ("goodbye", "yes")]
)
def test_what_is_no_wish_over_a_closing_ends_the_call(intent: str | None, slot: str | None) -> None:
    assert meaning(intent, slot, at=CLOSED) == Decision((), CLOSED, "not_qualified")


def test_a_misheard_answer_is_put_right_over_its_closing() -> None:
    assert meaning(slot="yes", at=CLOSED) == Decision((ACK, ask("year")), Position("year", {"owner": "yes"}))


def test_a_question_over_a_closing_is_answered() -> None:
    assert meaning("who", at=CLOSED).acts == (Act(ActKind.ANSWER, "who"), ask("owner"))


def test_another_wish_over_a_closing_has_its_own() -> None:
    for intent, outcome in (("opt_out", "dnc"), ("human", "wants_human")):
        assert meaning(intent, at=CLOSED) == Decision((close(outcome),), Position("owner", {"owner": "no"}), outcome)


def test_the_same_closing_is_not_said_twice() -> None:
    assert meaning(slot="no", at=CLOSED) == Decision((), Position("owner", {"owner": "no"}), "not_qualified")


@pytest.mark.parametrize("question", ["owner", "more"])
def test_an_opt_out_is_final(question: str) -> None:
    at = Position(question, {}, closed="dnc")
    for intent, slot in (("who", None), (None, "yes"), ("opt_out", None), ("human", None)):
        assert meaning(intent, slot, at) == Decision((), at, "dnc")


def test_any_words_are_no_answer_over_a_closing() -> None:
    at = Position("more", {"more": "no"}, closed="completed")
    assert meaning(slot="okay thank you", at=at) == Decision((), at, "completed")


def test_an_opt_out_that_was_taken_back_stays_one() -> None:
    at = Position("owner", {}, opted_out=True)
    closed = Decision((close("dnc"),), at, "dnc")
    assert meaning("who", at=at) == meaning(slot="yes", at=at) == closed
    assert dialogue.on_nothing_understood(CAMPAIGN, at) == closed
    assert dialogue.on_no_input(at) == closed
    assert dialogue.on_engine_back(at) == closed


def test_replies_are_given_and_lead_where_they_say() -> None:
    assert meaning("who").acts == (Act(ActKind.ANSWER, "who"), ask("owner"))
    assert meaning("busy_now").acts == (Act(ActKind.OBJECTION, "busy_now"), ask("year"))
    rented = meaning("rented")
    assert rented.acts == (Act(ActKind.OBJECTION, "rented"), close("not_qualified"))
    assert rented.outcome == "not_qualified"


def test_an_answer_with_a_question_back_gets_both() -> None:
    both = meaning("who", "yes")
    assert both == Decision((Act(ActKind.ANSWER, "who"), ask("year")), Position("year", {"owner": "yes"}))


def test_what_is_not_understood_is_asked_again_till_it_gives_up() -> None:
    first = meaning()
    assert first == Decision((Act(ActKind.SORRY), Act(ActKind.REASK, "owner")), Position("owner", {}, reasks=1))
    assert meaning(at=first.position).outcome == "not_qualified"
    assert meaning("no_such_intent") == first
    moved = meaning(at=Position("more", {}))
    assert moved.outcome == "completed"


def test_a_branch_may_name_a_question() -> None:
    raw = CAMPAIGN.model_dump(mode="json")
    raw["questions"][0]["on"]["yes"] = "zip"
    decision = dialogue.on_meaning(Campaign.model_validate(raw), OWNER, Understanding(slot="yes"))
    assert decision == Decision((ACK, ask("zip")), Position("zip", {"owner": "yes"}))


def test_a_new_question_starts_its_own_count() -> None:
    assert meaning(slot="yes", at=Position("owner", {}, reasks=1)).position.reasks == 0


def test_silence_is_asked_about_twice() -> None:
    at = OWNER
    for count in range(1, MAX_NO_INPUTS + 1):
        decision = dialogue.on_no_input(at)
        assert decision.acts == (Act(ActKind.STILL_THERE), Act(ActKind.REASK, "owner"))
        assert decision.outcome is None
        at = decision.position
        assert at.no_inputs == count
    assert dialogue.on_no_input(at) == Decision((close("no_input"),), at, "no_input")
    assert meaning("repeat", at=at).position.no_inputs == 0


def test_after_an_engine_came_back_the_question_is_asked_again() -> None:
    assert dialogue.on_engine_back(OWNER) == Decision((Act(ActKind.BACK), Act(ActKind.REASK, "owner")), OWNER)


# Callbacks ------------------------------------------------------------------------------------------------------------

WHEN = Position("when", {"owner": "yes"})
SUNDAY = Position("when", {"owner": "yes", "when": "sunday"})
HOURS = Act(ActKind.CALLBACK_HOURS, value="at noon")


def when(intent: str | None = None, slot: str | None = None, at: Position = WHEN) -> Decision:
    return dialogue.on_meaning(FOR_A_DIALER, at, Understanding(intent, slot))


def reached(outcome: str, *, reasks: int = 0, no_inputs: int = 0) -> Position:
    return Position("when", {}, reasks, no_inputs, reached=outcome)


def test_a_time_is_booked_before_anything_is_said() -> None:
    assert when(slot="sunday") == Decision((), SUNDAY, book="sunday")
    assert when("later", "sunday") == when("who", "sunday") == when(slot="sunday")


@pytest.mark.parametrize(("intent", "outcome"), [("opt_out", "dnc"), ("goodbye", "not_interested"), ("human", "wants_human")])
def test_a_wish_with_a_time_is_the_wish(intent: str, outcome: str) -> None:
    assert when(intent, "sunday").outcome == outcome
    assert when(intent, "sunday").book is None


def test_a_question_aside_is_not_in_line() -> None:
    assert when("busy_now").acts == (Act(ActKind.OBJECTION, "busy_now"), close("callback")), "next is where it gives up"
    last = dialogue.on_meaning(FOR_A_DIALER, Position("more", {}), Understanding(slot="nothing"))
    assert last.outcome == "completed"


def test_a_campaign_may_begin_with_a_question_aside() -> None:
    raw = FOR_A_DIALER.model_dump(mode="json")
    raw["questions"].insert(0, raw["questions"].pop())
    assert dialogue.opening(Campaign.model_validate(raw)).position == OWNER


def test_a_booked_callback_says_goodbye_itself() -> None:
    booked = dialogue.on_callback_set(FOR_A_DIALER, SUNDAY, "on Sunday")
    assert booked == Decision((Act(ActKind.CALLBACK_SET, value="on Sunday"),), SUNDAY, "callback")


def test_a_refused_time_is_no_value() -> None:
    refused = dialogue.on_callback_refused(FOR_A_DIALER, SUNDAY, "at noon")
    once = msgspec.structs.replace(WHEN, reasks=1)
    assert refused == Decision((HOURS, Act(ActKind.REASK, "when")), once)
    assert dialogue.on_callback_refused(FOR_A_DIALER, SUNDAY, "") == Decision(
        (Act(ActKind.SORRY), Act(ActKind.REASK, "when")), once
    )
    again = msgspec.structs.replace(SUNDAY, reasks=1)
    gives_up = dialogue.on_callback_refused(FOR_A_DIALER, again, "at noon")
    assert gives_up == Decision((HOURS, close("callback")), once, "callback")
    assert dialogue.on_callback_refused(FOR_A_DIALER, again, "").acts == (close("callback"),)


def test_a_callback_that_may_not_be_booked_is_not_promised() -> None:
    assert dialogue.on_callback_lost(FOR_A_DIALER, SUNDAY) == Decision((close("callback"),), SUNDAY, "callback")


# Transfers ------------------------------------------------------------------------------------------------------------


def test_who_finds_no_human_is_offered_a_callback() -> None:
    at = Position("zip", {"owner": "yes"}, reasks=1)
    offered = dialogue.on_transfer_failed(FOR_A_DIALER, at, "wants_human")
    position = Position("when", {"owner": "yes"}, reached="wants_human")
    assert offered == Decision((Act(ActKind.NOBODY_FREE), ask("when")), position)


def test_or_told_so_where_there_are_none() -> None:
    over_it = msgspec.structs.replace(OWNER, closed="wants_human")
    told = dialogue.on_transfer_failed(CAMPAIGN, over_it, "wants_human")
    assert told == Decision((Act(ActKind.NOBODY_FREE), close("wants_human")), OWNER, "wants_human")


def test_who_has_opted_out_meanwhile_is_not_asked_for_a_time() -> None:
    assert dialogue.on_transfer_failed(FOR_A_DIALER, OWNER, "dnc") == Decision((close("dnc"),), OWNER, "dnc")


@pytest.mark.parametrize("outcome", ["completed", "wants_human"])
def test_what_was_reached_is_not_lost_for_want_of_a_time(outcome: str) -> None:
    at = reached(outcome)
    assert when("goodbye", at=at).outcome == outcome
    assert when("busy_now", at=at).outcome == outcome
    assert dialogue.on_no_input(reached(outcome, no_inputs=MAX_NO_INPUTS)).outcome == outcome
    assert dialogue.on_nothing_understood(FOR_A_DIALER, reached(outcome, reasks=1)).outcome == outcome
    assert when("opt_out", at=at).outcome == "dnc"
    assert when("human", at=at).outcome == "wants_human"
    assert when(at=at).position.reached == outcome


def test_who_wanted_a_human_may_lose_interest_who_completed_has_completed() -> None:
    assert when("not_interested", at=reached("wants_human")).outcome == "not_interested"
    assert when("not_interested", at=reached("completed")).outcome == "completed"
    assert when("not_interested").outcome == "not_interested"


def test_it_is_kept_over_the_next_question() -> None:
    raw = FOR_A_DIALER.model_dump(mode="json")
    raw["objections"][0]["then"] = "zip"
    decision = dialogue.on_meaning(Campaign.model_validate(raw), reached("completed"), Understanding("busy_now"))
    assert decision.position == Position("zip", {}, reached="completed")


MEANT = st.builds(
    Understanding,
    st.sampled_from([None, "who", "busy_now", "rented", "repeat", "unknown", "later"]),
    st.sampled_from([None, "yes", "maybe", "12345"]),
)


@given(MEANT.filter(lambda meant: meant.slot in (None, "maybe")), st.integers(0, 3))
def test_a_machine_that_always_says_the_same_is_not_talked_to_for_ever(meant: Understanding, first: int) -> None:
    at = Position(CAMPAIGN.questions[first].id, {})
    for _ in range(len(CAMPAIGN.questions) * (MAX_REPEATS + 3)):
        decision = dialogue.on_meaning(CAMPAIGN, at, meant)
        if decision.outcome is not None:
            return
        at = decision.position
    raise AssertionError(at)


@given(st.lists(st.one_of(st.none(), MEANT), max_size=30))
def test_every_decision_speaks_and_stays_within_the_campaign(said: list[Understanding | None]) -> None:
    questions = {q.id for q in FOR_A_DIALER.questions}
    at = OWNER
    for meant in said:
        before = msgspec.structs.asdict(at)
        decision = dialogue.on_no_input(at) if meant is None else dialogue.on_meaning(FOR_A_DIALER, at, meant)
        assert msgspec.structs.asdict(at) == before, "a step can be taken back"
        if decision.book is not None:
            assert (decision.book, decision.position.question) == (decision.position.slots["when"], "when")
            decision = dialogue.on_callback_refused(FOR_A_DIALER, decision.position, "at noon")
        assert decision.acts
        assert decision.position.question in questions
        closes = [act for act in decision.acts if act.kind is ActKind.CLOSE]
        if decision.outcome is None:
            assert not closes
            assert decision.acts[-1].kind in (ActKind.ASK, ActKind.REASK)
            assert decision.acts[-1].ref == decision.position.question
        else:
            assert decision.acts[-1] == close(decision.outcome)
            assert decision.outcome in {*REQUIRED_OUTCOMES, "not_qualified", "callback"}
            return
        at = decision.position
