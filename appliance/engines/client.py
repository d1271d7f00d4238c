"""The daemon's side of a worker: start it, talk to it, notice its death at once, have it back fast."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from appliance.engines.wire import Failed, FromMind, FromSpeech, Load, Message, Ready, Unpacker, pack
from appliance.errors import BackendError

log = logging.getLogger(__name__)

_CONNECT_EVERY_S = 0.005
_READY_WITHIN_S = 60.0
_STOP_WITHIN_S = 2.0
_FIRST_BACK_OFF_S = 0.25
_LONGEST_BACK_OFF_S = 10.0
_STEADY_AFTER_S = 30.0  # a worker that lived so long is restarted at once again
_MOST_UNSENT_BYTES = 16 * 1024 * 1024  # a worker that has not read ten seconds of 50 calls is stuck


class WorkerSpec(msgspec.Struct, frozen=True):
    """How one worker is started: its module, its configuration (one line of JSON; it names the socket), what it answers."""

    module: str
    config: msgspec.Struct
    socket: Path
    answers: Any


def speech_spec(socket: Path, recognizer: str, vad: str, voice: str, speaker: str = "") -> WorkerSpec:
    config = _SpeechLine(str(socket), recognizer, vad, voice, speaker)
    return WorkerSpec("appliance.engines.speech_worker", config, socket, FromSpeech)


def mind_spec(socket: Path, minds: list[str]) -> WorkerSpec:
    return WorkerSpec("appliance.engines.mind_worker", _MindLine(str(socket), minds), socket, FromMind)


class _SpeechLine(msgspec.Struct, frozen=True):
    """`speech_worker.SpeechConfig`, without importing the worker and its backends into the daemon."""

    socket: str
    recognizer: str
    vad: str
    voice: str
    speaker: str


class _MindLine(msgspec.Struct, frozen=True):
    """`mind_worker.MindConfig`."""

    socket: str
    minds: list[str]


class _Link(asyncio.Protocol):
    """One connection to the worker."""

    def __init__(self, answers: Any, on_message: Callable[[Any], None]) -> None:
        self._unpacker = Unpacker(answers)
        self._on_message = on_message
        self.transport: asyncio.Transport | None = None
        self.lost = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        try:
            for message in self._unpacker.feed(data):
                self._on_message(message)
        except (msgspec.DecodeError, ValueError) as error:
            log.error("a worker sent what is no message: %s", error)
            self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.lost.done():
            self.lost.set_result(None)

    def abort(self) -> None:
        if self.transport is not None:
            self.transport.abort()


class WorkerClient:
    """One worker process, kept alive. Everything runs on the loop; no callback may block.

    `on_message` gets every answer after Ready. `on_lost` is called once per death, at once; what was asked is lost.
    `on_back` is called when a restarted worker is ready: it knows the campaign and no call, so open the calls again.
    """

    def __init__(
        self,
        spec: WorkerSpec,
        load: Load,
        on_message: Callable[[Any], None],
        on_lost: Callable[[], None] = lambda: None,
        on_back: Callable[[], None] = lambda: None,
    ) -> None:
        self._spec = spec
        self._load = load
        self._on_message, self._on_lost, self._on_back = on_message, on_lost, on_back
        self._process: asyncio.subprocess.Process | None = None
        self._link: _Link | None = None
        self._answer: asyncio.Future[Ready] | None = None
        self._keeper: asyncio.Task[None] | None = None
        self.backends: dict[str, str] = {}
        self.ready = False
        self.restarts = 0
        self.unsent = 0

    async def start(self) -> dict[str, str]:
        """Start the worker and wait until it serves; returns `Ready.backends`. Raises BackendError when it can not."""
        try:
            await self._begin()
        except BaseException:
            await self._end_process()
            raise
        self._keeper = asyncio.get_running_loop().create_task(self._keep(), name=f"keep {self._spec.module}")
        return self.backends

    def send(self, message: Message) -> bool:
        """Queue `message`; False, counted in `unsent`, while the worker is away (its work is lost then anyhow)."""
        link = self._link
        if not self.ready or link is None or link.transport is None:
            self.unsent += 1
            return False
        link.transport.write(pack(message))
        if link.transport.get_write_buffer_size() > _MOST_UNSENT_BYTES:
            log.error("%s does not read; it is restarted", self._spec.module)
            link.abort()
        return True

    @property
    def pid(self) -> int | None:
        """The running process, None between death and restart."""
        return self._process.pid if self._process is not None and self._process.returncode is None else None

    async def stop(self) -> None:
        """End the worker; no callback comes after this."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        self.ready = False
        if self._link is not None:
            self._link.abort()
        await self._end_process()

    async def _begin(self) -> None:
        """One start: process, connection, Load, Ready."""
        loop = asyncio.get_running_loop()
        spec = self._spec
        spec.socket.unlink(missing_ok=True)
        self._process = await asyncio.create_subprocess_exec(sys.executable, "-m", spec.module, stdin=asyncio.subprocess.PIPE)
        assert self._process.stdin is not None
        self._process.stdin.write(msgspec.json.encode(spec.config) + b"\n")  # and stays open: its end tells of ours
        self._answer = loop.create_future()
        try:
            async with asyncio.timeout(_READY_WITHIN_S):
                self._link = link = await self._connect(self._process)
                assert link.transport is not None
                link.transport.write(pack(self._load))
                await asyncio.wait((self._answer, link.lost), return_when=asyncio.FIRST_COMPLETED)
        except TimeoutError as error:
            raise BackendError(f"{spec.module} was not ready in {_READY_WITHIN_S:.0f} s", hint="see its log lines") from error
        if not self._answer.done():
            raise BackendError(f"{spec.module} ended while loading", hint="the lines above in the log say why")
        self.backends = self._answer.result().backends
        self.ready = True

    async def _connect(self, process: asyncio.subprocess.Process) -> _Link:
        loop = asyncio.get_running_loop()
        while True:
            if process.returncode is not None:
                raise BackendError(f"{self._spec.module} ended with code {process.returncode}", hint="see its log lines")
            try:
                _, link = await loop.create_unix_connection(self._new_link, str(self._spec.socket))
            except (FileNotFoundError, ConnectionRefusedError):
                await asyncio.sleep(_CONNECT_EVERY_S)
            else:
                return link

    def _new_link(self) -> _Link:
        return _Link(self._spec.answers, self._take)

    def _take(self, message: Any) -> None:
        answer = self._answer
        if answer is None or answer.done():
            self._on_message(message)
        elif isinstance(message, Ready):
            answer.set_result(message)
        elif isinstance(message, Failed):
            answer.set_exception(BackendError(message.message, hint=message.hint))

    async def _keep(self) -> None:
        """Wait for each death and have the worker back: the first time at once, then with growing pauses."""
        loop = asyncio.get_running_loop()
        back_off_s = 0.0
        while True:
            began = loop.time()
            assert self._link is not None
            await self._link.lost
            self.ready = False
            self._on_lost()
            await self._end_process()
            if loop.time() - began > _STEADY_AFTER_S:
                back_off_s = 0.0
            while not self.ready:
                log.warning("%s is gone; it is started again in %.2f s", self._spec.module, back_off_s)
                await asyncio.sleep(back_off_s)
                back_off_s = min(max(back_off_s * 2, _FIRST_BACK_OFF_S), _LONGEST_BACK_OFF_S)
                try:
                    await self._begin()
                except (BackendError, OSError) as error:  # OSError: no process or socket to be had just now
                    log.error("%s", error)
                    await self._end_process()
            self.restarts += 1
            self._on_back()

    async def _end_process(self) -> None:
        """Reap the process, by force where asking is not enough."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()  # tells it to end
        try:
            await asyncio.wait_for(process.wait(), _STOP_WITHIN_S)
        except TimeoutError:
            process.kill()
            await process.wait()
