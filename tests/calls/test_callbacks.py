from __future__ import annotations

from datetime import UTC, datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.calls.callbacks import (
    PARTS,
    VAGUE_AHEAD,
    WEEKDAYS,
    Hours,
    Refusal,
    dialer_time,
    hours_in_words,
    in_words,
    lead_now,
    resolve,
)
from appliance.config.settings import Callbacks

WORKDAYS = WEEKDAYS[:6]
HOURS = Hours(time(9), time(20), WORKDAYS, 30)
NOW = datetime(2026, 11, 25, 15, 0)  # a Wednesday


def at(month: int, day: int, hour: int, minute: int = 0, year: int = 2026) -> datetime:
    return datetime(year, month, day, hour, minute)


@pytest.mark.parametrize(
    ("when", "instant"),
    [
        ("+1d after_lunch", at(11, 26, 13, 30)),
        ("mon 10:00~", at(11, 30, 10)),
        ("wed", at(12, 2, 10)),  # said on a Wednesday: today has a word of its own
        ("thu", at(11, 26, 10)),
        ("next-mon 14:00", at(11, 30, 14)),
        ("next-tue morning", at(12, 1, 10)),
        ("next-week", at(11, 30, 10)),
        ("next-weekend 11:00", at(12, 5, 11)),
        ("next-month morning", at(12, 1, 10)),
        ("weekday 05:15~", at(11, 25, 17, 15)),
        ("weekday 14:00", at(11, 26, 14)),
        ("weekend", at(11, 28, 10)),
        ("any", at(11, 26, 10)),
        ("any evening", at(11, 26, 18, 30)),
        ("12-05 14:00", at(12, 5, 14)),
        ("11-25 16:00", at(11, 25, 16)),
        ("day-07", at(12, 7, 10)),
        ("day-27 12:00", at(11, 27, 12)),
        ("+30m", at(11, 25, 15, 30)),
        ("+2h", at(11, 25, 17)),
        ("+1m", at(11, 25, 15, 5)),
        ("+0m", at(11, 25, 15, 5)),
        ("+48h", at(11, 27, 15)),
        ("+0d 19:30", at(11, 25, 19, 30)),
        ("+0d evening", at(11, 25, 18, 30)),
        ("+0d", at(11, 25, 15, 30)),
        ("03:00~", at(11, 26, 15)),  # at three, and it is three now
        ("04:30~", at(11, 25, 16, 30)),
        ("10:00~", at(11, 26, 10)),
        ("12:00~", at(11, 26, 12)),
        ("07:00~", at(11, 25, 19)),  # seven in the morning is not permitted
        ("morning", at(11, 26, 10)),
        ("afternoon", at(11, 25, 15, 30)),
    ],
)
def test_a_time_becomes_an_instant(when: str, instant: datetime) -> None:
    assert resolve(when, NOW, HOURS) == instant


@pytest.mark.parametrize(
    ("when", "why"),
    [
        ("+0d 09:00~", Refusal.PAST),
        ("+0d 09:00", Refusal.PAST),
        ("+0d morning", Refusal.PAST),
        ("+6h", Refusal.HOURS),
        ("+1d 21:00", Refusal.HOURS),
        ("+1d 20:00", Refusal.HOURS),
        ("+1d 08:59", Refusal.HOURS),
        ("12:30~ ", Refusal.UNCLEAR),
        ("00:00", Refusal.HOURS),
        ("sun 10:00", Refusal.DAY),
        ("next-sun", Refusal.DAY),
        ("+31d", Refusal.FAR),
        ("+9999d", Refusal.FAR),
        ("+9999h", Refusal.FAR),
        ("11-24", Refusal.FAR),  # it is next year's
        ("02-29", Refusal.UNCLEAR),  # neither this year nor next
        ("13-01", Refusal.UNCLEAR),
        ("12-32", Refusal.UNCLEAR),
        ("00-10", Refusal.UNCLEAR),
        ("day-00", Refusal.UNCLEAR),
        ("day-32", Refusal.UNCLEAR),
        ("", Refusal.UNCLEAR),
        (" 10:00", Refusal.UNCLEAR),
        ("no day 10:00", Refusal.UNCLEAR),
        ("mon tea", Refusal.UNCLEAR),
        ("mon ", Refusal.UNCLEAR),
        ("mon 10:00 10:00", Refusal.UNCLEAR),
        ("25:00", Refusal.UNCLEAR),
        ("13:00~", Refusal.UNCLEAR),
        ("+٢h", Refusal.UNCLEAR),
        ("tomorrow", Refusal.UNCLEAR),
    ],
)
def test_what_cannot_be_is_refused(when: str, why: Refusal) -> None:
    assert resolve(when, NOW, HOURS) is why


