"""What both workers do alike: read their configuration, serve one daemon at a time, end cleanly.

A worker is started as `python -m appliance.engines.<name>_worker` with one line of JSON on its standard input. The input
stays open: its end means that the parent is gone, and the worker ends too. Under systemd it is the unit's socket file.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, TypeVar

import msgspec
from pydantic import ValidationError

from appliance.calls.campaign import Campaign
from appliance.engines.wire import Failed, Load, Message, Ready, Unpacker, pack
from appliance.errors import BackendError

log = logging.getLogger(__name__)

_MOST_UNSENT_BYTES = 64 * 1024 * 1024
_CONFIG_BYTES = 1 << 16

Send = Callable[[Message], None]
C = TypeVar("C")


class Session(Protocol):
    """What one connection does. Built when the connection comes, closed when it goes."""

    async def load(self, campaign: Campaign) -> Ready:
        """Raises BackendError: the daemon is told, and the worker ends."""

    def take(self, message: Any) -> None:
        """Handle one message; never called before `load` is done."""

    def close(self) -> None:
        """Forget every call."""


class Connection(asyncio.Protocol):
    """One daemon on the socket."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._transport: asyncio.Transport | None = None
        self._unpacker = Unpacker(server.kind)
        self._session: Session | None = None
        self._loading: asyncio.Task[None] | None = None
        self._ready = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        if not self._server.admit(self):
            log.warning("a second connection was refused")
            transport.close()
            return
        self._session = self._server.make(self.send, self._server.fail)

    def data_received(self, data: bytes) -> None:
        if self._session is None or self._transport is None:
            return
        try:
            for message in self._unpacker.feed(data):
                self._take(self._session, message)
        except (msgspec.DecodeError, ValueError) as error:
            log.error("the connection sent what is no message and is closed: %s", error)
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._loading:
            self._loading.cancel()
        if self._session is not None:
            self._session.close()
            self._session = None
            self._server.leave(self)

    def send(self, message: Message) -> None:
        """Queue `message`; a daemon that has not read 64 MiB is as good as gone."""
        if self._transport is None or self._transport.is_closing():
            return
        self._transport.write(pack(message))
        if self._transport.get_write_buffer_size() > _MOST_UNSENT_BYTES:
            log.error("the daemon does not read: the connection is closed")
            self._transport.abort()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def _take(self, session: Session, message: Any) -> None:
        if isinstance(message, Load):
            if self._loading is not None:
                raise ValueError("a second Load on one connection")
            self._loading = asyncio.get_running_loop().create_task(self._load(session, message))
        elif not self._ready:
            raise ValueError(f"{type(message).__name__} before the worker was ready")
        else:
            session.take(message)

    async def _load(self, session: Session, message: Load) -> None:
        try:
            ready = await session.load(message.campaign())
        except BackendError as error:
            if error.__cause__ is not None:
                log.error("%s", error.message, exc_info=error.__cause__)
            self._give_up(Failed(error.message, error.hint))
        except ValidationError as error:
            self._give_up(Failed(f"the campaign does not validate: {error.error_count()} problems", "check it: sidetone check"))
        except Exception as error:  # the boundary of this task: the daemon must not wait for an answer that never comes
            log.exception("loading failed")
            self._give_up(Failed(f"loading failed ({type(error).__name__}: {error})", "the lines above in the log say where"))
        else:
            self._ready = True
            self.send(ready)

    def _give_up(self, failed: Failed) -> None:
        self.send(failed)
        self.close()
        self._server.fail(failed.message)


class Server:
    """The worker's socket and its end. `make(send, fail)` builds the session of a connection."""

    def __init__(self, kind: Any, make: Callable[[Send, Callable[[str], None]], Session]) -> None:
        self.kind = kind
        self.make = make
        self._serving: Connection | None = None
        self._ended = asyncio.Event()
        self._exit_code = 0

    def admit(self, connection: Connection) -> bool:
        if self._serving is not None:
            return False
        self._serving = connection
        return True

    def leave(self, connection: Connection) -> None:
        if self._serving is connection:
            self._serving = None

    def fail(self, why: str) -> None:
        """End the worker: it can not serve any more."""
        log.error("the worker ends: %s", why)
        self._exit_code = 1
        self._ended.set()

    async def run(self, path: Path) -> int:
        """Serve on the socket `path` (only its owner may connect) until SIGTERM, the parent's end, or `fail`."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._ended.set)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the daemon decides when to stop
        loop.add_reader(sys.stdin.fileno(), self._parent_spoke)
        old_mask = os.umask(0o177)
        try:
            server = await loop.create_unix_server(lambda: Connection(self), path)
        finally:
            os.umask(old_mask)
        try:
            await self._ended.wait()
        finally:
            server.close()
            if self._serving is not None:
                self._serving.close()
            await asyncio.sleep(0)  # lets the connection's close run
        return self._exit_code

    def _parent_spoke(self) -> None:
        if not os.read(sys.stdin.fileno(), 4096):
            asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
            self._ended.set()


def read_config(kind: type[C]) -> C:
    """The one line of JSON on standard input. Ends the process with a line of explanation when it is no such line."""
    line = b""
    while not line.endswith(b"\n") and len(line) < _CONFIG_BYTES:
        byte = os.read(sys.stdin.fileno(), 1)  # unbuffered: what follows is watched by the loop
        if not byte:
            break
        line += byte
    try:
        return msgspec.json.decode(line, type=kind)
    except msgspec.DecodeError as error:
        print(f"the worker's configuration on standard input is wrong: {error}", file=sys.stderr)
        raise SystemExit(2) from error


def start_logging(name: str) -> None:
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format=f"%(asctime)s %(levelname)s sidetone.{name}: %(message)s")


def run(server: Callable[[], Server], path: Path) -> int:
    """Run the loop; the worker's exit code."""

    async def main() -> int:
        return await server().run(path)

    path.unlink(missing_ok=True)  # what a killed worker left
    try:
        return asyncio.run(main())
    finally:
        path.unlink(missing_ok=True)
