from __future__ import annotations

from datetime import datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.calls.callbacks import WEEKDAYS, Hours, Refusal, in_words, resolve
from appliance.calls.campaign import Campaign
from appliance.calls.events import Understanding
from appliance.engines.minds.scripted import Reader
from appliance.engines.minds.when import MAX_WORDS, when
from appliance.engines.minds.words import tokens
from tests.engines.telephone import home_insurance

SAID = {
    # days
    "tomorrow": "+1d",
    "today": "+0d",
    "later today": "+0d",
    "the day after tomorrow": "+2d",
    "friday": "fri",
    "on friday please": "fri",
    "on mondays": "mon",
    "this coming thursday": "thu",
    "this thursday": "thu",
    "next tuesday": "next-tue",
    "next week": "next-week",
    "sometime next week": "next-week",
    "any day next week": "next-week",
    "next week on thursday": "next-thu",
    "thursday next week": "next-thu",
    "end of the week": "fri",
    "at the end of next week": "next-fri",
    "in the middle of next week": "next-wed",
    "the middle of next week": "next-wed",
    "beginning of next week": "next-week",
    "beginning of the week": "any",
    "next month": "next-month",
    "on the weekend": "weekend",
    "next weekend": "next-weekend",
    "on a weekday": "weekday",
    "during the week": "weekday",
    "on the fifth of december": "12-05",
    "december fifth": "12-05",
    "december the twenty first": "12-21",
    "may first": "05-01",
    "december 5th": "12-05",
    "5 december": "12-05",
    "the thirty first of january": "01-31",
    "on the second": "day-02",
    "monday the seventh": "day-07",
    "the twenty first at four": "day-21 04:00~",
    "friday december fifth": "12-05",
    # parts of days
    "in the morning": "morning",
    "tomorrow after lunch": "+1d after_lunch",
    "next tuesday morning": "next-tue morning",
    "this evening": "+0d evening",
    "this afternoon": "+0d afternoon",
    "tonight": "+0d night",
    "tomorrow night": "+1d night",
    "first thing in the morning": "first_thing",
    "early tomorrow": "+1d",
    "late in the afternoon": "late_afternoon",
    "later in the morning": "late_morning",
    "before lunch": "before_lunch",
    "over lunch": "lunch",
    "early afternoon": "early_afternoon",
    "monday after work": "mon after_work",
    "after dinner": "after_dinner",
    "i'd prefer mornings": "morning",
    "good evening call me tomorrow": "+1d",
    # hours
    "monday at ten": "mon 10:00~",
    "monday ten": "mon 10:00~",
    "ten on monday": "mon 10:00~",
    "at three": "03:00~",
    "ten": "10:00~",
    "maybe ten thirty": "10:30~",
    "one": "01:00~",
    "at one thirty": "01:30~",
    "ten oh five": "10:05~",
    "three p m": "15:00",
    "Three p.m.": "15:00",
    "twelve a m": "00:00",
    "twelve p m": "12:00",
    "10 am": "10:00",
    "tomorrow at 10:30": "+1d 10:30~",
    "7.30 pm": "19:30",
    "14:30": "14:30",
    "three o'clock": "03:00~",
    "three o'clock in the afternoon": "15:00",
    "at seven in the morning": "07:00",
    "tomorrow morning maybe at three": "+1d 03:00~",
    "tonight at seven thirty": "+0d 19:30",
    "tomorrow evening at six": "+1d 18:00",
    "saturday afternoon around two": "sat 14:00",
    "tomorrow afternoon at twelve": "+1d 12:00",
    "half past four": "04:30~",
    "quarter to nine tomorrow": "+1d 08:45~",
    "a quarter after one": "01:15~",
    "twenty five past nine": "09:25~",
    "ten minutes to nine": "08:50~",
    "at ten to nine": "08:50~",
    "twenty to one": "12:40~",
    "quarter to one p m": "12:45",
    "half past twelve a m": "00:30",
    "ten to twelve": "10:00~",
    "nine to five": "09:00~",
    "between two and four tomorrow": "+1d 02:00~",
    "from two to four p m": "14:00",
    "from ten to two p m": "10:00~",
    "three or four": "03:00~",
    "after five": "05:15~",
    "weekday after five": "weekday 05:15~",
    "any time after three": "03:15~",
    "before ten": "09:30~",
    "by five": "04:30~",
    "before one": "12:30~",
    "before one pm": "12:30",
    "after twelve": "12:15~",
    "not before ten": "10:00~",
    "don't call before ten tomorrow": "+1d 10:00~",
    "not until five": "05:15~",
    "at noon": "12:00",
    "the day after tomorrow at noon": "+2d 12:00",
    "twelve noon": "12:00",
    "midnight": "00:00",
    "december fifth at two": "12-05 02:00~",
    "at ten a m on the third of january": "01-03 10:00",
    "i get home at six": "06:00~",
    # so much from now
    "in two hours": "+2h",
    "two hours": "+2h",
    "in half an hour": "+30m",
    "half an hour": "+30m",
    "in a quarter of an hour": "+15m",
    "in three quarters of an hour": "+45m",
    "in an hour": "+1h",
    "in an hour and a half": "+90m",
    "two and a half hours": "+150m",
    "in a couple of hours": "+2h",
    "in about an hour": "+1h",
    "give me twenty minutes": "+20m",
    "thirty minutes": "+30m",
    "in a few minutes": "+15m",
    "in a few hours": "+3h",
    "in a minute": "+1m",
    "twenty minutes from now": "+20m",
    "i'm busy for two hours": "+2h",
    "in two days": "+2d",
    "in ten days": "+10d",
    "in a week": "+7d",
    "maybe in three to four hours": "+3h",
    "in two or three days": "+2d",
    "in an hour or two": "+1h",
    "two weeks from now": "+14d",
    "in two weeks at ten": "+14d 10:00~",
    # whenever
    "whenever": "any",
    "any time": "any",
    "it doesn't matter": "any",
    "any time tomorrow": "+1d",
    # of several, and put right
    "monday or tuesday": "mon",
    "monday no wait tuesday": "tue",
    "tomorrow at ten no eleven": "+1d 11:00~",
    "in two hours no tomorrow at ten": "+1d 10:00~",
    "tomorrow no in two hours": "+2h",
    "tomorrow morning sorry in the afternoon": "+1d afternoon",
    "at ten i mean tomorrow": "+1d 10:00~",
    "not tomorrow but friday": "fri",
    "tomorrow i'm not home call me friday": "fri",
    "not in the morning maybe at four": "04:00~",
    "why not monday": "mon",
    "anytime but monday": "any",
    "any day after four but not friday": "04:15~",
}
NO_TIME = (
    "yes", "no", "i do not know", "later", "call me back later", "not tomorrow", "monday is not good", "i can't on monday",
    "this one is fine", "i have two kids", "it takes ten minutes", "wait a minute", "one day", "an hour ago", "good morning",
    "i may be home", "march", "i was married in june", "nineteen eighty", "fourteen thirty", "a week from monday",
    "i'm in a meeting", "all day", "stop calling me", "three quarters", "the second question", "",
)  # fmt: skip
NOW = datetime(2026, 11, 25, 15, 0)
HOURS = Hours(time(9), time(20), WEEKDAYS, 60)


