"""The one writer of the database: a thread that commits what is posted to it, in batches."""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

from appliance.store.database import explained, locked, open_database

log = logging.getLogger(__name__)

Value = str | int | float | None
Row = tuple[str, tuple[Value, ...]]
_Read = TypeVar("_Read")
# What SQLite or its binding says of a row that can never be written, in contrast to a disk that fails.
_BUGS = (
    sqlite3.IntegrityError,
    sqlite3.ProgrammingError,
    sqlite3.DataError,
    sqlite3.InterfaceError,
    OverflowError,
    UnicodeEncodeError,
)

MAX_QUEUED = 20_000  # rows: minutes of a busy box
MAX_BATCH = 500
BATCH_S = 0.05
RETRY_S = 1.0


class Journal:
    """Writes rows in the order they are posted. A power cut or `kill -9` loses what was posted in the last 100 ms.

    While the disk is full or fails, rows wait (MAX_QUEUED of them, later ones are counted in `lost`) and the oldest are
    tried again every RETRY_S. `failing` says why, None when all is well; `changed` is called, on the writer's thread,
    when that changes. `peak` is the longest the queue has been.
    """

    def __init__(self, path: Path, changed: Callable[[], object]) -> None:
        self._path = path
        self._changed = changed
        self._queue: Final[queue.Queue[Row | None]] = queue.Queue(MAX_QUEUED)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._connection: sqlite3.Connection | None = None
        self._opened = contextlib.ExitStack()
        self.failing: str | None = None
        self.lost = 0
        self.peak = 0

    def open(self, read: Callable[[sqlite3.Connection], _Read]) -> _Read:
        """Open the database and return what `read` finds in it. Raises StoreError, also when another process has it."""
        with contextlib.ExitStack() as opened:
            connection = open_database(self._path)
            opened.callback(connection.close)
            opened.callback(os.close, locked(self._path))
            try:
                found = read(connection)
            except sqlite3.Error as e:
                raise explained(self._path, e) from None
            self._connection = connection
            self._opened = opened.pop_all()
        return found

    def start(self) -> None:
        """From now on the connection belongs to the writer."""
        self._thread.start()

    def post(self, sql: str, values: tuple[Value, ...]) -> None:
        """Queue one statement. Never waits; any thread."""
        try:
            self._queue.put_nowait((sql, values))
        except queue.Full:
            self.lost += 1
        self.peak = max(self.peak, self._queue.qsize())

    def stop(self, limit_s: float) -> bool:
        """Write what is queued, within `limit_s`. False when that was not possible; the rest is counted in `lost`."""
        self._stopping.set()
        try:
            self._queue.put(None, timeout=limit_s)
        except queue.Full:
            return False
        self._thread.join(limit_s)
        return not self._thread.is_alive() and self.failing is None

    def _run(self) -> None:
        connection = self._connection
        assert connection is not None
        more = True
        while more:
            batch, more = self._gather()
            while batch and not self._write(connection, batch):
                if self._stopping.wait(RETRY_S):
                    if not self._write(connection, batch):
                        self.lost += len(batch)
                    break
        self._opened.close()

    def _gather(self) -> tuple[list[Row], bool]:
        """The next rows, waiting for the first; False with the last ones."""
        batch: list[Row] = []
        row = self._queue.get()
        until = time.monotonic() + BATCH_S
        while row is not None:
            batch.append(row)
            wait_s = until - time.monotonic()
            if len(batch) == MAX_BATCH or wait_s <= 0:
                return batch, True
            try:
                row = self._queue.get(timeout=wait_s)
            except queue.Empty:
                return batch, True
        return batch, False

    def _write(self, connection: sqlite3.Connection, batch: list[Row]) -> bool:
        try:
            connection.execute("BEGIN IMMEDIATE")
            batch[:] = [row for row in batch if self._execute(connection, row)]
            connection.execute("COMMIT")
        except sqlite3.Error as e:
            if connection.in_transaction:
                connection.rollback()
            self._report(f"{self._path}: {e}")
            return False
        self._report(None)
        return True

    def _execute(self, connection: sqlite3.Connection, row: Row) -> bool:
        try:
            connection.execute(*row)
        except _BUGS:
            # Trying again would not help, and every later row would wait behind this one.
            log.exception("journal: a row is left out")
            self.lost += 1
            return False
        return True

    def _report(self, failing: str | None) -> None:
        if (failing is None) == (self.failing is None):
            return
        self.failing = failing
        if failing is None:
            log.info("journal: writing again, %d rows were lost", self.lost)
        else:
            log.error("journal: %s; calls go on, rows wait in memory", failing)
        self._changed()
