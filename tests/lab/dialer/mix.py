"""Who is called in a campaign day, in which order, and when things go wrong. Pure."""

from __future__ import annotations

import random
from dataclasses import dataclass

# Shares of a hundred. A real outbound day is mostly short: people who hang up on the greeting, machines, and a quick no.
SHARES = {
    "day/leaves_05s": 5,
    "day/leaves_1s": 5,
    "day/leaves_2s": 6,
    "day/leaves_4s": 6,
    "day/leaves_8s": 5,
    "day/leaves_12s": 5,
    "not_interested": 18,
    "asks_removal": 11,
    "day/voicemail": 9,
    "day/asks_callback": 9,
    "asks_human": 9,
    "silent": 6,
    "interested": 6,
}
FIRST = ["asks_human", "day/asks_callback", "asks_removal", "not_interested"]  # over before anything goes wrong
LEAST = len(SHARES)
LINES = 6  # what two cores can listen to and speak for at once, customers' ears and mouths included
# What somebody who said nothing can come to, whatever a recognizer makes of the line's noise.
UNAMBIGUOUS = {
    **{name: ("hung_up",) for name in SHARES if name.startswith("day/leaves")},
    "silent": ("no_input", "hung_up"),
}


@dataclass(frozen=True)
class Plan:
    """`people` are personas in the order they are called, one every `gap_s` as long as there are lines. While the API is
    away, `again` of those who left without a word are called once more. The rest counts calls placed so far, and seconds.

    At `burst_at` the dialer sends `over` calls more than the box can take; from `outage_at` on its API is away for
    `outage_s`; at `kill_at` the box is killed.
    """

    people: tuple[str, ...]
    lines: int
    gap_s: float
    again: int
    burst_at: tuple[int, ...]
    over: int
    outage_at: int
    outage_s: float
    kill_at: int


def apportioned(calls: int) -> dict[str, int]:
    """How many of each persona: by their shares, everybody at least once."""
    rest = max(0, calls - LEAST)
    exact = {name: rest * share / sum(SHARES.values()) for name, share in SHARES.items()}
    counts = {name: 1 + int(each) for name, each in exact.items()}
    left = calls - sum(counts.values())
    for name in sorted(exact, key=lambda each: exact[each] % 1, reverse=True)[: max(0, left)]:
        counts[name] += 1
    return counts


def day(calls: int, *, seed: int = 1) -> Plan:
    """A day of so many calls (a few more than there are personas at least), the same for the same arguments.

    The few long conversations are in its first half, since the end of a day waits for its last call. It begins with one of
    each kind that the dialer learns most from, so that even a short day has them whole.
    """
    calls = max(LEAST + 2, calls)
    shuffle = random.Random(seed)
    again = max(2, calls // 40)
    counts = apportioned(calls - again)
    people = [name for name, count in counts.items() for _ in range(count - (name in FIRST)) if name != "interested"]
    shuffle.shuffle(people)
    for _ in range(counts["interested"]):
        people.insert(shuffle.randrange(len(people) // 2), "interested")
    people = FIRST + people
    short = calls < 40
    bursts = (calls // 4,) if short else (calls // 5, calls * 4 // 5)
    return Plan(
        people=tuple(people),
        lines=4 if short else LINES,
        gap_s=2.5 if short else 1.0,
        again=again,
        burst_at=bursts,
        over=3,
        outage_at=calls // 2,
        outage_s=min(45.0, max(12.0, calls / 5)),
        kill_at=calls * 7 // 10,
    )
