from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from appliance.errors import StoreError
from appliance.store.database import MIGRATIONS, open_database, open_for_reading


def test_a_new_database_has_the_newest_schema_and_is_private(tmp_path: Path) -> None:
    path = tmp_path / "state" / "sidetone.db"
    connection = open_database(path)
    assert tuple(connection.execute("PRAGMA user_version").fetchone()) == (len(MIGRATIONS),)
    assert tuple(connection.execute("PRAGMA journal_mode").fetchone()) == ("wal",)
    connection.close()
    assert path.stat().st_mode & 0o777 == 0o600


def test_opening_again_keeps_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "sidetone.db"
    first = open_database(path)
    first.execute("INSERT INTO journal (at, kind, data) VALUES ('now', 'k', '{}')")
    first.close()
    second = open_database(path)
    assert second.execute("SELECT kind FROM journal").fetchone()["kind"] == "k"
    second.close()


def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "sidetone.db"
    connection = open_database(path)
    connection.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    connection.close()
    with pytest.raises(StoreError, match="written by a newer sidetone"):
        open_database(path)


@pytest.mark.parametrize("offset", [0, 4096, 3 * 4096])
def test_a_damaged_file_is_an_error_that_says_what_to_do(tmp_path: Path, offset: int) -> None:
    path = tmp_path / "sidetone.db"
    connection = open_database(path)
    connection.executemany("INSERT INTO journal (at, kind, data) VALUES ('now', 'k', ?)", [("x" * 500,)] * 100)
    connection.close()
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(b"\xa5" * 3000)
    with pytest.raises(StoreError, match=r"sidetone\.db") as caught:
        open_database(path)
    assert f"mv {path} {path}.damaged" in caught.value.hint


def test_a_folder_that_cannot_be_made_is_an_error_with_a_hint(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be written") as caught:
        open_database(tmp_path / "file" / "sidetone.db")
    assert "paths.state" in caught.value.hint


def test_a_folder_in_its_place_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "sidetone.db").mkdir()
    with pytest.raises(StoreError, match="unable to open"):
        open_database(tmp_path / "sidetone.db")


def test_reading_what_is_not_there_is_an_error_and_makes_nothing(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no journal yet"):
        open_for_reading(tmp_path / "sidetone.db")
    assert not list(tmp_path.iterdir())


def test_a_reader_cannot_write(tmp_path: Path) -> None:
    open_database(tmp_path / "sidetone.db").close()
    reader = open_for_reading(tmp_path / "sidetone.db")
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader.execute("DELETE FROM calls")
    reader.close()
