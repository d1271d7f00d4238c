"""A web server that answers as it is told to, and breaks the wire when it is told that."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Coroutine, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import parse_qsl

from pydantic import HttpUrl, SecretStr

from appliance.config.settings import Vicidial

T = TypeVar("T")

PASSWORD = "s3cr3t-of-the-site"


class Fault(enum.Enum):
    CUT = "cut"  # the request is taken, the connection closed
    SILENT = "silent"  # taken, and no answer ever
    HALF = "half"  # fewer bytes than the answer's head promises
    ERROR_500 = "500"
    NOT_FOUND = "404"
    MOVED = "301"
    ENDLESS = "endless"


PAGE = "<!DOCTYPE html><html><head><title>503 Service Unavailable</title></head></html>"

Answer = str | Fault


class Scripted:
    """`answers` by function: each is given once, in order, and the last one for ever after."""

    def __init__(self, answers: Mapping[str, Sequence[Answer]]) -> None:
        self._answers = {function: list(given) for function, given in answers.items()}
        self.asked: list[dict[str, str]] = []
        self.bodies: list[str] = []
        self.lines: list[str] = []
        self._held: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for task in list(self._held):
            task.cancel()
        await asyncio.gather(*self._held, return_exceptions=True)

    @property
    def functions(self) -> list[str]:
        return [form["function"] for form in self.asked]

    def settings(self, **changed: Any) -> Vicidial:
        port = self._server.sockets[0].getsockname()[1]
        values: dict[str, Any] = {
            "url": HttpUrl(f"http://127.0.0.1:{port}"),
            "user": "apiuser",
            "password": SecretStr(PASSWORD),
            "agent_user": "9001",
            "campaign": "TESTCAMP",
            "transfer_to": "SALESLINE",
            "timeout_s": 0.5,
        }
        return Vicidial(**(values | changed))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._held.add(task)
        try:
            await self._answer(reader, writer)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._held.discard(task)
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = next(int(line.split(":")[1]) for line in head.lower().split("\r\n") if line.startswith("content-length"))
        body = (await reader.readexactly(length)).decode()
        form = dict(parse_qsl(body, keep_blank_values=True))
        self.lines.append(head.split("\r\n")[0])
        self.bodies.append(body)
        self.asked.append(form)
        given = self._answers[form["function"]]
        answer = given.pop(0) if len(given) > 1 else given[0]
        match answer:
            case Fault.CUT:
                return
            case Fault.SILENT:
                await asyncio.sleep(30)
            case Fault.HALF:
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\nSUCCESS: ")
            case Fault.ERROR_500:
                writer.write(b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            case Fault.NOT_FOUND:
                writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            case Fault.MOVED:
                writer.write(b"HTTP/1.1 301 Moved\r\nLocation: https://x/\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            case Fault.ENDLESS:
                writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
                while True:
                    writer.write(b"x" * 65536)
                    await writer.drain()
            case str():
                data = answer.encode()
                writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {len(data)}\r\nConnection: close\r\n\r\n".encode() + data)
        await writer.drain()


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)