def test_a_day_of_the_month_skips_months_without_it() -> None:
    assert resolve("day-31", datetime(2027, 2, 1, 9), Hours(time(9), time(20), WEEKDAYS, 60)) == at(3, 31, 10, year=2027)


def test_a_day_of_the_month_passes_the_year() -> None:
    assert resolve("day-05", datetime(2026, 12, 20, 9), HOURS) == at(1, 5, 10, year=2027)
    assert resolve("01-05", datetime(2026, 12, 20, 9), HOURS) == at(1, 5, 10, year=2027)
    assert resolve("next-month", datetime(2026, 12, 20, 9), HOURS) == at(1, 1, 10, year=2027)


def test_a_weekend_said_on_a_sunday_is_this_one_while_it_lasts() -> None:
    hours = Hours(time(9), time(20), WEEKDAYS, 30)
    assert resolve("weekend 11:00", datetime(2026, 11, 29, 10), hours) == at(11, 29, 11)
    assert resolve("weekend 11:00", datetime(2026, 11, 29, 12), hours) == at(12, 5, 11)


def test_a_part_of_the_day_bends_to_the_hours() -> None:
    assert resolve("+1d morning", NOW, Hours(time(11), time(20), WEEKDAYS, 30)) == at(11, 26, 11)
    assert resolve("+1d evening", NOW, Hours(time(9), time(18), WEEKDAYS, 30)) == at(11, 26, 17, 45)
    assert resolve("+1d", NOW, Hours(time(13), time(14), WEEKDAYS, 30)) == at(11, 26, 13)
    assert resolve("+1d evening", NOW, Hours(time(9), time(17), WEEKDAYS, 30)) is Refusal.HOURS


def test_without_permitted_hours_nothing_is_permitted() -> None:
    assert resolve("any", NOW, Hours(time(9), time(9), WEEKDAYS, 30)) is Refusal.HOURS
    assert resolve("any", NOW, Hours(time(9), time(20), (), 30)) is Refusal.DAY


DAYS = st.one_of(
    st.sampled_from(["any", "next-week", "next-month", "weekday", "weekend", "next-weekend", *WEEKDAYS]),
    st.sampled_from(WEEKDAYS).map("next-{}".format),
    st.integers(0, 400).map("+{}d".format),
    st.builds("{:02d}-{:02d}".format, st.integers(0, 13), st.integers(0, 32)),
    st.integers(0, 32).map("day-{:02d}".format),
)
CLOCKS = st.one_of(
    st.times().map("{:%H:%M}".format),
    st.builds("{:02d}:{:02d}~".format, st.integers(1, 12), st.integers(0, 59)),
    st.sampled_from(sorted(PARTS)),
)
WHENS = st.one_of(
    DAYS,
    CLOCKS,
    st.builds("{} {}".format, DAYS, CLOCKS),
    st.builds("+{}{}".format, st.integers(0, 3000), st.sampled_from("mh")),
)
TIMES = st.times().map(lambda t: t.replace(second=0, microsecond=0))
SOME_HOURS = st.builds(Hours, TIMES, TIMES, st.sets(st.sampled_from(WEEKDAYS)).map(tuple), st.integers(1, 365))
NOWS = st.datetimes(datetime(2020, 1, 1), datetime(2060, 1, 1))


@given(WHENS, NOWS, SOME_HOURS)
def test_what_is_resolved_is_permitted_to_come_and_not_too_far(when: str, now: datetime, hours: Hours) -> None:
    found = resolve(when, now, hours)
    if isinstance(found, datetime):
        assert hours.earliest <= found.time() < hours.latest
        assert WEEKDAYS[found.weekday()] in hours.days
        assert now < found
        assert (found.date() - now.date()).days <= hours.furthest_days
        assert (found.second, found.microsecond) == (0, 0)
        said = in_words(found, now)
        assert said
        assert not any(c.isdigit() for c in said)


@given(st.text(max_size=20), NOWS)
def test_any_text_has_an_answer(when: str, now: datetime) -> None:
    assert isinstance(resolve(when, now, HOURS), datetime | Refusal)


