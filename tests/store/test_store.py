from __future__ import annotations

import array
import json
import signal
import sqlite3
import subprocess
import sys
import threading
import wave
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import soundfile

from appliance.calls.effects import Concluded, Note, Speaker, TurnTaken
from appliance.calls.events import Incoming
from appliance.config.settings import Paths
from appliance.errors import StoreError
from appliance.store import journal as journal_module
from appliance.store import recordings as recordings_module
from appliance.store.database import database_path, open_for_reading
from appliance.store.history import recent_calls
from appliance.store.recordings import Filed
from appliance.store.store import Store
from tests.store.conftest import fill, until

AT = datetime(2026, 1, 2, 5, 4, 6, tzinfo=timezone(timedelta(hours=2)))
INCOMING = Incoming("c1", "V1234567890000000042", "4155550123", "abc@10.0.0.1")
LOUD = array.array("h", [1000] * 160).tobytes()
SOFT = array.array("h", [-7] * 160).tobytes()


def paths(folder: Path, recordings: Path | None = None) -> Paths:
    return Paths(state=folder / "state", runtime=folder / "run", recordings=recordings or folder / "recordings")


@contextmanager
def running(where: Paths, **options: Any) -> Iterator[Store]:
    store = Store(where, **options)
    store.start()
    try:
        yield store
    finally:
        store.stop()


def talk(store: Store, call: str = "c1", seconds: float = 2.5) -> None:
    for _ in range(round(seconds * 50)):
        store.audio(call, LOUD, SOFT)


def audio_bytes(folder: Path) -> int:
    return sum(path.stat().st_size - 44 for path in folder.rglob("*.wav"))


def conclude(store: Store, call: str = "c1", outcome: str = "completed") -> Filed:
    return store.concluded(Concluded(call, outcome, {"owner": "yes"}, 2.5)).result(5)


def journal_of(where: Paths) -> list[tuple[int | None, str, dict[str, object]]]:
    with closing(open_for_reading(database_path(where))) as connection:
        rows = connection.execute("SELECT call_id, kind, data FROM journal ORDER BY id")
        return [(row["call_id"], row["kind"], json.loads(row["data"])) for row in rows]


def test_a_call_leaves_a_row_a_recording_and_a_transcript(tmp_path: Path) -> None:
    where = paths(tmp_path)
    with running(where) as store:
        store.call_started(INCOMING, AT)
        talk(store)
        store.turn(TurnTaken("c1", Speaker.AGENT, "Hello.", 0.0, 0.8))
        store.turn(TurnTaken("c1", Speaker.CALLER, "yes", 1.0, 1.2))
        store.note(Note("c1", "intent", {"intent": None, "score": 0.5}))
        store.event("registered", {"registrar": "10.0.0.1"})
        filed = conclude(store)
        assert store.health.healthy
    assert filed.recording == where.recordings / "2026/01/02/030406-1-c1.flac"
    assert filed.transcript == where.recordings / "2026/01/02/030406-1-c1.txt"
    samples, rate_hz = soundfile.read(filed.recording, dtype="int16")
    assert (rate_hz, samples.shape) == (8000, (20000, 2))
    assert (samples[:, 0] == 1000).all()
    assert (samples[:, 1] == -7).all()
    assert "00:01.0  Caller  yes" in filed.transcript.read_text()

    [record] = recent_calls(database_path(where), 10)
    turns = json.loads(filed.transcript.with_suffix(".json").read_text())["turns"]
    assert [(turn["who"], turn["text"]) for turn in turns] == [("agent", "Hello."), ("caller", "yes")]
    assert (record.outcome, record.slots, record.duration_s) == ("completed", {"owner": "yes"}, 2.5)
    assert (record.started_at, record.sip_call_id) == ("2026-01-02T03:04:06.000Z", "abc@10.0.0.1")
    assert (record.recording, record.transcript) == (str(filed.recording), str(filed.transcript))
    assert journal_of(where) == [
        (1, "intent", {"intent": None, "score": 0.5}),
        (None, "registered", {"registrar": "10.0.0.1"}),
    ]


