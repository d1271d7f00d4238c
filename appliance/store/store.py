"""The store as the daemon sees it: tell it what happened, it never waits, and it says when it cannot keep up."""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from appliance.audio.formats import RATE_HZ
from appliance.calls.effects import Concluded, Note, TurnTaken
from appliance.calls.events import Incoming
from appliance.config.settings import Paths
from appliance.store import wav
from appliance.store.database import database_path
from appliance.store.history import record_of, turns_of
from appliance.store.journal import Journal
from appliance.store.recordings import Filed, Recordings, prepare_folder
from appliance.store.transcript import CallRecord, Turn

log = logging.getLogger(__name__)

BLOCK_BYTES = 2 * RATE_HZ  # one second of one side
CRASH_OUTCOME = "technical"


class Health(msgspec.Struct, frozen=True):
    """`detail` says what fails, "" when healthy. `lost_*` count, since the start, what could not be kept."""

    healthy: bool
    detail: str
    lost_rows: int
    lost_audio_s: float


class _Call:
    """A call that is up."""

    def __init__(self, record: CallRecord, stem: Path) -> None:
        self.record = record
        self.stem = stem
        self.turns: list[Turn] = []
        self.caller = bytearray()
        self.agent = bytearray()
        self.posted_samples = 0


class Store:
    """Calls, turns and notes into the database; audio and transcripts into files below `paths.recordings`.

    All methods are for one thread, and none but `start` and `stop` touches a disk. `changed` is called, on a thread of
    the store, when `health` turned good or bad. `recovered` counts the calls that an earlier run left open; they are
    closed with CRASH_OUTCOME and their files completed; `recovered_names` has the dialer's ids of them, or the callers'
    names. `shadow`: the calls of this run are only listened to.
    """

    def __init__(
        self, paths: Paths, *, recording: bool = True, shadow: bool = False, changed: Callable[[], object] = lambda: None
    ) -> None:
        self._folder = paths.recordings
        self._recording = recording
        self._shadow = shadow
        self._journal = Journal(database_path(paths), changed)
        self._recordings = Recordings(changed, self._recording_stopped)
        self._calls: dict[str, _Call] = {}
        self._next_id = 1
        self.recovered = 0
        self.recovered_names: list[str] = []

    def start(self) -> None:
        """Open everything and finish what an earlier run left. Raises StoreError."""
        prepare_folder(self._folder)
        self._next_id, left = self._journal.open(_unfinished)
        self._journal.start()
        self._recordings.start()
        for record in left:
            self._recover(record)

    @property
    def health(self) -> Health:
        failing = [f for f in (self._journal.failing, self._recordings.failing) if f is not None]
        return Health(not failing, "; ".join(failing), self._journal.lost, self._recordings.lost_s)

    def call_started(self, event: Incoming, started_at: datetime) -> None:
        """A call came in, at `started_at` (with its time zone)."""
        at = started_at.astimezone(UTC)
        name, number, sip_call_id = map(_clean, (event.caller_name, event.caller_number, event.sip_call_id))
        stem = self._stem(at, self._next_id, event.call)
        recording = str(stem.with_suffix(".wav")) if self._recording else None
        record = CallRecord(
            self._next_id, event.call, _iso(at), name, number, sip_call_id, recording=recording, shadow=self._shadow
        )
        self._next_id += 1
        self._calls[event.call] = _Call(record, stem)
        self._journal.post(
            "INSERT INTO calls (id, call, started_at, caller_name, caller_number, sip_call_id, recording, shadow)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (record.id, record.call, record.started_at, name, number, sip_call_id, recording, int(self._shadow)),
        )

    def correlated(self, call: str, dialer_call_id: str, lead_id: int) -> None:
        """Whose call it is, by the dialer's own ids. The last word counts. Nothing for a call that is over."""
        up = self._calls.get(call)
        if up is None:
            return
        dialer_call_id = _clean(dialer_call_id)
        up.record = msgspec.structs.replace(up.record, dialer_call_id=dialer_call_id, lead_id=lead_id)
        sql = "UPDATE calls SET dialer_call_id = ?, lead_id = ? WHERE id = ?"
        self._journal.post(sql, (dialer_call_id, lead_id, up.record.id))

    def disposed(self, call: str, status: str) -> None:
        """The status that the dialer is to have for it, in shadow mode the one that it would have got. Before `concluded`."""
        up = self._calls.get(call)
        if up is not None:
            up.record = msgspec.structs.replace(up.record, status=status)
            self._journal.post("UPDATE calls SET status = ? WHERE id = ?", (status, up.record.id))

    def audio(self, call: str, caller: bytes, agent: bytes) -> None:
        """The next piece of both sides, 8 kHz s16le, of equal length; the first one is audio time 0."""
        up = self._calls.get(call)
        if up is None or not self._recording:
            return
        up.caller += caller
        up.agent += agent
        if len(up.caller) >= BLOCK_BYTES:
            self._post_audio(up)

    def turn(self, effect: TurnTaken) -> None:
        """A turn for the transcript."""
        up = self._calls.get(effect.call)
        if up is None:
            return
        who, text = effect.who.value, _clean(effect.text)
        turn = Turn(who, text, effect.start_s, effect.end_s, effect.gap_ms, effect.cut)
        up.turns.append(turn)
        self._journal.post(
            "INSERT INTO turns (call_id, n, who, text, start_s, end_s, gap_ms, cut) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (up.record.id, len(up.turns), who, text, turn.start_s, turn.end_s, turn.gap_ms, int(turn.cut)),
        )

    def note(self, effect: Note) -> None:
        """Why something was decided in a call."""
        up = self._calls.get(effect.call)
        if up is not None:
            self._post_note(up.record.id, effect.kind, effect.data)

    def event(self, kind: str, data: Mapping[str, str | int | float | bool | None]) -> None:
        """Something that happened to the box and not to one call."""
        self._post_note(None, kind, data)

    def concluded(self, effect: Concluded) -> Future[Filed]:
        """The call is over. The future gets its files when they are complete; it always gets a result."""
        up = self._calls.pop(effect.call, None)
        if up is None:
            return _already(Filed(None, None))
        self._post_audio(up)
        slots = {slot: _clean(value) for slot, value in effect.slots.items()}
        record = msgspec.structs.replace(
            up.record,
            outcome=effect.outcome,
            slots=slots,
            duration_s=effect.duration_s,
            transferred=effect.transferred,
            turns=tuple(up.turns),
        )
        return self._close(record, up.stem)

    def stop(self, limit_s: float = 10.0) -> None:
        """Write what is queued, as far as that is possible within `limit_s`. Blocks."""
        for up in self._calls.values():
            self._post_audio(up)
        files_done = self._recordings.stop(limit_s / 2)
        rows_done = self._journal.stop(limit_s / 2)
        if not (files_done and rows_done):
            log.error("store: not everything could be written before the stop; the next start completes what it can")

    def _close(self, record: CallRecord, stem: Path) -> Future[Filed]:
        self._journal.post(
            "UPDATE calls SET outcome = ?, slots = ?, duration_s = ?, transferred = ? WHERE id = ?",
            (record.outcome, json.dumps(record.slots), record.duration_s, int(record.transferred), record.id),
        )
        filed = self._recordings.post_finish(record, stem)
        if filed is None:
            return _already(Filed(None, None))
        filed.add_done_callback(lambda done: self._post_filed(record.id, done.result()))
        return filed

    def _recover(self, record: CallRecord) -> None:
        at = datetime.fromisoformat(record.started_at)
        stem = Path(record.recording).with_suffix("") if record.recording else self._stem(at, record.id, record.call)
        if record.outcome is None:
            self.recovered += 1
            self.recovered_names.append(record.dialer_call_id or record.caller_name)
            spoken_s = max((turn.end_s for turn in record.turns), default=0.0)
            duration_s = max(spoken_s, wav.duration_s(stem.with_suffix(".wav")))
            self._post_note(record.id, "closed_after_crash", {"duration_s": duration_s})
            record = msgspec.structs.replace(record, outcome=CRASH_OUTCOME, duration_s=duration_s)
        self._close(record, stem)

    def _stem(self, at: datetime, call_id: int, call: str) -> Path:
        safe = "".join(c if c.isascii() and (c.isalnum() or c in "-_") else "_" for c in call)
        return self._folder / f"{at:%Y/%m/%d}" / f"{at:%H%M%S}-{call_id}-{safe}"

    def _post_audio(self, up: _Call) -> None:
        if up.caller:
            self._recordings.post_audio(up.record.id, up.stem, up.posted_samples, bytes(up.caller), bytes(up.agent))
            up.posted_samples += len(up.caller) // 2
            up.caller.clear()
            up.agent.clear()

    def _post_note(self, call_id: int | None, kind: str, data: Mapping[str, str | int | float | bool | None]) -> None:
        sql = "INSERT INTO journal (at, call_id, kind, data) VALUES (?, ?, ?, ?)"
        self._journal.post(sql, (_iso(datetime.now(UTC)), call_id, kind, json.dumps(data)))

    def _post_filed(self, call_id: int, filed: Filed) -> None:
        recording, transcript = (str(path) if path else None for path in (filed.recording, filed.transcript))
        # Without a transcript the disk was full or failed; the next start tries again.
        self._journal.post(
            "UPDATE calls SET recording = ?, transcript = ?, filed = ? WHERE id = ?",
            (recording, transcript, int(transcript is not None), call_id),
        )

    def _recording_stopped(self, call_id: int, at_s: float, why: str) -> None:
        self._post_note(call_id, "recording_stopped", {"at_s": at_s, "why": why})


def _unfinished(connection: sqlite3.Connection) -> tuple[int, list[CallRecord]]:
    """The next call's id, and the calls that an earlier run left open or without their files."""
    (last,) = connection.execute("SELECT coalesce(max(id), 0) FROM calls").fetchone()
    rows = connection.execute("SELECT * FROM calls WHERE filed = 0 ORDER BY id").fetchall()
    return last + 1, [record_of(row, turns_of(connection, row["id"])) for row in rows]


def _already(filed: Filed) -> Future[Filed]:
    done: Future[Filed] = Future()
    done.set_result(filed)
    return done


def _iso(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _clean(text: str) -> str:
    """Without halves of surrogate pairs, which neither SQLite nor JSON can carry. SIP headers may hold any bytes."""
    return text.encode("utf-8", "replace").decode()
