"""Reading the journal, beside a running daemon or without one."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from appliance.errors import StoreError
from appliance.store.database import MIGRATIONS, open_for_reading
from appliance.store.transcript import CallRecord, Turn


def recent_calls(database: Path, count: int) -> list[CallRecord]:
    """The last `count` calls, the newest first, without their turns. Raises StoreError."""
    with _reading(database) as connection:
        rows = connection.execute("SELECT * FROM calls ORDER BY id DESC LIMIT ?", (count,)).fetchall()
        return [record_of(row) for row in rows]


def calls_since(database: Path, since: datetime) -> list[CallRecord]:
    """The ended calls that began at `since` (with its time zone) or later, the oldest first, without their turns.

    Raises StoreError.
    """
    at = since.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    sql = "SELECT * FROM calls WHERE started_at >= ? AND outcome IS NOT NULL ORDER BY id"
    with _reading(database) as connection:
        return [record_of(row) for row in connection.execute(sql, (at,))]


def record_of(row: sqlite3.Row, turns: tuple[Turn, ...] = ()) -> CallRecord:
    """A row of `calls` as a record."""
    return CallRecord(
        id=row["id"],
        call=row["call"],
        started_at=row["started_at"],
        caller_name=row["caller_name"],
        caller_number=row["caller_number"],
        sip_call_id=row["sip_call_id"],
        outcome=row["outcome"],
        slots=json.loads(row["slots"]),
        duration_s=row["duration_s"],
        recording=row["recording"],
        transcript=row["transcript"],
        dialer_call_id=row["dialer_call_id"],
        lead_id=row["lead_id"],
        status=row["status"],
        transferred=bool(row["transferred"]),
        shadow=bool(row["shadow"]),
        turns=turns,
    )


def turns_of(connection: sqlite3.Connection, call_id: int) -> tuple[Turn, ...]:
    """The call's turns, in the order they happened."""
    sql = "SELECT who, text, start_s, end_s, gap_ms, cut FROM turns WHERE call_id = ? ORDER BY n"
    rows = map(tuple, connection.execute(sql, (call_id,)))
    return tuple(Turn(who, text, start_s, end_s, gap_ms, bool(cut)) for who, text, start_s, end_s, gap_ms, cut in rows)


@contextlib.contextmanager
def _reading(database: Path) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(open_for_reading(database)) as connection:
        try:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version < len(MIGRATIONS):
                hint = "start sidetone run once, it brings it up to date"
                raise StoreError(f"{database}: written by an older sidetone", hint=hint)
            yield connection
        except sqlite3.Error as e:
            raise StoreError(f"{database}: cannot be read: {e}", hint="is it damaged? sidetone run checks it") from None