def test_nobody_else_can_read_recordings_and_transcripts(tmp_path: Path) -> None:
    where = paths(tmp_path)
    with running(where) as store:
        store.call_started(INCOMING, AT)
        talk(store)
        conclude(store)
    files = [p for p in where.recordings.rglob("*") if p.is_file()]
    assert sorted(p.suffix for p in files) == [".flac", ".json", ".txt"]
    assert {p.stat().st_mode & 0o777 for p in files} == {0o600}
    assert where.recordings.stat().st_mode & 0o777 == 0o700


def test_without_recording_there_is_still_a_transcript(tmp_path: Path) -> None:
    with running(paths(tmp_path), recording=False) as store:
        store.call_started(INCOMING, AT)
        talk(store)
        filed = conclude(store)
    assert filed.recording is None
    assert filed.transcript is not None
    assert filed.transcript.exists()


def test_a_call_without_audio_has_no_recording(tmp_path: Path) -> None:
    with running(paths(tmp_path)) as store:
        store.call_started(INCOMING, AT)
        assert conclude(store).recording is None


def test_ids_go_on_over_restarts_and_the_newest_call_comes_first(tmp_path: Path) -> None:
    where = paths(tmp_path)
    for _ in range(2):
        with running(where) as store:
            store.call_started(INCOMING, AT)
            conclude(store)
    assert [r.id for r in recent_calls(database_path(where), 10)] == [2, 1]
    assert [r.id for r in recent_calls(database_path(where), 1)] == [2]


def test_what_comes_late_or_for_an_unknown_call_is_ignored(tmp_path: Path) -> None:
    where = paths(tmp_path)
    with running(where) as store:
        store.audio("c9", LOUD, SOFT)
        store.turn(TurnTaken("c9", Speaker.AGENT, "Hello.", 0.0, 0.8))
        store.note(Note("c9", "x", {}))
        assert conclude(store, "c9") == Filed(None, None)
    assert recent_calls(database_path(where), 10) == []
    assert journal_of(where) == []


def test_a_name_that_is_no_text_does_no_harm(tmp_path: Path) -> None:
    where = paths(tmp_path)
    with running(where) as store:
        store.call_started(Incoming("../../c1", "\udcff\x00\u202e", "'; DROP TABLE calls;--", "\ud800"), AT)
        store.turn(TurnTaken("../../c1", Speaker.CALLER, "\udcff", 0.0, 0.8))
        talk(store, "../../c1")
        filed = conclude(store, "../../c1")
        assert store.health.healthy
    assert filed.recording == where.recordings / "2026/01/02/030406-1-______c1.flac"
    [record] = recent_calls(database_path(where), 10)
    assert record.caller_name == "?\x00\u202e"


def test_fifty_calls_at_once(tmp_path: Path) -> None:
    with running(paths(tmp_path)) as store:
        calls = [f"c{n}" for n in range(50)]
        for call in calls:
            store.call_started(Incoming(call, "", "", ""), AT)
        for _ in range(100):
            for call in calls:
                store.audio(call, LOUD, SOFT)
        for filed in [store.concluded(Concluded(call, "completed", {}, 2.0)) for call in calls]:
            recording = filed.result(10).recording
            assert recording is not None
            assert soundfile.info(recording).frames == 16000
        assert store.health.lost_audio_s == 0


KILLED = """
import sys, time
from datetime import UTC, datetime
from contextlib import closing
from pathlib import Path
from appliance.calls.effects import Speaker, TurnTaken
from appliance.store.database import database_path, open_for_reading
from tests.store.test_store import INCOMING, paths, talk
from appliance.store.store import Store
where = paths(Path(sys.argv[1]))
store = Store(where)
store.start()
store.call_started(INCOMING, datetime(2026, 1, 2, tzinfo=UTC))
store.turn(TurnTaken("c1", Speaker.AGENT, "Hello.", 0.0, 0.8))
talk(store, seconds=4.5)
wav = where.recordings / "2026/01/02/000000-1-c1.wav"
with closing(open_for_reading(database_path(where))) as reader:
    while not (reader.execute("SELECT 1 FROM turns").fetchone() and wav.exists() and wav.stat().st_size > 4 * 32000):
        time.sleep(0.005)
print("ready", flush=True)
time.sleep(60)
"""


