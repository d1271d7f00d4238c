"""One daemon's calls in the speech worker: voice activity, speech to text and text to speech for all of them.

Three places of work, so that nothing waits for something slower: rows are answered on the event loop within the tick;
recognition is a process of its own (`ear`), synthesis a thread of its own (`synthesis`; libflite releases the lock).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import assert_never

import msgspec

from appliance.calls.campaign import Campaign, clauses
from appliance.engines import registry
from appliance.engines.ear_link import EarLink
from appliance.engines.ear_process import EarProcess
from appliance.engines.hearing import Hearing
from appliance.engines.protocols import Vad
from appliance.engines.serving import Send, Server, read_config, run, start_logging
from appliance.engines.synthesis import Job, Synthesis
from appliance.engines.wire import (
    Audio,
    CloseCall,
    ExpectNext,
    Final,
    FinalizeTurn,
    Frames,
    Load,
    OpenCall,
    Ready,
    Render,
    Rendered,
    Row,
    Rows,
    Speak,
    StopSpeaking,
    ToSpeech,
)
from appliance.errors import BackendError

log = logging.getLogger(__name__)

_UNKNOWN_CALL_LEVEL_DBOV = -127.0


class SpeechConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The worker's line on standard input."""

    socket: str
    recognizer: str
    vad: str
    voice: str
    speaker: str = ""


class _Call(msgspec.Struct):
    stream: int
    hearing: Hearing


class SpeechSession:
    """One daemon's calls. Implements `serving.Session`."""

    def __init__(self, config: SpeechConfig, ear: EarProcess, send: Send, fail: Callable[[str], None]) -> None:
        self._config = config
        self._send = send
        self._fail = fail
        self._loop = asyncio.get_running_loop()
        self._ear = EarLink(ear, self._on_text, self._on_final, fail)
        self._vad: Vad | None = None
        self._synthesis: Synthesis | None = None
        self._calls: dict[str, _Call] = {}
        self._names: dict[int, str] = {}
        self._numbers = count()
        self._rendered: dict[str, bytearray] = {}

    async def load(self, campaign: Campaign) -> Ready:
        config = self._config
        loading = asyncio.ensure_future(self._ear.load(config.recognizer, campaign))
        await asyncio.sleep(0)  # the recognizer's process loads while this one does
        try:
            self._vad = registry.vad(config.vad)()
            voice = registry.voice(config.voice)(config.speaker)
        except BackendError:
            loading.cancel()
            raise
        self._synthesis = Synthesis(voice, self._deliver)
        recognizer = await loading
        self._synthesis.prepare(clause for sentence in campaign.verbatim() for clause in clauses(sentence))
        backends = {
            "recognizer": recognizer,
            "vad": registry.described(registry.VADS, config.vad),
            "voice": f"{registry.described(registry.VOICES, config.voice)} {config.speaker}".strip(),
        }
        return Ready(backends)

    def take(self, message: ToSpeech) -> None:
        match message:
            case Frames():
                self._frames(message)
            case OpenCall(call):
                self._open(call)
            case CloseCall(call):
                self._close(call)
            case ExpectNext(call, question):
                if call in self._calls:
                    self._ear.expect(self._calls[call].stream, question)
            case FinalizeTurn(call, turn):
                self._finalize(call, turn)
            case Speak(call, utterance, clause, text):
                self._speech().speak(Job(call, utterance, clause, text))
            case StopSpeaking(call, utterance):
                self._speech().drop(call, utterance)
            case Render(name, text):
                self._speech().speak(Job("", 0, 0, text, name))
            case Load():
                raise ValueError("Load is the connection's first message")
            case _:
                assert_never(message)

    def close(self) -> None:
        if self._synthesis is not None:
            self._synthesis.stop()
            log.info("synthesis: %s", self._synthesis.counts)
        log.info("recognition: %d reports of lag, worst %.2f s", self._ear.lags, self._ear.worst_lag_s)
        self._ear.close()
        self._calls.clear()

    def _frames(self, message: Frames) -> None:
        rows: list[Row] = []
        wanted: list[tuple[int, bytes]] = []
        for name, frame in message.frames:
            call = self._calls.get(name)
            if call is None:
                rows.append(Row(name, 0.0, _UNKNOWN_CALL_LEVEL_DBOV, None))
                continue
            row, audio = call.hearing.frame(frame)
            rows.append(row)
            if audio:
                wanted.append((call.stream, audio))
        self._send(Rows(message.seq, rows))
        self._ear.listen(wanted)
        if self._synthesis is not None and self._synthesis.failure is not None:
            self._fail(f"synthesis failed: {self._synthesis.failure!r}")

    def _open(self, name: str) -> None:
        if name in self._calls or self._vad is None:
            return
        call = _Call(next(self._numbers), Hearing(name, self._vad.open()))
        self._calls[name] = call
        self._names[call.stream] = name
        self._ear.open(call.stream)

    def _close(self, name: str) -> None:
        call = self._calls.pop(name, None)
        if call is None:
            return
        del self._names[call.stream]
        self._ear.close_stream(call.stream)
        self._speech().drop(name)
        if call.hearing.malformed:
            log.warning("%s: %d frames of wrong length", name, call.hearing.malformed)

    def _finalize(self, name: str, turn: int) -> None:
        call = self._calls.get(name)
        if call is None or not call.hearing.end_turn():
            self._send(Final(name, turn, ""))
        else:
            self._ear.finish(call.stream, turn)

    def _speech(self) -> Synthesis:
        assert self._synthesis is not None  # `take` comes after `load`
        return self._synthesis

    def _on_text(self, stream: int, text: str) -> None:
        name = self._names.get(stream)
        if name is not None:
            self._calls[name].hearing.heard(text)

    def _on_final(self, stream: int, turn: int, text: str) -> None:
        name = self._names.get(stream)
        if name is not None:
            self._calls[name].hearing.final()
            self._send(Final(name, turn, text))

    def _deliver(self, job: Job, pcm: bytes, last: bool) -> None:
        """On any thread: audio goes out on the loop, in order."""
        self._loop.call_soon_threadsafe(self._audio, job, pcm, last)

    def _audio(self, job: Job, pcm: bytes, last: bool) -> None:
        if not job.name:
            if job.call in self._calls:
                self._send(Audio(job.call, job.utterance, job.clause, pcm, last))
            return
        line = self._rendered.setdefault(job.name, bytearray())
        line += pcm
        if last:
            self._send(Rendered(job.name, bytes(self._rendered.pop(job.name))))


def serve(ear: EarProcess) -> int:
    """Serve with this recognizer process; a second connection gets one of its own. Returns the exit code."""
    spare = [ear]
    try:
        start_logging("speech")
        config = read_config(SpeechConfig)

        def make(send: Send, fail: Callable[[str], None]) -> SpeechSession:
            return SpeechSession(config, spare.pop() if spare else EarProcess(), send, fail)

        return run(lambda: Server(ToSpeech, make), Path(config.socket))
    finally:
        for unused in spare:
            unused.end()
