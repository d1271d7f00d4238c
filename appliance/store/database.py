"""The SQLite files: schema and migrations, how they are opened, one writer each."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from pathlib import Path
from typing import NamedTuple

from appliance.config.settings import Paths
from appliance.errors import StoreError

QUICK_CHECK_BYTES = 64 * 1024 * 1024  # larger ones would hold up the start for seconds


class Schema(NamedTuple):
    """What one file holds. `migrations`: one script per schema version, PRAGMA user_version counts those that ran.

    Never change one that was released. `name` is the operator's word for the file; `aside` is what to know before a
    damaged one is moved away.
    """

    name: str
    migrations: tuple[str, ...]
    aside: str


MIGRATIONS = (
    """
    CREATE TABLE calls (
        id INTEGER PRIMARY KEY,
        call TEXT NOT NULL,             -- the switchboard's id, unique within one run only
        started_at TEXT NOT NULL,       -- UTC, ISO 8601
        caller_name TEXT NOT NULL,
        caller_number TEXT NOT NULL,
        sip_call_id TEXT NOT NULL,
        outcome TEXT,                   -- NULL while the call is up
        slots TEXT NOT NULL DEFAULT '{}',
        duration_s REAL,
        recording TEXT,
        transcript TEXT,
        filed INTEGER NOT NULL DEFAULT 0 -- 1 when recording and transcript are complete
    ) STRICT;
    CREATE INDEX calls_unfiled ON calls (id) WHERE filed = 0;
    CREATE TABLE turns (
        call_id INTEGER NOT NULL,
        n INTEGER NOT NULL,
        who TEXT NOT NULL,
        text TEXT NOT NULL,
        start_s REAL NOT NULL,
        end_s REAL NOT NULL,
        gap_ms REAL,
        cut INTEGER NOT NULL,
        PRIMARY KEY (call_id, n)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE journal (
        id INTEGER PRIMARY KEY,
        at TEXT NOT NULL,
        call_id INTEGER,
        kind TEXT NOT NULL,
        data TEXT NOT NULL
    ) STRICT;
    CREATE INDEX journal_by_call ON journal (call_id) WHERE call_id IS NOT NULL;
    """,
    """
    ALTER TABLE calls ADD COLUMN dialer_call_id TEXT;   -- the dialer's own id; NULL where it was never known
    ALTER TABLE calls ADD COLUMN lead_id INTEGER;
    ALTER TABLE calls ADD COLUMN status TEXT;           -- what the dialer was to have for the outcome
    ALTER TABLE calls ADD COLUMN transferred INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE calls ADD COLUMN shadow INTEGER NOT NULL DEFAULT 0; -- 1: listened only, nothing was written
    CREATE INDEX calls_by_start ON calls (started_at);
    """,
)
JOURNAL = Schema("journal", MIGRATIONS, "recordings are separate files and stay")


def database_path(paths: Paths) -> Path:
    return paths.state / "sidetone.db"


def open_database(path: Path, schema: Schema = JOURNAL) -> sqlite3.Connection:
    """Open for writing, create and migrate as needed. Usable by one thread at a time. Raises StoreError."""
    try:
        path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        path.touch(mode=0o600)
    except OSError as e:
        hint = f"make the folder {path.parent} writable for this user, or change paths.state"
        raise StoreError(f"{path}: cannot be written: {e.strerror}", hint=hint) from None
    try:
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5.0)
    except sqlite3.Error as e:
        raise explained(path, e, schema) from None
    try:
        _prepare(connection, path, schema.migrations)
    except sqlite3.Error as e:
        connection.close()
        raise explained(path, e, schema) from None
    except StoreError:
        connection.close()
        raise
    connection.row_factory = sqlite3.Row
    return connection


def open_for_reading(path: Path, schema: Schema = JOURNAL) -> sqlite3.Connection:
    """Open beside a running daemon. Raises StoreError when there is no such file yet."""
    if not path.exists():
        raise StoreError(f"{path}: there is no {schema.name} yet", hint="sidetone run writes it; is paths.state right?")
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=5.0)
    except sqlite3.Error as e:
        raise explained(path, e, schema) from None
    connection.row_factory = sqlite3.Row
    return connection


def locked(path: Path, schema: Schema = JOURNAL) -> int:
    """A lock on the file `path` that dies with this process: two writers would both count on being the only one.

    Returns the file descriptor that holds it. Raises StoreError when another process has it.
    """
    lock = path.with_suffix(".lock")
    try:
        fd = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as e:
        raise StoreError(f"{lock}: cannot be opened: {e.strerror}", hint="may this user write paths.state?") from None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
        hint = "stop it first, or give this one its own paths.state"
        raise StoreError(f"{path.parent}: another sidetone keeps its {schema.name} here", hint=hint) from None
    return fd


def _prepare(connection: sqlite3.Connection, path: Path, migrations: tuple[str, ...]) -> None:
    # WAL: a reader never holds up the writer. FULL: what is committed survives a power cut.
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > len(migrations):
        raise StoreError(
            f"{path}: written by a newer sidetone (schema {version}, this one knows {len(migrations)})",
            hint="install the newer version again, or move the file away to start with an empty one",
        )
    for number, script in enumerate(migrations[version:], start=version + 1):
        connection.executescript(f"BEGIN IMMEDIATE; {script}; PRAGMA user_version = {number}; COMMIT;")
    if path.stat().st_size <= QUICK_CHECK_BYTES:
        (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise sqlite3.DatabaseError(verdict)


def explained(path: Path, error: sqlite3.Error, schema: Schema = JOURNAL) -> StoreError:
    """What an operator can do about an error of SQLite's."""
    text = str(error)
    if "full" in text:
        return StoreError(f"{path}: {text}", hint="make room on the disk that holds paths.state")
    if "locked" in text or "readonly" in text or "unable to open" in text:
        return StoreError(f"{path}: {text}", hint="is another program using it, may this user write it and its folder?")
    hint = f"the file is damaged; keep it aside and start with an empty one: mv {path} {path}.damaged"
    return StoreError(f"{path}: {text}", hint=f"{hint} ({schema.aside})")
