"""The web server in front of the two scripts: Apache's manners, and the faults."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from tests.fakes.vicidial.site import Request

APIS = {"/agc/api.php": "agent", "/vicidial/non_agent_api.php": "admin"}
HOST = "127.0.0.1"
POLL_S = 0.01
MAX_BODY_BYTES = 1 << 20


@dataclass(frozen=True)
class Reply:
    """`cut`: end the connection instead of answering."""

    body: str = ""
    status: int = 200
    cut: bool = False


Answer = Callable[[Request], Reply]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # the reply in one piece: in two, the second waits 40 ms for the first one's acknowledgement
    disable_nagle_algorithm = True
    server_version, sys_version = "Apache/2.4.62", ""
    server: _Listener

    def do_GET(self) -> None:
        self._reply("")

    def do_POST(self) -> None:
        length = min(int(self.headers.get("Content-Length") or 0), MAX_BODY_BYTES)
        self._reply(self.rfile.read(length).decode("utf-8", "replace"))

    def _reply(self, body: str) -> None:
        address = urlsplit(self.path)
        api = APIS.get(address.path)
        if api is None:
            self.send_error(404)
            return
        reply = self.server.answer(Request.read(api, self.command, address.query, body))
        if reply.cut:
            self.close_connection = True
            with contextlib.suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)
            return
        content = reply.body.encode()
        self.send_response(reply.status)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: its lines would hold addresses with passwords in them."""


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, port: int, answer: Answer) -> None:
        self.answer = answer
        self._open: set[socket.socket] = set()
        self._guard = threading.Lock()
        super().__init__((HOST, port), _Handler)

    def process_request_thread(self, request: socket.socket, client_address: tuple[str, int]) -> None:  # type: ignore[override]
        with self._guard:
            self._open.add(request)
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self._guard:
                self._open.discard(request)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away while it was answered is everyday life."""

    def cut_all(self) -> None:
        with self._guard:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)


class WebServer:
    """Listens on construction. `go_down` refuses connections and cuts those there are; `come_up` has the same port."""

    def __init__(self, answer: Answer, port: int = 0) -> None:
        self._answer = answer
        self._listener: _Listener | None = None
        self._thread: threading.Thread | None = None
        self.port = port
        self.come_up()

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    def come_up(self) -> None:
        if self._listener is None:
            self._listener = _Listener(self.port, self._answer)
            self.port = self._listener.server_address[1]
            self._thread = threading.Thread(
                target=self._listener.serve_forever, args=(POLL_S,), name="vicidial-web", daemon=True
            )
            self._thread.start()

    def go_down(self) -> None:
        if self._listener is not None and self._thread is not None:
            self._listener.shutdown()
            self._thread.join()
            self._listener.server_close()
            self._listener.cut_all()
            self._listener = self._thread = None