@given(st.sampled_from(sorted(PARTS)), NOWS)
def test_a_vague_time_is_not_at_once(part: str, now: datetime) -> None:
    found = resolve(part, now, Hours(time(0), time(23, 59), WEEKDAYS, 30))
    assert isinstance(found, datetime)
    assert found >= now + VAGUE_AHEAD


@pytest.mark.parametrize("name", sorted(PARTS))
def test_a_part_of_the_day_holds_its_usual_time(name: str) -> None:
    usual, begin, end = PARTS[name]
    assert 0 <= begin <= usual < end < 24 * 60


def test_the_settings_become_hours() -> None:
    settings = Callbacks()
    hours = Hours(settings.earliest, settings.latest, tuple(settings.days), settings.furthest_days)
    assert hours == HOURS


# Zones ---------------------------------------------------------------------------------------------------------------


def test_the_leads_clock() -> None:
    assert lead_now(datetime(2026, 11, 25, 20, 0, tzinfo=UTC), -5.0) == NOW
    assert lead_now(datetime(2026, 11, 25, 20, 0), 5.5) == datetime(2026, 11, 26, 1, 30)


def test_the_dialers_clock() -> None:
    assert dialer_time(datetime(2026, 11, 26, 20, 30), -8.0, -5.0) == datetime(2026, 11, 26, 23, 30)
    assert dialer_time(datetime(2026, 11, 26, 23, 0), -5.0, 5.5) == datetime(2026, 11, 27, 9, 30)


@given(NOWS, st.integers(-48, 56), st.integers(-48, 56))
def test_both_clocks_show_the_same_instant(utc: datetime, lead_quarters: int, dialer_quarters: int) -> None:
    lead_h, dialer_h = lead_quarters / 4, dialer_quarters / 4
    assert dialer_time(lead_now(utc, lead_h), lead_h, dialer_h) == lead_now(utc, dialer_h)


# In words ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("instant", "said"),
    [
        (at(11, 25, 17), "today at five in the afternoon"),
        (at(11, 26, 13, 30), "tomorrow at half past one in the afternoon"),
        (at(11, 30, 10), "Monday at ten in the morning"),
        (at(12, 1, 12), "Tuesday at noon"),
        (at(12, 2, 12, 20), "on December second at twelve twenty in the afternoon"),
        (at(12, 5, 14), "on December fifth at two in the afternoon"),
        (at(12, 21, 9, 15), "on December twenty first at quarter past nine in the morning"),
        (at(12, 30, 8, 45), "on December thirtieth at quarter to nine in the morning"),
        (at(12, 31, 18, 5), "on December thirty first at six oh five in the evening"),
        (at(11, 26, 11, 45), "tomorrow at quarter to twelve in the morning"),
        (at(11, 26, 9, 12), "tomorrow at nine twelve in the morning"),
        (at(11, 26, 9, 55), "tomorrow at nine fifty five in the morning"),
        (at(11, 26, 0), "tomorrow at midnight"),
        (at(11, 26, 0, 30), "tomorrow at half past twelve in the morning"),
        (at(12, 20, 10), "on December twentieth at ten in the morning"),
    ],
)
def test_an_instant_in_words(instant: datetime, said: str) -> None:
    assert in_words(instant, NOW) == said


def test_no_two_instants_sound_alike() -> None:
    """Within a month, to the minute of the steps that are offered."""
    instants = [NOW + timedelta(minutes=5 * n) for n in range(1, 12 * 24 * 31)]
    assert len({in_words(each, NOW) for each in instants}) == len(instants)


@pytest.mark.parametrize(
    ("days", "said"),
    [
        (WORKDAYS, "Monday to Saturday"),
        (WEEKDAYS, "every day"),
        (("sun", "mon"), "Monday and Sunday"),
        (("mon", "wed", "fri"), "Monday, Wednesday and Friday"),
        (("sat", "sun"), "Saturday and Sunday"),
        (("mon", "wed", "thu", "fri"), "Monday and Wednesday to Friday"),
        (("tue",), "Tuesday"),
    ],
)
def test_the_hours_in_words(days: tuple[str, ...], said: str) -> None:
    hours = Hours(time(9), time(20), days, 30)
    assert hours_in_words(hours) == f"between nine in the morning and eight in the evening, {said}"
