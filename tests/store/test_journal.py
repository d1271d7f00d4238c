from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from appliance.errors import StoreError
from appliance.store import journal as journal_module
from appliance.store.database import open_for_reading
from appliance.store.journal import Journal
from tests.store.conftest import fill

INSERT = "INSERT INTO journal (at, kind, data) VALUES ('now', ?, '{}')"


def nothing(_: sqlite3.Connection) -> None:
    return


def kinds(path: Path) -> list[str]:
    with closing(open_for_reading(path)) as connection:
        return [row["kind"] for row in connection.execute("SELECT kind FROM journal ORDER BY id")]


@contextmanager
def running(path: Path, changed: threading.Event | None = None) -> Iterator[Journal]:
    journal = Journal(path, (changed or threading.Event()).set)
    journal.open(nothing)
    journal.start()
    try:
        yield journal
    finally:
        journal.stop(5)


def test_rows_are_written_in_order(tmp_path: Path) -> None:
    with running(tmp_path / "sidetone.db") as journal:
        for n in range(2000):
            journal.post(INSERT, (str(n),))
        assert journal.stop(5)
    assert kinds(tmp_path / "sidetone.db") == [str(n) for n in range(2000)]


def test_a_row_can_be_read_within_100_ms(tmp_path: Path) -> None:
    path = tmp_path / "sidetone.db"
    with running(path) as journal, closing(open_for_reading(path)) as reader:
        posted_at = time.monotonic()
        journal.post(INSERT, ("one",))
        while not reader.execute("SELECT count(*) FROM journal").fetchone()[0]:
            assert time.monotonic() - posted_at < 1.0
        took_s = time.monotonic() - posted_at
    assert took_s < 0.3  # 0.1 on a machine that does nothing else


def test_what_does_not_fit_in_the_queue_is_counted_and_the_poster_never_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "MAX_QUEUED", 3)
    journal = Journal(tmp_path / "sidetone.db", lambda: None)
    journal.open(nothing)
    for n in range(5):
        journal.post(INSERT, (str(n),))
    assert (journal.lost, journal.peak) == (2, 3)
    journal.start()
    assert journal.stop(5)
    assert kinds(tmp_path / "sidetone.db") == ["0", "1", "2"]


def test_a_row_that_can_never_be_written_does_not_hold_up_the_others(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with running(tmp_path / "sidetone.db") as journal:
        for kind in ("before", None, 2**70, "after"):
            journal.post(INSERT, (kind,))
        assert journal.stop(5)
        assert journal.lost == 2
    assert kinds(tmp_path / "sidetone.db") == ["before", "after"]
    assert len(caplog.records) == 2


def test_a_full_disk_is_reported_once_and_rows_wait_for_room(
    small_disk: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(journal_module, "RETRY_S", 0.02)
    caplog.set_level(logging.INFO)
    changed = threading.Event()
    path = small_disk / "sidetone.db"
    with running(path, changed) as journal:
        filler = fill(small_disk)
        for n in range(200):
            journal.post(INSERT, (f"{n} {'x' * 1000}",))
        assert changed.wait(5)
        assert "full" in (journal.failing or "")
        changed.clear()
        journal.post(INSERT, ("late",))
        filler.unlink()
        assert changed.wait(5)
        assert journal.stop(5)
    assert journal.failing is None
    written = kinds(path)
    assert len(written) == 201
    assert written[-1] == "late"
    assert journal.lost == 0
    assert [r.levelname for r in caplog.records] == ["ERROR", "INFO"]


def test_stopping_on_a_full_disk_ends_and_counts_what_is_lost(small_disk: Path) -> None:
    changed = threading.Event()
    with running(small_disk / "sidetone.db", changed) as journal:
        fill(small_disk)
        for n in range(200):
            journal.post(INSERT, (f"{n} {'x' * 1000}",))
        assert changed.wait(5)
        assert not journal.stop(5)
        assert journal.lost == 200


def test_a_second_process_on_the_same_journal_is_refused_until_the_first_ends(tmp_path: Path) -> None:
    path = tmp_path / "sidetone.db"
    with running(path), pytest.raises(StoreError, match="another sidetone keeps its journal here"):
        Journal(path, lambda: None).open(nothing)
    with running(path):
        pass


def test_a_database_that_cannot_be_read_is_a_store_error_and_gives_the_lock_back(tmp_path: Path) -> None:
    def bad(connection: sqlite3.Connection) -> None:
        connection.execute("SELECT * FROM nowhere")

    path = tmp_path / "sidetone.db"
    with pytest.raises(StoreError, match="no such table"):
        Journal(path, lambda: None).open(bad)
    with running(path):
        pass
