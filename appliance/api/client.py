"""The API's asking side: for the command line, consoles and lights."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TypeVar

from appliance.api import wire
from appliance.errors import ApiError, NoAnswerError, NotRunningError

ANSWER_S = 5.0
_M = TypeVar("_M")


class ApiClient:
    """Talks to the daemon that listens on `path`. Each request is a connection of its own.

    Every method raises ApiError when no daemon answers there (NotRunningError, NoAnswerError), or it refuses.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    async def status(self) -> wire.Status:
        """What the daemon is doing now."""
        return await self._ask(wire.GetStatus(), wire.Status)

    async def drain(self, limit_s: float | None = None) -> None:
        """Ask it to take no new calls and stop when the running ones have ended. Returns once it has agreed."""
        await self._ask(wire.Drain(limit_s), wire.Accepted)

    async def retry_outbox(self) -> None:
        """Ask it to try again what was parked, and after a refused password everything. Returns once it has agreed."""
        await self._ask(wire.RetryOutbox(), wire.Accepted)

    @asynccontextmanager
    async def subscribe(self) -> AsyncIterator[AsyncIterator[wire.Status | wire.Change]]:
        """The status, then every change. The iterator ends when the daemon is gone, in good order or not.

        async with client.subscribe() as messages:
            async for message in messages: ...
        """
        reader, writer = await self._connect()
        try:
            writer.write(wire.pack(wire.Subscribe()))
            yield self._changes(reader)
        finally:
            await _close(writer)

    async def _changes(self, reader: asyncio.StreamReader) -> AsyncIterator[wire.Status | wire.Change]:
        async for message in _messages(reader):
            match message:
                case wire.FellBehind(missed):
                    raise ApiError(f"{missed} messages were dropped because they were not read in time", hint="subscribe again")
                case wire.Refused(text, hint):
                    raise ApiError(text, hint=hint)
                case wire.Accepted():
                    raise ApiError("the daemon answered a question that was not asked")
                case _:
                    yield message

    async def _ask(self, request: wire.ToDaemon, kind: type[_M]) -> _M:
        reader, writer = await self._connect()
        try:
            writer.write(wire.pack(request))
            async with asyncio.timeout(ANSWER_S):
                async for message in _messages(reader):
                    if isinstance(message, kind):
                        return message
                    if isinstance(message, wire.Refused):
                        raise ApiError(message.message, hint=message.hint)
        except TimeoutError:
            raise NoAnswerError(
                f"{self._path}: no answer within {ANSWER_S:.0f} s", hint="is the daemon stuck? see its log"
            ) from None
        finally:
            await _close(writer)
        raise NoAnswerError(f"{self._path}: the daemon closed the connection without an answer", hint="see its log")

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        try:
            return await asyncio.open_unix_connection(str(self._path))
        except (FileNotFoundError, ConnectionRefusedError):
            raise NotRunningError(f"{self._path}: no sidetone is running here", hint="start it: sidetone run") from None
        except PermissionError:
            hint = f"run as root or as a member of the group that owns it: ls -l {self._path}"
            raise ApiError(f"{self._path}: not allowed to connect", hint=hint) from None
        except OSError as e:
            raise ApiError(f"{self._path}: cannot connect: {e.strerror or e}", hint="check paths.runtime") from None


async def _messages(reader: asyncio.StreamReader) -> AsyncIterator[wire.FromDaemon]:
    unpacker = wire.from_daemon()
    try:
        while data := await reader.read(65536):
            for message in unpacker.feed(data):
                yield message
    except OSError:
        # A daemon that was killed, as good as an end of file; ENOTCONN where one that hangs has no more room in its backlog.
        return


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
