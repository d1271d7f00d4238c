from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.dialers.courier import AT_ONCE, OLD_S, Courier, Pace, Watch, again_s, chosen, pause_s, ready_at
from appliance.dialers.protocol import Delivered, Delivery, Entry, EntryKind, OutboxCounts
from appliance.store.outbox import OutboxStore, read_closed

QUICK = Pace(first_s=0.004, most_s=0.02, probe_s=0.02, attempt_s=0.2)
T = 1_700_000_000.0
DONE = Delivered(Delivery.DONE)
AWAY = Delivered(Delivery.LATER, "connection refused")
NO_LEAD = Delivered(Delivery.PARKED, "no such lead")
REFUSED = Delivered(Delivery.LOCKED, "wrong password")


def run(main: Coroutine[Any, Any, None]) -> None:
    async def limited() -> None:
        async with asyncio.timeout(10):
            await main

    asyncio.run(limited())


async def until(true: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not true():  # noqa: ASYNC110 - the thing under test tells nobody
            await asyncio.sleep(0.001)


class Site:
    """A dialer that answers as told: `answers` one after the other, then `usual`. Each request waits while it is `shut`."""

    def __init__(self, *answers: Delivered | Exception, usual: Delivered = DONE) -> None:
        self.answers = deque(answers)
        self.usual = usual
        self.got: list[Entry] = []
        self.under_way: list[int] = []
        self.most_at_once = 0
        self.open = asyncio.Event()
        self.open.set()

    @property
    def ids(self) -> list[int]:
        return [entry.id for entry in self.got]

    async def deliver(self, entry: Entry) -> Delivered:
        self.got.append(entry)
        answer = self.answers.popleft() if self.answers else self.usual
        assert entry.lead_id not in self.under_way, "two requests for one lead"
        self.under_way.append(entry.lead_id)
        self.most_at_once = max(self.most_at_once, len(self.under_way))
        try:
            await self.open.wait()
            await asyncio.sleep(0)
        finally:
            self.under_way.remove(entry.lead_id)
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def store(tmp_path: Path) -> Iterator[OutboxStore]:
    with closing(OutboxStore(tmp_path / "outbox.db")) as store:
        yield store


@pytest.fixture
def alarms() -> list[tuple[str, str]]:
    return []


@pytest.fixture
def make(store: OutboxStore, alarms: list[tuple[str, str]]) -> Callable[..., Courier]:
    def make(site: Site, wall: Callable[[], float] = time.time, pace: Pace = QUICK) -> Courier:
        return Courier(store, site.deliver, wall=wall, alarm=lambda *alarm: alarms.append(alarm), pace=pace)

    return make


@asynccontextmanager
async def running(courier: Courier) -> AsyncIterator[None]:
    task = asyncio.create_task(courier.run())
    try:
        yield
    finally:
        await courier.stop(0.05)
        await task


def owe(courier: Courier, lead_id: int, not_before: float = 0) -> Entry:
    return courier.owe(EntryKind.LEAD, f"V{lead_id}", lead_id, {"comments": "hello"}, not_before=not_before)


# Decisions -----------------------------------------------------------------------------------------------------------


def entry(id: int, lead_id: int = 1, not_before: float = 0.0, attempts: int = 0) -> Entry:
    return Entry(id, EntryKind.LEAD, "V1", lead_id, {}, T, not_before, attempts)


def test_the_wait_doubles_up_to_a_minute() -> None:
    assert [again_s(n, 0.0, Pace()) for n in (1, 2, 3, 6, 7, 1000)] == [1, 2, 4, 32, 60, 60]


@given(attempts=st.integers(1, 100), chance=st.floats(0, 1))
def test_the_wait_is_less_up_to_a_half_by_chance(attempts: int, chance: float) -> None:
    longest = again_s(attempts, 0.0, Pace())
    assert longest / 2 <= again_s(attempts, chance, Pace()) <= longest


def test_a_clock_that_was_set_back_puts_nothing_off_for_long() -> None:
    assert ready_at(entry(1, not_before=T + 60), T) == T + 60
    assert ready_at(entry(1, not_before=T + 86400), T) == T


def test_while_the_dialer_is_away_any_entry_that_was_tried_may_look_for_it() -> None:
    tried, untried = entry(1, 1, T + 30, attempts=2), entry(2, 2, T + 30)
    assert [ready_at(e, T, away=True) for e in (tried, untried)] == [T, T + 30]
    assert ready_at(entry(3, not_before=T - 5, attempts=1), T, away=True) == T - 5
    assert chosen([tried, untried], set(), T, 9, away=True) == [tried]
    assert pause_s([tried, untried], set(), T, T + 2, away=True) == pytest.approx(2, abs=1e-6)


def test_what_is_sent_is_due_of_a_free_lead_and_the_least_tried_first() -> None:
    heads = [entry(1, 1, attempts=2), entry(2, 2), entry(3, 3, not_before=T + 1), entry(4, 4), entry(5, 5)]
    assert [e.id for e in chosen(heads, {4}, T, 9)] == [2, 5, 1]
    assert [e.id for e in chosen(heads, {4}, T, 1)] == [2]
    assert chosen(heads, {4}, T, -1) == []


@pytest.mark.parametrize(
    ("heads", "busy", "quiet_until", "wait_s"),
    [
        ([], set(), 0.0, 5.0),
        ([entry(1, 1, T + 0.5), entry(2, 2, T + 2)], set(), 0.0, 0.5),
        ([entry(1, 1, T + 0.5), entry(2, 2, T + 2)], {1}, 0.0, 2.0),
        ([entry(1, 1, T + 0.5)], set(), T + 3, 3.0),
        ([entry(1, 1, T + 60)], set(), 0.0, 5.0),
    ],
)
def test_how_long_there_is_nothing_to_do(heads: list[Entry], busy: set[int], quiet_until: float, wait_s: float) -> None:
    assert pause_s(heads, busy, T, quiet_until) == pytest.approx(wait_s, abs=1e-6)


def test_each_condition_is_told_once_when_it_begins_and_once_when_it_is_over() -> None:
    watch = Watch()
    old = OutboxCounts(open=3, oldest_s=OLD_S)
    assert watch.look(OutboxCounts(open=3, oldest_s=OLD_S - 1)) == []
    assert watch.look(old) == [("outbox_old", "3 entries are owed to the dialer, the oldest for 5 minutes")]
    assert watch.look(old) == []
    assert watch.look(OutboxCounts()) == [("outbox_ok", "nothing in the outbox is old any more")]
    assert watch.look(OutboxCounts()) == []
    assert [kind for kind, _ in watch.look(OutboxCounts(failing="outbox.db: full"))] == ["outbox_disk"]
    assert watch.look(OutboxCounts(failing="outbox.db: full")) == []
    assert watch.look(OutboxCounts(lost=2)) == [("outbox_ok", "the outbox is written again, 2 entries were lost")]


# The loop ------------------------------------------------------------------------------------------------------------


def test_everything_is_delivered_in_the_order_of_its_lead_and_a_few_at_once(
    store: OutboxStore, make: Callable[..., Courier]
) -> None:
    async def main() -> None:
        site = Site()
        courier = make(site)
        owed = [owe(courier, lead) for _ in range(3) for lead in range(10)]
        site.open.clear()
        async with running(courier):
            await until(lambda: len(site.under_way) == AT_ONCE)
            assert courier.counts.open == 30
            site.open.set()
            await until(lambda: not courier.counts.open)
        for lead in range(10):
            assert [e.id for e in site.got if e.lead_id == lead] == [e.id for e in owed if e.lead_id == lead]
        assert site.most_at_once == AT_ONCE
        assert len(site.got) == 30

    run(main())


def test_what_is_not_ready_waits_and_holds_up_only_its_own_lead(make: Callable[..., Courier]) -> None:
    async def main() -> None:
        site = Site()
        courier = make(site)
        ready_at = time.time() + 0.1
        owe(courier, 1, not_before=ready_at)
        owe(courier, 1)
        owe(courier, 2)
        async with running(courier):
            await until(lambda: site.got)
            assert site.ids == [3]
            await until(lambda: len(site.got) == 3)
            assert time.time() >= ready_at
        assert site.ids == [3, 1, 2]

    run(main())


def test_a_failed_try_is_repeated_with_its_attempts_counted_so_that_it_is_looked_up(
    make: Callable[..., Courier], store: OutboxStore, tmp_path: Path
) -> None:
    async def main() -> None:
        site = Site(AWAY, AWAY, Delivered(Delivery.ALREADY, "found"))
        courier = make(site)
        async with running(courier):
            owe(courier, 1)
            owe(courier, 1)
            await until(lambda: not courier.counts.open)
        assert [(e.id, e.attempts) for e in site.got] == [(1, 0), (1, 1), (1, 2), (2, 0)]

    run(main())
    closed = read_closed(tmp_path / "outbox.db")
    assert [(c.what, c.entry.error) for c in closed] == [(Delivery.ALREADY, "found"), (Delivery.DONE, "")]


def test_the_try_is_on_the_disk_before_the_request_leaves(store: OutboxStore, make: Callable[..., Courier]) -> None:
    async def main() -> None:
        site = Site()
        courier = make(site)
        site.open.clear()
        async with running(courier):
            owe(courier, 1)
            await until(lambda: site.under_way)
            assert [e.attempts for e in store.pending()] == [1]
            assert store.counts(T).unwritten == 0
            site.open.set()

    run(main())


def test_a_dialer_that_is_away_is_asked_by_one_request_at_a_time_and_all_follow_when_it_is_back(
    make: Callable[..., Courier],
) -> None:
    async def main() -> None:
        site = Site(usual=AWAY)
        courier = make(site, pace=Pace(first_s=30, probe_s=0.01))
        async with running(courier):
            for lead in range(10):
                owe(courier, lead)
            await until(lambda: len(site.got) >= AT_ONCE)
            site.most_at_once = 0
            await until(lambda: len(site.got) >= 25)  # each twice at least, though its own next try is half a minute away
            assert site.most_at_once == 1
            assert {entry.lead_id for entry in site.got[-10:]} == set(range(10))
            site.usual = DONE
            await until(lambda: not courier.counts.open)

    run(main())


def test_a_bug_of_one_entry_stops_nobody_and_its_text_is_told_to_nobody(
    make: Callable[..., Courier], caplog: pytest.LogCaptureFixture, store: OutboxStore
) -> None:
    caplog.set_level(logging.DEBUG)

    async def main() -> None:
        site = Site(ValueError("GET /api.php?pass=Sesame-84"))
        courier = make(site, pace=Pace(first_s=30))
        async with running(courier):
            owe(courier, 1)
            owe(courier, 2)
            await until(lambda: courier.counts.open == 1)
            assert store.pending()[0].error == "a bug (ValueError), see the log"
            courier.retry()
            await until(lambda: not courier.counts.open)

    run(main())
    assert "ValueError" in caplog.text
    assert "in deliver" in caplog.text
    assert "Sesame" not in caplog.text


def test_a_request_that_never_ends_is_given_up_and_tried_again(make: Callable[..., Courier], store: OutboxStore) -> None:
    async def main() -> None:
        site = Site()
        courier = make(site, pace=Pace(first_s=0.004, attempt_s=0.02))
        site.open.clear()
        async with running(courier):
            owe(courier, 1)
            await until(lambda: len(site.got) == 2)
            assert store.pending()[0].error == "no answer within 0.02 s"
            site.open.set()
            await until(lambda: not courier.counts.open)

    run(main())


def test_what_can_never_succeed_is_parked_and_told_and_others_go_on(
    make: Callable[..., Courier], alarms: list[tuple[str, str]]
) -> None:
    async def main() -> None:
        site = Site(NO_LEAD)
        courier = make(site)
        async with running(courier):
            owe(courier, 1)
            owe(courier, 1)
            await until(lambda: len(site.got) == 2)
            await until(lambda: (courier.counts.open, courier.counts.parked) == (1, 1))
            assert alarms == [("outbox_parked", "entry 1 (lead of call V1): no such lead")]
            courier.retry()
            await until(lambda: not courier.counts.open)
        assert site.ids == [1, 2]  # what it wanted to write, the second one has written

    run(main())


def test_a_refused_password_stops_everything_till_somebody_says_so(
    make: Callable[..., Courier], alarms: list[tuple[str, str]]
) -> None:
    async def main() -> None:
        site = Site(REFUSED, REFUSED)
        courier = make(site)
        async with running(courier):
            owe(courier, 1)
            owe(courier, 2)
            await until(lambda: alarms)
            later = owe(courier, 3)
            assert await courier.deliver_now(later, 1) == REFUSED
            courier.nudge()
            await asyncio.sleep(0.03)
            assert site.ids == [1, 2]
            courier.retry()
            await until(lambda: not courier.counts.open)
        assert sorted((e.id, e.attempts) for e in site.got) == [(1, 0), (1, 1), (2, 0), (2, 1), (3, 0)]
        assert alarms == [("locked", "nothing more is sent to the dialer: wrong password")]

    run(main())


def test_an_operator_hears_of_what_is_old_and_of_its_end(make: Callable[..., Courier], alarms: list[tuple[str, str]]) -> None:
    async def main() -> None:
        site = Site(usual=AWAY)
        shift_s = 0.0
        courier = make(site, wall=lambda: time.time() + shift_s)
        async with running(courier):
            owe(courier, 1)
            await until(lambda: len(site.got) > 1)
            assert alarms == []
            shift_s = OLD_S + 1
            courier.nudge()
            await until(lambda: alarms)
            site.usual = DONE
            await until(lambda: len(alarms) == 2)
        assert [kind for kind, _ in alarms] == ["outbox_old", "outbox_ok"]

    run(main())


def test_a_disk_that_fails_is_told_and_what_waits_is_delivered_and_written(
    make: Callable[..., Courier], store: OutboxStore, alarms: list[tuple[str, str]]
) -> None:
    async def main() -> None:
        site = Site()
        courier = make(site)
        owe(courier, 1)
        store._db.execute("PRAGMA query_only = 1")
        async with running(courier):
            owe(courier, 2)
            await until(lambda: 2 in site.ids)
            await until(lambda: alarms)
            assert 1 not in site.ids  # after a crash it would be sent twice
            store._db.execute("PRAGMA query_only = 0")
            await until(lambda: not courier.counts.open)
            await until(lambda: len(alarms) == 2)
        assert [kind for kind, _ in alarms] == ["outbox_disk", "outbox_ok"]
        assert sorted(site.ids) == [1, 2]

    run(main())


# While somebody waits ------------------------------------------------------------------------------------------------


def test_in_a_call_what_is_owed_before_it_goes_first_and_what_comes_after_it_is_not_waited_for(
    make: Callable[..., Courier],
) -> None:
    async def main() -> None:
        site = Site()
        courier = make(site)
        owe(courier, 1)
        owe(courier, 2)
        wanted = owe(courier, 1)
        owe(courier, 1)
        assert await courier.deliver_now(wanted, 1) == DONE
        assert site.ids == [1, 3]
        assert await courier.deliver_now(wanted, 1) == Delivered(Delivery.ALREADY, "it is no longer owed")
        settle = courier.owe(EntryKind.SETTLE, "V1", 1, {"status": "NI"})
        assert courier.settle_of("V1") == settle
        await courier.stop(0)

    run(main())


def test_in_a_call_a_try_that_is_under_way_is_waited_for_and_not_doubled(make: Callable[..., Courier]) -> None:
    async def main() -> None:
        site = Site()
        courier = make(site)
        site.open.clear()
        async with running(courier):
            wanted = owe(courier, 1)
            await until(lambda: site.under_way)
            waiting = asyncio.create_task(courier.deliver_now(wanted, 5))
            await asyncio.sleep(0.01)
            site.open.set()
            assert await waiting == DONE
        assert site.ids == [1]

    run(main())


def test_in_a_call_the_next_try_is_not_waited_for_but_what_is_not_ready_is(make: Callable[..., Courier]) -> None:
    async def main() -> None:
        site = Site(AWAY)
        courier = make(site, pace=Pace(first_s=60))
        wanted = owe(courier, 1)
        assert await courier.deliver_now(wanted, 1) == AWAY
        assert await courier.deliver_now(wanted, 1) == DONE
        ready_at = time.time() + 0.05
        assert await courier.deliver_now(owe(courier, 1, not_before=ready_at), 1) == DONE
        assert time.time() >= ready_at
        unready = await courier.deliver_now(owe(courier, 1, not_before=time.time() + 9), 0.02)
        assert unready == Delivered(Delivery.LATER, "not within 0.02 s")

    run(main())


def test_in_a_call_an_earlier_one_that_fails_is_the_answer_and_a_parked_one_is_passed(make: Callable[..., Courier]) -> None:
    async def main() -> None:
        site = Site(AWAY, NO_LEAD, DONE)
        courier = make(site)
        owe(courier, 1)
        wanted = owe(courier, 1)
        assert await courier.deliver_now(wanted, 1) == Delivered(Delivery.LATER, "entry 1 goes first: connection refused")
        assert site.ids == [1]
        assert await courier.deliver_now(wanted, 1) == DONE
        assert site.ids == [1, 1, 2]

    run(main())


def test_in_a_call_what_was_parked_is_said_to_be(make: Callable[..., Courier]) -> None:
    async def main() -> None:
        courier = make(Site(NO_LEAD))
        wanted = owe(courier, 1)
        assert [await courier.deliver_now(wanted, 1) for _ in range(2)] == [NO_LEAD, NO_LEAD]

    run(main())


def test_in_a_call_a_slow_dialer_is_not_waited_for_longer_than_asked_and_the_request_goes_on(
    make: Callable[..., Courier],
) -> None:
    async def main() -> None:
        site = Site()
        courier = make(site, pace=Pace())
        site.open.clear()
        async with running(courier):
            wanted = owe(courier, 1)
            began = time.monotonic()
            assert (await courier.deliver_now(wanted, 0.05)).what is Delivery.LATER
            assert time.monotonic() - began < 0.5
            site.open.set()
            await until(lambda: not courier.counts.open)
        assert site.ids == [1]  # the same request

    run(main())


# The end -------------------------------------------------------------------------------------------------------------


def test_stopping_delivers_what_is_ready_in_time(make: Callable[..., Courier]) -> None:
    async def main() -> None:
        site = Site()
        courier = make(site)
        task = asyncio.create_task(courier.run())
        owe(courier, 1, not_before=time.time() + 0.05)
        owe(courier, 2, not_before=time.time() + 60)
        await courier.stop(2)
        await task
        assert site.ids == [1]
        assert courier.counts.open == 1

    run(main())


def test_stopping_cuts_a_request_that_takes_too_long_and_it_is_looked_up_later(
    make: Callable[..., Courier], store: OutboxStore
) -> None:
    async def main() -> None:
        site = Site()
        courier = make(site, pace=Pace())
        task = asyncio.create_task(courier.run())
        site.open.clear()
        wanted = owe(courier, 1)
        await until(lambda: site.under_way)
        waiting = asyncio.create_task(courier.deliver_now(wanted, 5))
        await asyncio.sleep(0)
        await courier.stop(0.02)
        await task
        assert await waiting == Delivered(Delivery.LATER, "sidetone stops")
        assert (site.under_way, [e.attempts for e in store.pending()]) == ([], [1])
        assert (await courier.deliver_now(wanted, 1)).what is Delivery.LATER

    run(main())


def test_stopping_does_not_wait_for_a_dialer_that_is_away(make: Callable[..., Courier]) -> None:
    async def main() -> None:
        site = Site(usual=AWAY)
        courier = make(site)
        task = asyncio.create_task(courier.run())
        for lead in range(5):
            owe(courier, lead)
        await until(lambda: len(site.got) > 5)
        began = time.monotonic()
        await courier.stop(5)
        await task
        assert time.monotonic() - began < 1

    run(main())
