"""A time to call back: from what the caller meant to an instant that is permitted, and into words.

The value of a question of the kind `when` says a time without a zone and without a "now", so that it is worth the same
wherever and whenever it is read:

    WHEN = "any" | AHEAD | DAY | TIME | DAY " " TIME
    AHEAD = "+30m" | "+2h"                       minutes or hours from now
    DAY = "+1d"                                  days from today, "+0d" is today
        | "mon".."sun" | "next-mon".."next-sun"  the next one after today; that of next week
        | "next-week" | "next-month" | "weekday" | "weekend" | "next-weekend"
        | "12-05" | "day-05"                     a day of a month; of the month that comes first
    TIME = "14:00" | "02:00~" | PART             the "~" says that the half of the day was not said
    PART = a key of `PARTS`

Instants are naive wall-clock times. An offset from UTC is taken as it is now: where a zone changes its clocks between now
and the callback, and the dialer's zone does not change with it, the stored time is an hour off. VICIdial checks the lead's
permitted hours once more when it dials.
"""

from __future__ import annotations

import calendar
import enum
import re
from datetime import date, datetime, time, timedelta

import msgspec

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
VAGUE_AHEAD = timedelta(minutes=30)  # who names no hour does not mean at once
STEP_MIN = 15
AHEAD_STEP_MIN = 5  # "in two hours" is no promise to the minute
LOOK_DAYS = 8  # a time without a day: in these


def _minutes(clock: str) -> int:
    return int(clock[:2]) * 60 + int(clock[3:])


# What it usually means, and the bounds within which another time will do: minutes of the day.
PARTS = {
    name: (_minutes(usual), _minutes(begin), _minutes(end))
    for name, usual, begin, end in (
        ("first_thing", "09:00", "08:00", "10:00"),
        ("morning", "10:00", "08:00", "12:00"),
        ("late_morning", "11:00", "10:30", "12:00"),
        ("before_lunch", "11:30", "10:30", "12:00"),
        ("lunch", "12:30", "12:00", "13:30"),
        ("after_lunch", "13:30", "13:00", "15:30"),
        ("early_afternoon", "14:00", "12:30", "15:30"),
        ("afternoon", "15:00", "12:30", "18:00"),
        ("late_afternoon", "16:30", "15:30", "18:00"),
        ("after_work", "17:30", "17:00", "20:30"),
        ("evening", "18:30", "17:30", "21:30"),
        ("night", "19:00", "18:00", "22:00"),
        ("after_dinner", "19:30", "19:00", "21:30"),
    )
}
_NO_DAY = "no day"  # no value has this word: it has a space
_USUAL_MIN = _minutes("10:00")  # of a day whose hour was not said

_CLOCK = re.compile(r"(?P<hour>[01]\d|2[0-3]):(?P<minute>[0-5]\d)(?P<half>~?)", re.ASCII)
_AHEAD = re.compile(r"\+(\d{1,4})([mh])", re.ASCII)
_IN_DAYS = re.compile(r"\+(\d{1,4})d", re.ASCII)
_OF_MONTH = re.compile(r"(\d\d|day)-(\d\d)", re.ASCII)


class Hours(msgspec.Struct, frozen=True):
    """When people may be called, in their own time: from `earliest` till before `latest`, on `days` ("mon".."sun").

    At least one day, and no later than `furthest_days` from today. See `config.settings.Callbacks`.
    """

    earliest: time
    latest: time
    days: tuple[str, ...]
    furthest_days: int

    def permit(self, at: datetime) -> bool:
        """Whether the hour and the day of the week are permitted."""
        return self.earliest <= at.time() < self.latest and WEEKDAYS[at.weekday()] in self.days


class Refusal(enum.Enum):
    """Why there is no callback at that time."""

    UNCLEAR = "unclear"  # not a value of this grammar, or no such day
    PAST = "past"
    HOURS = "hours"
    DAY = "day"
    FAR = "far"


