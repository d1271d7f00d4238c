"""The one writer of recordings and transcripts: a thread, fed by the second."""

from __future__ import annotations

import logging
import os
import queue
import secrets
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Final, assert_never

import msgspec

from appliance.audio.formats import RATE_HZ
from appliance.errors import StoreError
from appliance.store import wav
from appliance.store.transcript import CallRecord, as_json, as_text
from appliance.store.wav import WavFile

log = logging.getLogger(__name__)

MAX_QUEUED = 1024  # blocks of a second: 32 MB
SYNC_S = 1.0


class Filed(msgspec.Struct, frozen=True):
    """A call's complete files. `transcript` is the text; its JSON lies beside it. None where there is none."""

    recording: Path | None
    transcript: Path | None


class _Block(msgspec.Struct, frozen=True):
    """Audio of a call from its sample `at_samples` on; both sides of equal length."""

    id: int
    stem: Path
    at_samples: int
    caller: bytes
    agent: bytes


class _Finish(msgspec.Struct, frozen=True):
    """Close the recording, if there is one, and write the transcript."""

    record: CallRecord
    stem: Path
    done: Future[Filed]


class Recordings:
    """Writes what is posted, in order. `kill -9` loses at most what came in the last two seconds.

    `stopped(id, at_s, why)` is called on this thread when a call's recording must end before the call; the call goes on
    without. `failing` says why the last write failed, None after one that went well; `changed` is called when that
    changes. `lost_s` counts seconds of audio that were not kept.
    """

    def __init__(self, changed: Callable[[], object], stopped: Callable[[int, float, str], None]) -> None:
        self._changed = changed
        self._stopped = stopped
        self._queue: Final[queue.Queue[_Block | _Finish | None]] = queue.Queue(MAX_QUEUED)
        self._thread = threading.Thread(target=self._run, name="recordings", daemon=True)
        self._open: dict[int, WavFile | None] = {}  # None: this call's recording was stopped
        self._sync_at = 0.0
        self.failing: str | None = None
        self.lost_s = 0.0

    def start(self) -> None:
        self._thread.start()

    def post_audio(self, call_id: int, stem: Path, at_samples: int, caller: bytes, agent: bytes) -> None:
        """Queue a block of the recording `stem`.wav. Never waits."""
        try:
            self._queue.put_nowait(_Block(call_id, stem, at_samples, caller, agent))
        except queue.Full:
            self.lost_s += len(caller) / 2 / RATE_HZ

    def post_finish(self, record: CallRecord, stem: Path) -> Future[Filed] | None:
        """Queue the end of a call. Never waits. None when the queue is full: the next start then completes the files."""
        done: Future[Filed] = Future()
        try:
            self._queue.put_nowait(_Finish(record, stem, done))
        except queue.Full:
            return None
        return done

    def stop(self, limit_s: float) -> bool:
        """Write what is queued, within `limit_s`. False when that was not possible."""
        try:
            self._queue.put(None, timeout=limit_s)
        except queue.Full:
            return False
        self._thread.join(limit_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while (item := self._queue.get()) is not None:
            try:
                self._do(item)
            except Exception as e:
                # The boundary of the thread: one call's bug must not end the recording of all others.
                log.exception("recordings: a bug")
                self._report(f"a bug: {e!r}")
                if isinstance(item, _Finish) and not item.done.done():
                    item.done.set_result(Filed(None, None))
        for file in self._open.values():
            if file:
                file.close()

    def _do(self, item: _Block | _Finish) -> None:
        match item:
            case _Block():
                self._write(item)
            case _Finish():
                item.done.set_result(self._finish(item))
            case _:
                assert_never(item)

    def _write(self, block: _Block) -> None:
        length_s = len(block.caller) / 2 / RATE_HZ
        if block.id in self._open and self._open[block.id] is None:
            self.lost_s += length_s
            return
        try:
            file = self._open.get(block.id)
            if file is None:
                block.stem.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                file = self._open[block.id] = WavFile(block.stem.with_suffix(".wav"))
            missing = max(0, block.at_samples - file.samples)
            file.write(bytes(2 * missing) + block.caller, bytes(2 * missing) + block.agent)
            self._sync()
        except OSError as e:
            self.lost_s += length_s
            self._give_up(block.id)
            self._report(f"{block.stem.with_suffix('.wav')}: {e.strerror or e}")
            self._stopped(block.id, block.at_samples / RATE_HZ, e.strerror or str(e))
        else:
            self._report(None)

    def _sync(self) -> None:
        """Once a second, put on the disk what has waited longest."""
        now = time.monotonic()
        if now < self._sync_at:
            return
        self._sync_at = now + SYNC_S
        call_id, file = next((i, f) for i, f in self._open.items() if f)
        file.sync()
        self._open[call_id] = self._open.pop(call_id)  # to the end of the row

    def _give_up(self, call_id: int) -> None:
        file = self._open.get(call_id)
        if file:
            file.close()
        self._open[call_id] = None

    def _finish(self, item: _Finish) -> Filed:
        file = self._open.pop(item.record.id, None)
        if file:
            file.close()
        recording = self._recording(item.stem)
        record = msgspec.structs.replace(item.record, recording=str(recording) if recording else None)
        text = item.stem.with_suffix(".txt")
        try:
            item.stem.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _write_private(item.stem.with_suffix(".json"), as_json(msgspec.structs.replace(record, transcript=str(text))))
            _write_private(text, as_text(record))
        except OSError as e:
            self._report(f"{text}: {e.strerror or e}")
            return Filed(recording, None)
        self._report(None)
        return Filed(recording, text)

    def _recording(self, stem: Path) -> Path | None:
        raw = stem.with_suffix(".wav")
        if not raw.exists():
            kept = stem.with_suffix(".flac")
            return kept if kept.exists() else None
        try:
            return wav.to_flac(raw)
        except OSError as e:
            self._report(f"{raw}: {e.strerror or e}")
            return raw

    def _report(self, failing: str | None) -> None:
        if (failing is None) == (self.failing is None):
            return
        self.failing = failing
        if failing is None:
            log.info("recordings: writing again, %.0f s were lost", self.lost_s)
        else:
            log.error("recordings: %s; calls go on", failing)
        self._changed()


def prepare_folder(folder: Path) -> None:
    """Make the folder of all recordings and try to write there. Raises StoreError."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write_private(folder / ".writable", "")
        (folder / ".writable").unlink()
    except OSError as e:
        hint = f"make {folder} a folder that this user can write, on a disk with room, or change paths.recordings"
        raise StoreError(f"{folder}: recordings cannot be written: {e.strerror}", hint=hint) from None


def _write_private(path: Path, text: str) -> None:
    """Replace `path`, mode 0600; after a power cut there is the whole file or none."""
    new = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with open(new, "x", encoding="utf-8", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)