@pytest.mark.parametrize(("said", "value"), SAID.items())
def test_a_spoken_time(said: str, value: str) -> None:
    found = when(tokens(said))
    assert found is not None
    assert found[0] == value


@pytest.mark.parametrize("said", NO_TIME)
def test_what_is_no_time(said: str) -> None:
    assert when(tokens(said)) is None


@pytest.mark.parametrize("value", sorted(set(SAID.values())))
def test_every_value_can_be_resolved(value: str) -> None:
    assert resolve(value, NOW, HOURS) is not Refusal.UNCLEAR


WORDS = st.sampled_from(
    sorted(
        {word for said in (*SAID, *NO_TIME) for word in tokens(said)} | {"second", "fifth", "february", "ninety", "23", "00"}
    )
)


@given(st.lists(WORDS, min_size=1, max_size=12))
def test_any_words_give_a_value_of_the_grammar_or_none(heard: list[str]) -> None:
    found = when(heard)
    if found is not None:
        value, at = found
        assert at <= set(range(len(heard)))
        no_such_day = value[:5] in ("02-29", "02-30", "02-31") or value[:5] in {f"{m:02d}-31" for m in (4, 6, 9, 11)}
        assert resolve(value, NOW, HOURS) is not Refusal.UNCLEAR or no_such_day


@given(st.integers(1, 60), st.integers(6, 23), st.sampled_from(range(0, 60, 5)))
def test_what_we_say_is_understood_when_it_comes_back(days: int, hour: int, minute: int) -> None:
    """The read-back, repeated by the caller: a day within the week by its name, a later one by its date."""
    instant = NOW.replace(hour=hour, minute=minute) + timedelta(days=days)
    found = when(tokens(in_words(instant, NOW)))
    assert found is not None
    assert resolve(found[0], NOW, Hours(time(0), time(23, 59), WEEKDAYS, 90)) == instant


@pytest.mark.parametrize(
    "text", ["at " * 5000, "monday " * 5000, "two " * 5000, "x" * 50000, "a half a half " * 2000, "1" * 400]
)
def test_hostile_text_is_read_without_harm(text: str) -> None:
    found = when(tokens(text))
    assert found is None or max(found[1]) < MAX_WORDS


# As the answer to a question -----------------------------------------------------------------------------------------


def asking() -> Campaign:
    data = home_insurance().model_dump(mode="json")
    data["questions"].append(
        {
            "id": "call_at", "ask": "When may we call you?", "reask": "Which day and hour?", "slot": "when", "aside": True,
            "give_up": "end:callback", "phrases": {"any evening": ["the usual time"]},
        }
    )  # fmt: skip
    return Campaign.model_validate(data)


READER = Reader(asking())


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("tomorrow after lunch", Understanding(slot="+1d after_lunch")),
        ("call me tomorrow", Understanding(slot="+1d")),
        ("this is not a good time call me next week", Understanding(slot="next-week")),
        ("i'm busy call me back at six", Understanding(slot="06:00~")),
        ("tomorrow at ten bye", Understanding(slot="+1d 10:00~")),
        ("i have to go call me on monday", Understanding(slot="mon")),
        ("the usual time", Understanding(slot="any evening")),
        ("call me later", Understanding(intent="callback")),
        ("i'm not interested today", Understanding(intent="not_interested")),
        ("do not call me tomorrow", Understanding(intent="opt_out")),
        ("stop calling me", Understanding(intent="opt_out")),
        ("can i talk to a human today", Understanding(intent="human")),
        ("what", Understanding(intent="repeat")),
        ("blue", Understanding()),
    ],
)
def test_the_answer_to_when(said: str, meant: Understanding) -> None:
    assert READER.understand("call_at", said) == meant
