from __future__ import annotations

import sqlite3
from pathlib import Path

from tests.lab.dialer.site import texts_in

SECRET = "Sesame-84-open"


def test_everything_that_was_written_is_read_but_audio_and_the_settings(tmp_path: Path) -> None:
    settings = tmp_path / "sidetone.toml"
    for path in (settings, tmp_path / "recordings" / "call.wav", tmp_path / "appliance.log"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"\xe4 password: {SECRET}")
    database = sqlite3.connect(tmp_path / "outbox.db")
    database.execute("create table entries (data text)")
    database.execute("insert into entries values (?)", (SECRET,))
    database.commit()
    database.close()
    found = texts_in(tmp_path, settings)
    assert sorted(found) == ["appliance.log", "outbox.db"]
    assert all(SECRET in text for text in found.values())
