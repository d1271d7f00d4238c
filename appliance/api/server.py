"""The API's listening side, on the daemon's asyncio loop."""

from __future__ import annotations

import asyncio
import fcntl
import os
import socket
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import assert_never

from appliance.api import wire
from appliance.errors import ApiError

MAX_QUEUED = 1000  # messages: minutes of a busy box
MAX_PEERS = 64
LAST_WORDS_S = 2.0  # how long a peer that is being dropped may take to read why
MODE = 0o660


class ApiServer:
    """Serves `wire` on the Unix socket `path`. All methods are for the loop's thread; none of them waits for a peer.

    `snapshot` gives the status at this moment; `drain` is called with the limit in seconds (None: the settings') when
    somebody asks for it, `retry_outbox` when an operator wants what was parked to be tried again. `dropped` counts
    subscribers that read too slowly.
    """

    def __init__(
        self,
        path: Path,
        *,
        snapshot: Callable[[], wire.Status],
        drain: Callable[[float | None], None],
        retry_outbox: Callable[[], None],
    ) -> None:
        self._path = path
        self._snapshot = snapshot
        self._drain = drain
        self._retry_outbox = retry_outbox
        self._peers: set[_Peer] = set()
        self._server: asyncio.Server | None = None
        self._lock: int | None = None
        self.dropped = 0

    async def start(self) -> None:
        """Open the socket. Raises ApiError when another daemon has it, or the folder cannot be written."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._take_lock()
            listener = _listen(self._path)
            self._server = await asyncio.start_unix_server(self._serve, sock=listener)
        except OSError as e:
            self._release_lock()
            hint = f"paths.runtime must be a folder that this user can write, its path under 100 bytes: {self._path.parent}"
            raise ApiError(f"{self._path}: cannot listen: {e.strerror or e}", hint=hint) from None

    def publish(self, message: wire.Change) -> None:
        """Send to every subscriber; one with MAX_QUEUED messages unread is dropped."""
        packed = wire.pack(message)
        for peer in [p for p in self._peers if p.subscribed]:
            self.dropped += peer.send(packed) is False

    async def stop(self) -> None:
        """Deliver what is queued as far as peers read it within LAST_WORDS_S, and close everything."""
        if self._server is None:
            return
        self._server.close()
        peers = list(self._peers)
        for peer in peers:
            peer.finish()
        await asyncio.gather(*(peer.gone.wait() for peer in peers))
        await self._server.wait_closed()
        self._server = None
        self._path.unlink(missing_ok=True)
        self._release_lock()

    def _take_lock(self) -> None:
        # A lock dies with its process, a socket file does not: who has the lock may remove the file.
        lock_path = self._path.with_suffix(".lock")
        self._lock = os.open(lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.pread(self._lock, 20, 0).decode(errors="replace").strip() or "unknown"
            self._release_lock()
            raise ApiError(
                f"{self._path}: another sidetone runs here (process {owner})",
                hint="stop it first, or give this one its own paths.runtime, sip.port and paths.state",
            ) from None
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, f"{os.getpid()}\n".encode(), 0)

    def _release_lock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = _Peer(writer)
        self._peers.add(peer)
        pump = asyncio.create_task(peer.pump())
        try:
            if len(self._peers) > MAX_PEERS:
                raise ApiError(f"{MAX_PEERS} connections are open already", hint="close some")
            requests = wire.to_daemon()
            while data := await reader.read(65536):
                for request in requests.feed(data):
                    self._answer(peer, request)
        except ApiError as e:
            peer.finish(wire.pack(wire.Refused(e.message, e.hint)))
        except ConnectionError:
            pass  # as good as an end of file
        finally:
            peer.finish()
            await pump
            self._peers.discard(peer)

    def _answer(self, peer: _Peer, request: wire.ToDaemon) -> None:
        match request:
            case wire.GetStatus():
                peer.send(wire.pack(self._snapshot()))
            case wire.Subscribe():
                peer.send(wire.pack(self._snapshot()))
                peer.subscribed = True
            case wire.Drain(limit_s):
                peer.send(wire.pack(wire.Accepted()))
                self._drain(limit_s)
            case wire.RetryOutbox():
                peer.send(wire.pack(wire.Accepted()))
                self._retry_outbox()
            case _:
                assert_never(request)


class _Peer:
    """One connection's way out: a bounded queue and the task that empties it."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self.subscribed = False
        self.gone = asyncio.Event()
        self._writer = writer
        self._queue: deque[bytes] = deque()
        self._more = asyncio.Event()
        self._closing = False

    def send(self, packed: bytes) -> bool:
        """Queue it. False when it was one too many: the peer is then on its way out."""
        if self._closing:
            return True
        if len(self._queue) >= MAX_QUEUED:
            missed = len(self._queue) + 1
            self._queue.clear()
            self.finish(wire.pack(wire.FellBehind(missed)))
            return False
        self._queue.append(packed)
        self._more.set()
        return True

    def finish(self, last: bytes = b"") -> None:
        """Close once the queue, and `last` after it, is written; after LAST_WORDS_S in any case."""
        if self._closing:
            return
        self._closing = True
        self.subscribed = False
        self._queue.append(last)
        self._more.set()
        asyncio.get_running_loop().call_later(LAST_WORDS_S, self._writer.transport.abort)

    async def pump(self) -> None:
        try:
            while not (self._closing and not self._queue):
                await self._more.wait()
                self._more.clear()
                while self._queue:
                    self._writer.write(self._queue.popleft())
                    await self._writer.drain()
            self._writer.close()
            await self._writer.wait_closed()
        except ConnectionError:
            pass  # the peer went away, or was too slow and its transport was aborted
        finally:
            self._closing = True
            self._writer.close()
            self.gone.set()


def _listen(path: Path) -> socket.socket:
    if path.is_socket():
        path.unlink()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(str(path))
        path.chmod(MODE)  # before listen: nobody can have connected with the mode that bind gave it
        listener.listen()
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener
