"""What is owed to the dialer: on the disk before anybody relies on it, and till it is delivered."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from appliance.config.settings import Paths
from appliance.dialers.protocol import Delivery, Entry, EntryKind, OutboxCounts
from appliance.errors import StoreError
from appliance.store.database import Schema, explained, locked, open_database, open_for_reading

log = logging.getLogger(__name__)

KEEP_S = 30 * 86400.0  # so long a closed entry can be looked at
PRUNE_EVERY_S = 86400.0
MAX_UNWRITTEN = 2000  # new entries that only memory has, while the disk takes nothing
MAX_ERROR_CHARS = 500

OUTBOX = Schema(
    "outbox",
    (
        """
        CREATE TABLE entries (
            id INTEGER PRIMARY KEY,
            kind TEXT NOT NULL,
            call_id TEXT NOT NULL,
            lead_id INTEGER NOT NULL,
            data TEXT NOT NULL,             -- JSON
            created_at REAL NOT NULL,       -- seconds since 1970, as every time here
            not_before REAL NOT NULL,
            attempts INTEGER NOT NULL,
            error TEXT NOT NULL,
            parked INTEGER NOT NULL,
            transferred INTEGER NOT NULL,
            what TEXT,                      -- what became of it; NULL while it is owed
            closed_at REAL
        ) STRICT;
        CREATE INDEX entries_open ON entries (id) WHERE what IS NULL;
        CREATE INDEX entries_closed ON entries (closed_at) WHERE what IS NOT NULL;
        CREATE INDEX entries_by_call ON entries (call_id);
        CREATE INDEX entries_by_lead ON entries (lead_id);
        """,
    ),
    "what it still owed the dialer is then only in the journal: sidetone calls",
)
_FIELDS = Entry.__struct_fields__
_COLUMNS = (*_FIELDS, "what", "closed_at")
# ruff: noqa: S608 - only our own names are put together
_WRITE = f"INSERT OR REPLACE INTO entries ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})"
_DELIVERED = f"'{Delivery.DONE.value}', '{Delivery.ALREADY.value}'"


class Closed(msgspec.Struct, frozen=True):
    """An entry that is owed no more: DONE, ALREADY or SUPERSEDED. Its `error` holds the detail of the last answer."""

    entry: Entry
    what: Delivery
    at: float


def outbox_path(paths: Paths) -> Path:
    return paths.state / "outbox.db"


class OutboxStore:
    """The entries of one dialer. For one thread at a time, whichever made it; every time is seconds since 1970.

    What a method returns from is committed, and survives `kill -9` and a power cut. While the disk is full or fails, new
    entries and changes wait in memory and are written as soon as it takes them again (`flush`, and every change tries):
    `counts` says so. Of MAX_UNWRITTEN new ones the oldest is given up for the next, and counted.
    """

    def __init__(self, path: Path) -> None:
        """Open, create, migrate. Raises StoreError, also when another process has it."""
        self._path = path
        self._open: dict[int, Entry] = {}  # in the order of their ids
        self._unwritten: dict[int, Entry | Closed] = {}
        self._new: set[int] = set()  # those of the unwritten that the disk has never seen
        self._failing = ""
        self._lost = 0
        self._pruned_at: float | None = None
        with contextlib.ExitStack() as opened:
            self._db = open_database(path, OUTBOX)
            opened.callback(self._db.close)
            opened.callback(os.close, locked(path, OUTBOX))
            try:
                for row in self._db.execute("SELECT * FROM entries WHERE what IS NULL ORDER BY id"):
                    self._open[row["id"]] = _entry_of(row)
                (self._last_id,) = self._db.execute("SELECT coalesce(max(id), 0) FROM entries").fetchone()
            except sqlite3.Error as e:
                raise explained(path, e, OUTBOX) from None
            self._opened = opened.pop_all()

    def close(self) -> None:
        """Write what can be written, and give the file back."""
        self.flush()
        self._opened.close()

    # What is owed ----------------------------------------------------------------------------------------------------

    def add(
        self,
        kind: EntryKind,
        call_id: str,
        lead_id: int,
        data: dict[str, str],
        now: float,
        *,
        not_before: float = 0.0,
        transferred: bool = False,
    ) -> Entry:
        """Owe it. A status of a call replaces the one that was never tried, in its place; the same opt-out is owed once.

        Raises ValueError for a lead id that no database has.
        """
        if not 0 <= lead_id < 2**63:
            raise ValueError("a lead id has at most 63 bits")
        call_id = _encodable(call_id)
        open_ones = [entry for entry in self._open.values() if entry.kind is kind]
        if kind is EntryKind.DNC:
            for entry in open_ones:
                if entry.data == data:
                    return entry
        if kind is EntryKind.SETTLE:
            for entry in open_ones:
                if entry.call_id == call_id and not entry.attempts:
                    return self._change(entry, data=data, not_before=not_before, transferred=transferred)
        self._last_id += 1
        entry = Entry(self._last_id, kind, call_id, lead_id, data, now, not_before, transferred=transferred)
        self._open[entry.id] = entry
        self._new.add(entry.id)
        if not self._keep(entry) and len(self._new) > MAX_UNWRITTEN:
            self._give_up(min(self._new))
        return entry

    def heads(self) -> list[Entry]:
        """The oldest entry of each lead, whether its time has come or not: the next that may be tried.

        A parked one holds up nobody: a later opt-out or status must not wait for an operator. `unpark_all` sees to it
        that nothing older then overwrites what went past it.
        """
        heads: dict[int, Entry] = {}
        for entry in self._open.values():
            if not entry.parked:
                heads.setdefault(entry.lead_id, entry)
        return list(heads.values())

    def pending(self) -> list[Entry]:
        """All that is owed, the oldest first; the parked ones too."""
        return list(self._open.values())

    def settle_of(self, call_id: str) -> Entry | None:
        """The last status that was owed for the call, delivered (in the last 30 days) or not. Raises StoreError."""
        call_id = _encodable(call_id)
        found = [entry for entry in self._open.values() if entry.kind is EntryKind.SETTLE and entry.call_id == call_id]
        if found:
            return found[-1]
        sql = "SELECT * FROM entries WHERE call_id = ? AND kind = ? ORDER BY id DESC LIMIT 1"
        with _explaining(self._path):
            row = self._db.execute(sql, (call_id, EntryKind.SETTLE.value)).fetchone()
        return _entry_of(row) if row is not None else None

    def kinds_of(self, call_id: str) -> frozenset[EntryKind]:
        """What was owed for the call in the last 30 days, delivered or not. Raises StoreError."""
        call_id = _encodable(call_id)
        kinds = {entry.kind for entry in self._open.values() if entry.call_id == call_id}
        with _explaining(self._path):
            rows = self._db.execute("SELECT DISTINCT kind FROM entries WHERE call_id = ?", (call_id,)).fetchall()
        return frozenset(kinds | {EntryKind(row["kind"]) for row in rows})

    def counts(self, now: float) -> OutboxCounts:
        waiting = [entry.created_at for entry in self._open.values() if not entry.parked]
        return OutboxCounts(
            open=len(self._open),
            parked=len(self._open) - len(waiting),
            oldest_s=max(0.0, now - min(waiting)) if waiting else 0.0,
            failing=self._failing,
            unwritten=len(self._unwritten),
            lost=self._lost,
        )

    # What becomes of it; an id that is no longer owed is passed over -------------------------------------------------

    def trying(self, id: int) -> bool:
        """A request is about to leave. False: it must not, for the disk does not take note of it.

        Without that note a crash would send it twice. An entry that the disk has as tried before needs none, and neither
        does one that it does not have at all.
        """
        entry = self._open.get(id)
        if entry is None:
            return False
        tried = msgspec.structs.replace(entry, attempts=entry.attempts + 1)
        if not self._keep(tried) and not entry.attempts and id not in self._new:
            self._unwritten[id] = entry
            return False
        self._open[id] = tried
        return True

    def done(self, id: int, what: Delivery, now: float, detail: str = "") -> None:
        """It is owed no more."""
        entry = self._open.pop(id, None)
        if entry is None:
            return
        closed = Closed(msgspec.structs.replace(entry, error=_short(detail), parked=False), what, now)
        if not self._keep(closed) and id in self._new:
            self._forget(id)  # delivered, and unknown to the disk: nothing that a crash could repeat
        self._prune(now)

    def later(self, id: int, not_before: float, error: str) -> None:
        """To be tried again then."""
        if (entry := self._open.get(id)) is not None:
            self._change(entry, not_before=not_before, error=_short(error))

    def park(self, id: int, error: str) -> None:
        """It cannot succeed as it is: it waits for an operator."""
        if (entry := self._open.get(id)) is not None:
            self._change(entry, parked=True, error=_short(error))

    def unpark_all(self, now: float) -> int:
        """Owe again, now, what was parked, less what later entries of the lead have written meanwhile. How many."""
        parked = [entry for entry in self._open.values() if entry.parked]
        for entry in parked:
            left = still_owed(entry, self._delivered_after(entry))
            if left is None:
                self.done(entry.id, Delivery.SUPERSEDED, now, "a later one was delivered while this was parked")
            else:
                self._change(left, parked=False, not_before=now)
        return len(parked)

    def hasten(self, now: float) -> None:
        """Make everything due that was tried before and waits for its next try."""
        waiting = [entry for entry in self._open.values() if entry.attempts and entry.not_before > now]
        hastened = [msgspec.structs.replace(entry, not_before=now) for entry in waiting]
        self._open.update((entry.id, entry) for entry in hastened)
        self._keep(*hastened)

    # The disk --------------------------------------------------------------------------------------------------------

    def flush(self) -> bool:
        """Write what the disk could not take before. False: it still does not."""
        if not self._unwritten:
            return True
        try:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany(_WRITE, map(_values_of, self._unwritten.values()))
            self._db.execute("COMMIT")
        except sqlite3.Error as e:
            if self._db.in_transaction:
                self._db.rollback()
            if not self._failing:
                log.error("outbox: %s: %s; what is owed waits in memory", self._path, e)
            self._failing = f"{self._path}: {e}"
            return False
        if self._failing:
            log.info("outbox: writing again, %d entries were lost", self._lost)
        self._failing = ""
        self._unwritten.clear()
        self._new.clear()
        return True

    def _keep(self, *rows: Entry | Closed) -> bool:
        for row in rows:
            self._unwritten[row.entry.id if isinstance(row, Closed) else row.id] = row
        return self.flush()

    def _change(self, entry: Entry, **changes: object) -> Entry:
        changed = msgspec.structs.replace(entry, **changes)
        self._open[entry.id] = changed
        self._keep(changed)
        return changed

    def _give_up(self, id: int) -> None:
        del self._open[id]
        self._forget(id)
        self._lost += 1

    def _forget(self, id: int) -> None:
        self._unwritten.pop(id, None)
        self._new.discard(id)

    def _delivered_after(self, entry: Entry) -> list[Entry]:
        sql = f"SELECT * FROM entries WHERE lead_id = ? AND kind = ? AND id > ? AND what IN ({_DELIVERED})"
        with _explaining(self._path):
            rows = self._db.execute(sql, (entry.lead_id, entry.kind.value, entry.id)).fetchall()
        unwritten = [
            row.entry
            for row in self._unwritten.values()
            if isinstance(row, Closed)
            and row.what is not Delivery.SUPERSEDED
            and (row.entry.lead_id, row.entry.kind) == (entry.lead_id, entry.kind)
            and row.entry.id > entry.id
        ]
        return [_entry_of(row) for row in rows] + unwritten

    def _prune(self, now: float) -> None:
        if self._pruned_at is not None and now - self._pruned_at < PRUNE_EVERY_S:
            return
        self._pruned_at = now
        # The newest stays, for ids are counted on from it.
        sql = "DELETE FROM entries WHERE what IS NOT NULL AND closed_at < ? AND id < (SELECT max(id) FROM entries)"
        with contextlib.suppress(sqlite3.Error):  # a disk that fails shows in `flush`; tomorrow is another day
            self._db.execute(sql, (now - KEEP_S,))


def still_owed(parked: Entry, later: Iterable[Entry]) -> Entry | None:
    """What of a parked entry is still to be written after `later` ones of its kind and lead were. None: nothing. Pure."""
    later = list(later)
    if not later:
        return parked
    match parked.kind:
        case EntryKind.SETTLE:
            of_its_call = any(entry.call_id == parked.call_id for entry in later)
            return None if of_its_call else msgspec.structs.replace(parked, transferred=True)
        case EntryKind.LEAD:
            written = {name for entry in later for name in entry.data}
            left = {name: value for name, value in parked.data.items() if name not in written}
            return msgspec.structs.replace(parked, data=left) if left else None
        case EntryKind.CALLBACK:
            return None
        case EntryKind.DNC:
            return parked


def read_outbox(path: Path) -> list[Entry]:
    """All that is owed, the oldest first, beside a running daemon or without one. Raises StoreError."""
    with _reading(path) as db:
        return [_entry_of(row) for row in db.execute("SELECT * FROM entries WHERE what IS NULL ORDER BY id")]


def read_closed(path: Path) -> list[Closed]:
    """What was closed in the last 30 days, the oldest first. Raises StoreError."""
    with _reading(path) as db:
        rows = db.execute("SELECT * FROM entries WHERE what IS NOT NULL ORDER BY closed_at, id").fetchall()
    return [Closed(_entry_of(row), Delivery(row["what"]), row["closed_at"]) for row in rows]


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(open_for_reading(path, OUTBOX)) as db, _explaining(path):
        yield db


@contextlib.contextmanager
def _explaining(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as e:
        raise StoreError(f"{path}: cannot be read: {e}", hint="is it damaged? sidetone run checks it") from None


def _entry_of(row: sqlite3.Row) -> Entry:
    return msgspec.convert({**{name: row[name] for name in _FIELDS}, "data": json.loads(row["data"])}, Entry, strict=False)


def _values_of(row: Entry | Closed) -> tuple[str | int | float | None, ...]:
    entry, what, at = (row.entry, row.what.value, row.at) if isinstance(row, Closed) else (row, None, None)
    values = {name: getattr(entry, name) for name in _FIELDS} | {"kind": entry.kind.value, "data": json.dumps(entry.data)}
    return (*values.values(), what, at)


def _encodable(text: str) -> str:
    """Half a surrogate pair, from a hostile header, would be refused by the database."""
    return text.encode(errors="replace").decode()


def _short(text: str) -> str:
    return _encodable(text)[:MAX_ERROR_CHARS]