def test_kill_9_loses_at_most_the_last_second_and_the_next_start_closes_the_call(tmp_path: Path) -> None:
    where = paths(tmp_path)
    with subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path)], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        child.send_signal(signal.SIGKILL)
    raw = where.recordings / "2026/01/02/000000-1-c1.wav"
    with wave.open(str(raw)) as file:  # as any player would find it
        assert file.getnframes() == 4 * 8000

    with running(where) as store:
        assert store.recovered == 1
    [record] = recent_calls(database_path(where), 10)
    assert (record.outcome, record.duration_s) == ("technical", 4.0)
    assert record.recording == str(raw.with_suffix(".flac"))
    assert soundfile.info(record.recording).frames == 4 * 8000
    assert record.transcript is not None
    assert "Hello." in Path(record.transcript).read_text()
    assert journal_of(where) == [(1, "closed_after_crash", {"duration_s": 4.0})]
    with running(where) as store:
        assert store.recovered == 0


def test_a_full_disk_stops_the_recording_and_not_the_call(small_disk: Path, tmp_path: Path) -> None:
    changed = threading.Event()
    where = paths(tmp_path, small_disk)
    with running(where, changed=changed.set) as store:
        store.call_started(INCOMING, AT)
        talk(store)
        until(lambda: audio_bytes(small_disk) > 0)
        filler = fill(small_disk)
        talk(store, seconds=10)
        assert changed.wait(5)
        health = store.health
        assert not health.healthy
        assert "No space left on device" in health.detail
        store.turn(TurnTaken("c1", Speaker.AGENT, "Goodbye.", 12.0, 12.5))
        changed.clear()
        filler.unlink()
        filed = conclude(store)
        assert changed.wait(5)
        assert store.health.healthy
        assert store.health.lost_audio_s > 0
    # The recording holds what came before, the transcript everything.
    assert filed.recording is not None
    assert 0 < soundfile.info(filed.recording).frames < 12.5 * 8000
    assert filed.transcript is not None
    assert "Goodbye." in filed.transcript.read_text()
    [(_, kind, data)] = journal_of(where)
    assert (kind, data["why"]) == ("recording_stopped", "No space left on device")


def test_files_that_found_no_room_are_completed_by_the_next_start(small_disk: Path, tmp_path: Path) -> None:
    where = paths(tmp_path, small_disk)
    with running(where) as store:
        store.call_started(INCOMING, AT)
        talk(store, seconds=1)
        store.turn(TurnTaken("c1", Speaker.AGENT, "Hello.", 0.0, 0.8))
        until(lambda: audio_bytes(small_disk) > 0)
        filler = fill(small_disk)
        filed = conclude(store)
        assert filed.transcript is None
    filler.unlink()
    with running(where) as store:
        assert store.recovered == 0
    [record] = recent_calls(database_path(where), 1)
    assert record.outcome == "completed"
    assert record.recording is not None
    assert record.recording.endswith(".flac")
    assert record.transcript is not None
    assert "Hello." in Path(record.transcript).read_text()


def test_full_queues_are_counted_and_nothing_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recordings_module, "MAX_QUEUED", 1)
    monkeypatch.setattr(journal_module, "MAX_QUEUED", 2)
    where = paths(tmp_path)
    store = Store(where)
    store._journal.open(lambda connection: None)  # not started: as if the disk hung
    store.call_started(INCOMING, AT)
    talk(store, seconds=3)
    assert store.concluded(Concluded("c1", "completed", {}, 3.0)).result(0) == Filed(None, None)
    store.event("x", {})
    assert store.health.lost_audio_s == 2
    assert store.health.lost_rows == 1
    store._journal.start()
    assert store._journal.stop(5)