def resolve(when: str, local_now: datetime, hours: Hours) -> datetime | Refusal:
    """The instant that `when` means for a person whose clock shows `local_now`, both naive.

    An hour whose half of the day was not said is the one that is permitted, else the usual one: "at three" is 15:00. Of
    several days and hours that are meant the first permitted one. Never in the past, never outside `hours`.
    """
    if ahead := _AHEAD.fullmatch(when):
        return _ahead(timedelta(minutes=int(ahead[1]) * (60 if ahead[2] == "h" else 1)), local_now, hours)
    day, _, clock = (_NO_DAY, "", when) if _is_time(when) else when.partition(" ")
    days = _days(day, local_now.date())
    if not days or (" " in when and not _is_time(clock)):
        return Refusal.UNCLEAR
    found = [_on(each, clock, local_now, hours) for each in days]
    return next((at for at in found if isinstance(at, datetime)), found[0])


def _is_time(text: str) -> bool:
    clock = _CLOCK.fullmatch(text)
    return text in PARTS or (clock is not None and (not clock["half"] or 1 <= int(clock["hour"]) <= 12))


def _ahead(wait: timedelta, now: datetime, hours: Hours) -> datetime | Refusal:
    at = (now + wait).replace(second=0, microsecond=0)
    at += timedelta(minutes=-at.minute % AHEAD_STEP_MIN)
    at += timedelta(minutes=0 if at > now else AHEAD_STEP_MIN)
    if at.date() - now.date() > timedelta(days=hours.furthest_days):
        return Refusal.FAR
    return at if hours.permit(at) else Refusal.HOURS


def _days(day: str, today: date) -> list[date]:
    """The days that are meant, the likeliest first; none where there is no such day."""
    next_week = today + timedelta(days=7 - today.weekday())
    ahead = [today + timedelta(days=n) for n in range(LOOK_DAYS)]
    if day == _NO_DAY:
        return ahead
    if day in WEEKDAYS:
        return [each for each in ahead[1:] if each.weekday() == WEEKDAYS.index(day)]
    if day.removeprefix("next-") in WEEKDAYS:
        return [next_week + timedelta(days=WEEKDAYS.index(day.removeprefix("next-")))]
    if in_days := _IN_DAYS.fullmatch(day):
        return [today + timedelta(days=int(in_days[1]))]
    if of_month := _OF_MONTH.fullmatch(day):
        return _of_month(of_month[1], int(of_month[2]), today)
    match day:
        case "any":
            return ahead[1:]
        case "weekday":
            return [each for each in ahead if each.weekday() < 5]
        case "weekend":
            return [each for each in ahead if each.weekday() >= 5]
        case "next-week":
            return [next_week + timedelta(days=n) for n in range(7)]
        case "next-weekend":
            return [next_week + timedelta(days=n) for n in (5, 6)]
        case "next-month":
            first = (today.replace(day=1) + timedelta(days=31)).replace(day=1)
            return [first + timedelta(days=n) for n in range(7)]
        case _:
            return []


