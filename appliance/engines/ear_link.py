"""The speech worker's side of the recognizer's process."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

import msgspec

from appliance.calls.campaign import Campaign
from appliance.engines.ear import (
    Begin,
    Bias,
    CloseStream,
    Finish,
    Finished,
    FromEar,
    Lag,
    Listen,
    Listening,
    OpenStream,
    Text,
)
from appliance.engines.ear_process import EarProcess
from appliance.engines.wire import Failed, Message, Unpacker, pack
from appliance.errors import BackendError

log = logging.getLogger(__name__)

_MOST_UNSENT_BYTES = 32 * 1024 * 1024  # half an hour of one caller's speech: so far behind it is as good as dead


class EarLink(asyncio.Protocol):
    """Streams by number. `on_text(stream, text)`, `on_final(stream, turn, text)`; `on_lost` when the process is gone."""

    def __init__(
        self,
        ear: EarProcess,
        on_text: Callable[[int, str], None],
        on_final: Callable[[int, int, str], None],
        on_lost: Callable[[str], None],
    ) -> None:
        self._ear = ear
        self._on_text, self._on_final, self._on_lost = on_text, on_final, on_lost
        self._unpacker = Unpacker(FromEar)
        self._transport: asyncio.Transport | None = None
        self._loaded: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._closing = False
        self.worst_lag_s = 0.0
        self.lags = 0

    async def load(self, recognizer: str, campaign: Campaign) -> str:
        """Load the backend; returns its name and version. Raises BackendError."""
        await asyncio.get_running_loop().create_unix_connection(lambda: self, sock=self._ear.socket)
        self._send(Begin(recognizer, campaign.model_dump_json().encode()))
        return await self._loaded

    def open(self, stream: int) -> None:
        self._send(OpenStream(stream))

    def close_stream(self, stream: int) -> None:
        self._send(CloseStream(stream))

    def expect(self, stream: int, question: str | None) -> None:
        self._send(Bias(stream, question))

    def listen(self, audio: list[tuple[int, bytes]]) -> None:
        """One tick's audio of every stream that has some."""
        if audio:
            now = time.monotonic()
            self._send(*(Listen(stream, now, pcm) for stream, pcm in audio))

    def finish(self, stream: int, turn: int) -> None:
        self._send(Finish(stream, turn))

    def close(self) -> None:
        """End the process."""
        self._closing = True
        if self._transport is not None:
            self._transport.abort()
        self._ear.end()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        try:
            for message in self._unpacker.feed(data):
                self._take(message)
        except (msgspec.DecodeError, ValueError) as error:
            self._lost(f"the recognizer's process sent what is no message: {error}")

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost("the recognizer's process is gone")

    def _take(self, message: Listening | Failed | Text | Finished | Lag) -> None:
        match message:
            case Text(stream, text):
                self._on_text(stream, text)
            case Finished(stream, turn, text):
                self._on_final(stream, turn, text)
            case Lag(worst_s):
                self.lags += 1
                self.worst_lag_s = max(self.worst_lag_s, worst_s)
            case Listening(backend):
                self._loaded.set_result(backend)
            case Failed(why, hint):
                self._loaded.set_exception(BackendError(why, hint=hint))

    def _send(self, *messages: Message) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        self._transport.write(b"".join(map(pack, messages)))
        if self._transport.get_write_buffer_size() > _MOST_UNSENT_BYTES:
            self._lost("the recognizer's process is hopelessly behind")

    def _lost(self, why: str) -> None:
        if self._closing:
            return
        self.close()
        if not self._loaded.done():
            self._loaded.set_exception(BackendError(f"recognizer: {why}", hint="the lines above in the log say why"))
        self._on_lost(why)