def test_a_gap_in_the_audio_is_silence_and_what_follows_stays_in_step(tmp_path: Path) -> None:
    recordings = recordings_module.Recordings(lambda: None, lambda *_: None)
    recordings.start()
    recordings.post_audio(1, tmp_path / "a", 0, LOUD, SOFT)
    recordings.post_audio(1, tmp_path / "a", 320, LOUD, SOFT)
    assert recordings.stop(5)
    samples, _ = soundfile.read(tmp_path / "a.wav", dtype="int16")
    assert samples[:, 0].tolist() == [1000] * 160 + [0] * 160 + [1000] * 160


def test_a_bug_in_one_call_does_not_end_the_recording_of_others(tmp_path: Path) -> None:
    def stopped(call_id: int, at_s: float, why: str) -> None:
        raise AssertionError("a bug")

    recordings = recordings_module.Recordings(lambda: None, stopped)
    recordings.start()
    (tmp_path / "bad.wav").mkdir()
    recordings.post_audio(1, tmp_path / "bad", 0, LOUD, SOFT)
    recordings.post_audio(2, tmp_path / "good", 0, LOUD, SOFT)
    assert recordings.stop(5)
    assert soundfile.info(tmp_path / "good.wav").frames == 160


@pytest.mark.parametrize("key", ["recordings", "state"])
def test_a_folder_that_cannot_be_written_is_an_error_with_a_hint(tmp_path: Path, key: str) -> None:
    (tmp_path / "file").write_text("")
    where = paths(tmp_path).model_copy(update={key: tmp_path / "file" / "below"})
    with pytest.raises(StoreError) as caught:
        Store(where).start()
    assert f"paths.{key}" in caught.value.hint


def test_a_full_disk_at_the_start_is_an_error_with_a_hint(small_disk: Path) -> None:
    fill(small_disk)
    with pytest.raises(StoreError) as caught:
        Store(paths(small_disk)).start()
    assert caught.value.hint


def test_a_call_knows_whose_it_is_at_the_dialer_and_what_the_dialer_was_told(tmp_path: Path) -> None:
    where = paths(tmp_path)
    with running(where) as store:
        store.call_started(INCOMING, AT)
        store.correlated("c1", "V1234567890000000041", 41)
        store.correlated("c1", INCOMING.caller_name, 42)
        store.disposed("c1", "XFER")
        store.concluded(Concluded("c1", "completed", {}, 2.5, transferred=True)).result(5)
        store.correlated("c1", "V9999999990000000099", 99)
        store.disposed("c1", "DROP")
    (record,) = recent_calls(database_path(where), 1)
    assert (record.dialer_call_id, record.lead_id, record.status) == (INCOMING.caller_name, 42, "XFER")
    assert (record.transferred, record.shadow) == (True, False)
    assert record.transcript is not None
    transcript = json.loads(Path(record.transcript).with_suffix(".json").read_text())
    assert (transcript["lead_id"], transcript["transferred"]) == (42, True)


def test_calls_of_shadow_mode_are_marked(tmp_path: Path) -> None:
    where = paths(tmp_path)
    for shadow in (True, False):
        with running(where, shadow=shadow) as store:
            store.call_started(INCOMING, AT)
            conclude(store)
    assert [record.shadow for record in recent_calls(database_path(where), 2)] == [False, True]
    assert recent_calls(database_path(where), 1)[0].dialer_call_id is None


def test_a_journal_of_an_older_version_is_no_bug_to_read(tmp_path: Path) -> None:
    where = paths(tmp_path)
    with running(where) as store:
        store.call_started(INCOMING, AT)
    with closing(sqlite3.connect(database_path(where))) as connection:
        connection.execute("PRAGMA user_version = 1")
    with pytest.raises(StoreError, match="older sidetone") as caught:
        recent_calls(database_path(where), 1)
    assert "sidetone run" in caught.value.hint