def _of_month(month: str, day: int, today: date) -> list[date]:
    """The next such day; of a month without a name the first one that has it."""
    if month == "day":
        months = [(today.year + (today.month - 1 + n) // 12, (today.month - 1 + n) % 12 + 1) for n in range(4)]
    else:
        months = [(today.year + n, int(month)) for n in (0, 1) if 1 <= int(month) <= 12]
    days = [date(*at, day) for at in months if 1 <= day <= calendar.monthrange(*at)[1]]
    return [each for each in days if each >= today][:1]


def _on(day: date, clock: str, now: datetime, hours: Hours) -> datetime | Refusal:
    if day - now.date() > timedelta(days=hours.furthest_days):
        return Refusal.FAR
    if WEEKDAYS[day.weekday()] not in hours.days:
        return Refusal.DAY
    start = datetime.combine(day, time())
    permitted = [at for n in _minutes_meant(clock, hours) if hours.permit(at := start + timedelta(minutes=n))]
    if not permitted:
        return Refusal.HOURS
    exact = _CLOCK.fullmatch(clock) is not None
    return next((at for at in permitted if (at > now if exact else at >= now + VAGUE_AHEAD)), Refusal.PAST)


def _minutes_meant(clock: str, hours: Hours) -> list[int]:
    """The minutes of the day that `clock` may mean, the likeliest first."""
    if said := _CLOCK.fullmatch(clock):
        minute = int(said["hour"]) * 60 + int(said["minute"])
        if not said["half"]:
            return [minute]
        before_noon = minute % 720
        by_day = 7 <= before_noon // 60 < 12
        return [before_noon, before_noon + 720] if by_day else [before_noon + 720, before_noon]
    whole_day = (_USUAL_MIN, _minutes(f"{hours.earliest:%H:%M}"), _minutes(f"{hours.latest:%H:%M}"))
    usual, begin, end = PARTS.get(clock, whole_day)
    return sorted({*range(begin, end, STEP_MIN), usual}, key=lambda n: (n < usual, abs(n - usual)))


# Zones ---------------------------------------------------------------------------------------------------------------


def lead_now(utc_now: datetime, gmt_offset_h: float) -> datetime:
    """What the lead's clock shows, naive, at `utc_now` (naive or aware, in UTC)."""
    return utc_now.replace(tzinfo=None) + timedelta(hours=gmt_offset_h)


def dialer_time(at: datetime, lead_offset_h: float, dialer_offset_h: float) -> datetime:
    """The lead's `at` on the dialer's own clock, which is what VICIdial's `callback_datetime` is in."""
    return at + timedelta(hours=dialer_offset_h - lead_offset_h)


# In words ------------------------------------------------------------------------------------------------------------

_DAY_NAMES = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTH_NAMES = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
_SMALL = (
    "twelve one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
).split()
_TENS = ("", "", "twenty", "thirty", "forty", "fifty")
_ORDINALS = (
    "zeroth first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth fifteenth "
    "sixteenth seventeenth eighteenth nineteenth twentieth"
).split()


def in_words(at: datetime, local_now: datetime) -> str:
    """As a voice says it, for "we call you {when}": "tomorrow at half past one in the afternoon"."""
    days = (at.date() - local_now.date()).days
    if days in (0, 1):
        return f"{('today', 'tomorrow')[days]} at {_time_in_words(at.time())}"
    # From a week on the name of the day alone would be another day's.
    day = _DAY_NAMES[at.weekday()] if 1 < days < 7 else f"on {_MONTH_NAMES[at.month - 1]} {_ordinal(at.day)}"
    return f"{day} at {_time_in_words(at.time())}"


def hours_in_words(hours: Hours) -> str:
    """For "we may only call {hours}": "between nine in the morning and eight in the evening, Monday to Saturday"."""
    days = _days_in_words([n for n, name in enumerate(WEEKDAYS) if name in hours.days])
    return f"between {_time_in_words(hours.earliest)} and {_time_in_words(hours.latest)}, {days}"


def _days_in_words(days: list[int]) -> str:
    if len(days) == 7:
        return "every day"
    runs: list[list[int]] = []
    for day in days:
        if runs and runs[-1][-1] == day - 1:
            runs[-1].append(day)
        else:
            runs.append([day])
    said = [
        part
        for run in runs
        for part in ([f"{_DAY_NAMES[run[0]]} to {_DAY_NAMES[run[-1]]}"] if len(run) > 2 else [_DAY_NAMES[day] for day in run])
    ]
    return said[0] if len(said) == 1 else f"{', '.join(said[:-1])} and {said[-1]}"


def _time_in_words(at: time) -> str:
    if (at.hour, at.minute) in ((0, 0), (12, 0)):
        return "noon" if at.hour else "midnight"
    part = "in the morning" if at.hour < 12 else "in the afternoon" if at.hour < 18 else "in the evening"
    hour, following = _SMALL[at.hour % 12], _SMALL[(at.hour + 1) % 12]
    match at.minute:
        case 0:
            said = hour
        case 15:
            said = f"quarter past {hour}"
        case 30:
            said = f"half past {hour}"
        case 45:
            said = f"quarter to {following}"
        case minute if minute < 10:
            said = f"{hour} oh {_SMALL[minute]}"
        case minute if minute < 20:
            said = f"{hour} {_SMALL[minute]}"
        case minute:
            said = f"{hour} {_TENS[minute // 10]} {_SMALL[minute % 10]}" if minute % 10 else f"{hour} {_TENS[minute // 10]}"
    return f"{said} {part}"


def _ordinal(day: int) -> str:
    if day <= 20:
        return _ORDINALS[day]
    return "thirtieth" if day == 30 else f"{_TENS[day // 10]} {_ORDINALS[day % 10]}"
