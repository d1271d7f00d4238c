from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from appliance.dialers.protocol import Delivery, Entry, EntryKind, OutboxCounts
from appliance.errors import StoreError
from appliance.store import outbox as outbox_module
from appliance.store.outbox import KEEP_S, OutboxStore, read_closed, read_outbox, still_owed
from tests.store.conftest import fill

T = 1_700_000_000.0
DNC = {"phone": "4155550123", "scope": "SYSTEM_INTERNAL"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "outbox.db"


@pytest.fixture
def store(path: Path) -> Iterator[OutboxStore]:
    with closing(OutboxStore(path)) as store:
        yield store


def settle(store: OutboxStore, call_id: str = "V1", lead_id: int = 1, status: str = "NI", not_before: float = 0) -> Entry:
    return store.add(EntryKind.SETTLE, call_id, lead_id, {"status": status, "group": "C"}, T, not_before=not_before)


def lead(store: OutboxStore, lead_id: int = 1, **data: str) -> Entry:
    return store.add(EntryKind.LEAD, f"V{lead_id}", lead_id, data or {"comments": "hello"}, T)


def ids(entries: list[Entry]) -> list[int]:
    return [entry.id for entry in entries]


# On the disk ---------------------------------------------------------------------------------------------------------


def test_what_a_method_returns_from_is_on_the_disk(store: OutboxStore, path: Path) -> None:
    """Seen over a connection of another process's kind, after each step."""
    entry = store.add(EntryKind.SETTLE, "V1", 7, {"status": "Ünï|\n"}, T, not_before=T + 1, transferred=True)
    assert read_outbox(path) == [entry]
    assert entry == Entry(1, EntryKind.SETTLE, "V1", 7, {"status": "Ünï|\n"}, T, T + 1, transferred=True)
    assert store.trying(1)
    assert [owed.attempts for owed in read_outbox(path)] == [1]
    store.later(1, T + 9, "no answer")
    assert [(owed.not_before, owed.error) for owed in read_outbox(path)] == [(T + 9, "no answer")]
    store.park(1, "no such lead")
    assert [(owed.parked, owed.error) for owed in read_outbox(path)] == [(True, "no such lead")]
    store.unpark_all(T + 10)
    assert [(owed.parked, owed.not_before) for owed in read_outbox(path)] == [(False, T + 10)]
    store.done(1, Delivery.DONE, T + 20, "1 row")
    assert read_outbox(path) == []
    assert [(closed.entry.id, closed.what, closed.at, closed.entry.error) for closed in read_closed(path)] == [
        (1, Delivery.DONE, T + 20, "1 row")
    ]


def test_a_commit_waits_for_the_disk_and_the_file_is_private(store: OutboxStore, path: Path) -> None:
    (synchronous,) = store._db.execute("PRAGMA synchronous").fetchone()
    assert synchronous == 2  # FULL: in WAL mode, the commit is on the disk when it returns
    assert path.stat().st_mode & 0o777 == 0o600


def test_everything_is_there_after_opening_again_and_ids_go_on(path: Path) -> None:
    with closing(OutboxStore(path)) as store:
        for n in range(3):
            settle(store, f"V{n}", lead_id=n)
        store.trying(2)
        store.done(3, Delivery.DONE, T)
        before = store.pending()
    with closing(OutboxStore(path)) as store:
        assert store.pending() == before
        assert settle(store, "V9").id == 4


def test_a_second_process_is_refused_until_the_first_ends(path: Path) -> None:
    with closing(OutboxStore(path)), pytest.raises(StoreError, match="another sidetone keeps its outbox here"):
        OutboxStore(path)
    OutboxStore(path).close()


def test_a_damaged_file_is_an_error_that_says_what_is_lost_with_it(path: Path) -> None:
    with closing(OutboxStore(path)) as store:
        for n in range(200):
            settle(store, f"V{n}", lead_id=n)
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xa5" * 3000)
    with pytest.raises(StoreError, match=r"outbox\.db") as caught:
        OutboxStore(path)
    assert f"mv {path} {path}.damaged" in caught.value.hint
    assert "only in the journal" in caught.value.hint


def test_a_file_of_another_shape_is_an_error_and_gives_the_lock_back(path: Path) -> None:
    OutboxStore(path).close()
    with closing(sqlite3.connect(path)) as db:
        db.execute("ALTER TABLE entries RENAME TO elsewhere")
    for _ in range(2):
        with pytest.raises(StoreError, match="no such table"):
            OutboxStore(path)


def test_reading_where_there_is_none_is_an_error(path: Path) -> None:
    with pytest.raises(StoreError, match="there is no outbox yet"):
        read_outbox(path)


def test_reading_a_damaged_file_is_an_error(path: Path) -> None:
    OutboxStore(path).close()
    path.write_bytes(b"no database" * 1000)
    with pytest.raises(StoreError, match="cannot be read") as caught:
        read_outbox(path)
    assert caught.value.hint


def test_closed_entries_are_kept_for_a_month(store: OutboxStore, path: Path) -> None:
    for n in range(4):
        settle(store, f"V{n}", lead_id=n)
    store.done(1, Delivery.DONE, T)
    store.done(2, Delivery.ALREADY, T + 86400)
    store.done(3, Delivery.SUPERSEDED, T + KEEP_S + 3600)
    assert [closed.entry.id for closed in read_closed(path)] == [2, 3]
    assert ids(store.pending()) == [4]


def test_an_id_is_never_given_twice_even_when_all_were_pruned(path: Path) -> None:
    with closing(OutboxStore(path)) as store:
        for n in (1, 2):
            settle(store, f"V{n}", lead_id=n)
            store.done(n, Delivery.DONE, T)
    with closing(OutboxStore(path)) as store:
        settle(store, "V3")
        store.done(3, Delivery.DONE, T + 2 * KEEP_S)
    with closing(OutboxStore(path)) as store:
        assert settle(store, "V4").id == 4


# Order and merging ---------------------------------------------------------------------------------------------------


def test_only_the_oldest_of_a_lead_is_next(store: OutboxStore) -> None:
    settle(store, "V1", 1)
    lead(store, 1)
    settle(store, "V2", 2)
    assert ids(store.heads()) == [1, 3]
    store.later(1, T + 60, "no answer")
    assert ids(store.heads()) == [1, 3]
    store.done(1, Delivery.DONE, T)
    assert ids(store.heads()) == [2, 3]


def test_a_parked_entry_holds_up_nobody(store: OutboxStore) -> None:
    lead(store, 1)
    store.add(EntryKind.DNC, "V1", 1, DNC, T)
    store.trying(1)
    store.park(1, "no permission")
    assert ids(store.heads()) == [2]
    assert store.unpark_all(T) == 1
    assert ids(store.heads()) == [1]


def test_a_status_that_was_never_tried_is_replaced_in_its_place(store: OutboxStore, path: Path) -> None:
    first = settle(store, status="AICU", not_before=T + 8)
    lead(store)
    second = store.add(EntryKind.SETTLE, "V1", 1, {"status": "XFER"}, T + 3, not_before=T + 1, transferred=True)
    assert (second.id, second.data, second.not_before, second.transferred) == (first.id, {"status": "XFER"}, T + 1, True)
    assert second.created_at == T
    assert read_outbox(path) == store.pending()
    assert len(store.pending()) == 2


def test_a_status_that_was_tried_is_followed_by_the_new_one(store: OutboxStore) -> None:
    settle(store, status="AICU")
    store.trying(1)
    assert settle(store, status="NI").id == 2
    assert settle(store, "V2", status="NI").id == 3


def test_the_same_opt_out_is_owed_once_at_a_time(store: OutboxStore) -> None:
    first = store.add(EntryKind.DNC, "V1", 1, DNC, T)
    assert store.add(EntryKind.DNC, "V2", 0, dict(DNC), T + 5) == first
    assert store.add(EntryKind.DNC, "V1", 1, DNC | {"scope": "CAMP"}, T).id == 2
    store.done(1, Delivery.DONE, T)
    assert store.add(EntryKind.DNC, "V1", 1, DNC, T).id == 3


def test_the_status_of_a_call_can_be_asked_for(store: OutboxStore) -> None:
    assert store.settle_of("V1") is None
    lead(store)
    settle(store, status="AICU")
    store.trying(2)
    store.done(2, Delivery.DONE, T)
    assert (found := store.settle_of("V1")) is not None
    assert found.data["status"] == "AICU"
    newer = settle(store, status="NI")
    assert store.settle_of("V1") == newer


def test_what_waits_for_its_next_try_can_be_hastened_and_what_is_not_ready_cannot(store: OutboxStore, path: Path) -> None:
    settle(store, "V1", 1, not_before=T + 50)
    settle(store, "V2", 2)
    store.trying(2)
    store.later(2, T + 60, "no answer")
    store.hasten(T + 1)
    assert [entry.not_before for entry in read_outbox(path)] == [T + 50, T + 1]


def test_an_id_that_is_not_owed_is_passed_over(store: OutboxStore) -> None:
    settle(store)
    store.done(1, Delivery.DONE, T)
    store.done(1, Delivery.DONE, T)
    store.later(1, T, "")
    store.park(1, "")
    assert not store.trying(1)
    assert store.pending() == []


def test_counts(store: OutboxStore) -> None:
    assert store.counts(T) == OutboxCounts()
    settle(store)
    lead(store, 2)
    store.park(1, "no such lead")
    assert store.counts(T + 30) == OutboxCounts(open=2, parked=1, oldest_s=30.0)
    assert store.counts(T - 30).oldest_s == 0.0  # the clock was set back


@pytest.mark.parametrize("call_id", ["V1'; DROP TABLE entries; --", "\ud800", "\0", "x" * 10_000])
def test_what_came_from_the_network_is_kept_as_text(store: OutboxStore, path: Path, call_id: str) -> None:
    entry = store.add(EntryKind.SETTLE, call_id, 1, {"status": call_id}, T)
    store.park(entry.id, call_id)
    assert read_outbox(path) == store.pending()
    assert store.settle_of(call_id) is not None
    assert store.counts(T).failing == ""


def test_a_lead_id_that_no_database_has_is_a_bug_of_the_caller(store: OutboxStore) -> None:
    with pytest.raises(ValueError, match="63 bits"):
        settle(store, lead_id=2**63)
    assert store.pending() == []


# What a parked entry still owes --------------------------------------------------------------------------------------


def entry(id: int, kind: EntryKind, call_id: str = "V1", **data: str) -> Entry:
    return Entry(id, kind, call_id, 1, data, T)


SETTLED = entry(1, EntryKind.SETTLE, status="NI")
FIELDS = entry(1, EntryKind.LEAD, comments="old", email="a@b.example")
CALLBACK = entry(1, EntryKind.CALLBACK, at="2026-01-02 10:00:00", comments="x")
OPT_OUT = entry(1, EntryKind.DNC, **DNC)


@pytest.mark.parametrize(
    ("parked", "later", "left"),
    [
        (SETTLED, [], SETTLED),
        (SETTLED, [entry(2, EntryKind.SETTLE, status="DNC")], None),
        (SETTLED, [entry(2, EntryKind.SETTLE, "V2", status="DNC")], msgspec.structs.replace(SETTLED, transferred=True)),
        (FIELDS, [entry(2, EntryKind.LEAD, comments="new")], msgspec.structs.replace(FIELDS, data={"email": "a@b.example"})),
        (FIELDS, [entry(2, EntryKind.LEAD, comments="new"), entry(3, EntryKind.LEAD, email="")], None),
        (CALLBACK, [entry(2, EntryKind.CALLBACK, at="2026-01-03 10:00:00")], None),
        (OPT_OUT, [entry(2, EntryKind.DNC, phone="1", scope="C")], OPT_OUT),
    ],
)
def test_a_parked_entry_never_overwrites_what_went_past_it(parked: Entry, later: list[Entry], left: Entry | None) -> None:
    assert still_owed(parked, later) == left


def test_unparking_looks_at_what_was_delivered_meanwhile(store: OutboxStore, path: Path) -> None:
    lead(store, 1, comments="old", email="a@b.example")
    lead(store, 2, comments="old")
    lead(store, 3, comments="old")
    for n in (1, 2, 3):
        store.trying(n)
        store.park(n, "no permission")
    for n in (1, 2, 3):
        lead(store, n, comments="new")
    store.done(4, Delivery.DONE, T)
    store.done(5, Delivery.ALREADY, T)
    assert store.unpark_all(T + 60) == 3
    assert [(owed.id, owed.data) for owed in store.heads()] == [(1, {"email": "a@b.example"}), (3, {"comments": "old"})]
    assert [(closed.entry.id, closed.what) for closed in read_closed(path)][-1] == (2, Delivery.SUPERSEDED)


# A disk that is full -------------------------------------------------------------------------------------------------


def test_a_full_disk_loses_nothing_and_what_waits_is_written_later(small_disk: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = small_disk / "outbox.db"
    with closing(OutboxStore(path)) as store:
        settle(store, "V0", 1)
        filler = fill(small_disk)
        for n in range(1, 100):
            lead(store, n, comments="x" * 2000)
        counts = store.counts(T)
        assert "full" in counts.failing
        assert (counts.open, counts.lost) == (100, 0)
        assert counts.unwritten > 0
        assert len(read_outbox(path)) < 100
        assert not store.flush()
        filler.unlink()
        assert store.flush()
        assert store.counts(T) == OutboxCounts(open=100)
        assert read_outbox(path) == store.pending()
    assert [record.levelname for record in caplog.records] == ["ERROR"]


def failing(store: OutboxStore, yes: bool = True) -> None:
    """The disk takes nothing any more: SQLite itself says so."""
    store._db.execute(f"PRAGMA query_only = {int(yes)}")


def test_a_try_that_the_disk_takes_no_note_of_must_not_leave(store: OutboxStore, path: Path) -> None:
    """After a crash it would be sent again without a look: the disk says that it was never tried."""
    settle(store, "V1", 1)
    settle(store, "V2", 2)
    store.trying(2)
    failing(store)
    unknown = settle(store, "V3", 3)
    assert not store.trying(1)
    assert store.trying(2)
    assert store.trying(unknown.id)
    failing(store, False)
    assert store.flush()
    assert [entry.attempts for entry in read_outbox(path)] == [0, 2, 1]
    assert store.trying(1)
    assert [entry.attempts for entry in read_outbox(path)] == [1, 2, 1]


def test_what_was_delivered_while_the_disk_failed_leaves_nothing_behind(store: OutboxStore, path: Path) -> None:
    settle(store, "V1", 1)
    failing(store)
    new = settle(store, "V2", 2)
    store.done(new.id, Delivery.DONE, T)
    store.done(1, Delivery.DONE, T)
    assert (store.counts(T).open, store.counts(T).unwritten) == (0, 1)
    failing(store, False)
    assert store.flush()
    assert [closed.entry.id for closed in read_closed(path)] == [1]


def test_unparking_knows_what_was_delivered_while_the_disk_failed(store: OutboxStore) -> None:
    for n in (1, 2):
        lead(store, n, comments="old")
        store.trying(n)
        store.park(n, "no permission")
        lead(store, n, comments="new")
    failing(store)
    store.done(2, Delivery.DONE, T)
    store.done(4, Delivery.SUPERSEDED, T)
    store.unpark_all(T)
    assert ids(store.pending()) == [3]


def test_memory_has_an_end_and_what_is_given_up_is_counted(store: OutboxStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox_module, "MAX_UNWRITTEN", 3)
    settle(store, "V0", 0)
    failing(store)
    for n in range(1, 6):
        settle(store, f"V{n}", n)
    assert ids(store.pending()) == [1, 4, 5, 6]
    assert store.counts(T).lost == 2
    failing(store, False)
    store.flush()
    assert store.counts(T) == OutboxCounts(open=4, lost=2)
