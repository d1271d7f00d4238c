"""The queue's dialer against PBXs that are silent, rude or gone; a real one is in tests/integration/test_queue.py."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from appliance.config.settings import Queue, Sip
from appliance.dialers import ami, queue
from appliance.dialers.protocol import Control, Dialer
from appliance.dialers.queue import QueueDialer
from tests.box import eventually
from tests.sip.far_end import settings

SECRET = "Sesame-84-open"
BANNER = b"Asterisk Call Manager/5.0.4\r\n"
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Wire:
    """A manager interface that says what `replies` has for an action; None is silence, "" closes the connection."""

    def __init__(self, replies: dict[str, str | None], banner: bytes = BANNER) -> None:
        self.replies = replies
        self.banner = banner
        self.seen: list[dict[str, str]] = []
        self.connections = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        writer.write(self.banner)
        try:
            while True:
                text = (await reader.readuntil(b"\r\n\r\n")).decode()
                action = dict(line.split(": ", 1) for line in text.strip().split("\r\n"))
                self.seen.append(action)
                reply = self.replies.get(action["Action"], "Response: Success")
                if reply == "":
                    break
                if reply is not None:
                    writer.write(reply.replace("ID", f"ActionID: {action['ActionID']}").encode())
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def actions(self) -> list[str]:
        return [action["Action"] for action in self.seen]


def success(text: str = "") -> str:
    return f"Response: Success\r\nID\r\n{text}\r\n"


def error(message: str) -> str:
    return f"Response: Error\r\nID\r\nMessage: {message}\r\n\r\n"


def member(**changes: str) -> str:
    fields = {"Location": "SIP/8371", "Status": "1", "Paused": "0", **changes}
    row = "".join(f"{key}: {value}\r\n" for key, value in fields.items())
    head = "Response: Success\r\nID\r\nEventList: start\r\nMessage: Queue status will follow\r\n\r\n"
    return f"{head}Event: QueueMember\r\nID\r\n{row}\r\nEvent: QueueStatusComplete\r\nID\r\nEventList: Complete\r\n\r\n"


CHALLENGE = success("Challenge: 123456\r\n")
GOOD: dict[str, str | None] = {
    "Challenge": CHALLENGE,
    "Login": success(),
    "QueueStatus": member(),
    "QueuePause": success(),
    "QueueRemove": success(),
}


def run(wire: Wire, use: Callable[[QueueDialer], Awaitable[None]], **changes: Any) -> None:
    async def main() -> None:
        server = await asyncio.start_server(wire.serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        fields: dict[str, Any] = {"manager": f"127.0.0.1:{port}", "user": "sidetone", "password": SECRET, "queue": "support"}
        sip: Sip = settings()
        dialer = QueueDialer(Queue.model_validate({**fields, **changes}), sip, "8379")
        try:
            await use(dialer)
        finally:
            await dialer.close()
            server.close()

    asyncio.run(main())


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ami, "ANSWER_S", 0.2)
    monkeypatch.setattr(queue, "RETRY_S", (0.01, 0.02))


def test_the_secret_is_never_sent() -> None:
    wire = Wire(GOOD)

    async def use(dialer: Dialer) -> None:
        assert (await dialer.capacity(2)).how is Control.DONE
        assert dialer.health.reachable is True
        assert dialer.health.build == "AMI 5.0.4"
        assert dialer.can_transfer

    run(wire, use)
    assert wire.actions()[:4] == ["Challenge", "Login", "QueueStatus", "QueuePause"]
    assert not [text for action in wire.seen for text in action.values() if SECRET in text]
    assert wire.actions()[-2:] == ["QueuePause", "QueueRemove"]
    assert wire.seen[-2]["Paused"] == "true"


@pytest.mark.parametrize(
    ("replies", "detail"),
    [
        ({"Challenge": None}, "the PBX does not answer (Challenge)"),
        ({"Login": ""}, "the PBX closed the connection (Login)"),
        ({"QueueStatus": None}, "the PBX does not answer (QueueStatus)"),
        ({"Login": error("Too many sessions")}, "Too many sessions"),
        ({"QueueStatus": error("Permission denied")}, "Permission denied"),
        ({"QueueStatus": member(Status="4")}, "SIP/8371 is no phone of this PBX: set dialer.queue.interface"),
        ({"Challenge": success()}, "the PBX's answer has no Challenge"),
        ({"QueueStatus": member(Status="1").replace("Status: 1\r\n", "")}, "the PBX's answer has no Status"),
    ],
)
def test_what_is_wrong_is_told_and_tried_again(replies: dict[str, str | None], detail: str) -> None:
    wire = Wire({**GOOD, **replies})

    async def use(dialer: Dialer) -> None:
        told = await dialer.capacity(2)
        assert (told.how, told.detail) == (Control.FAILED, detail)
        assert dialer.health.detail == detail
        assert not dialer.health.locked
        wire.replies = GOOD
        await asyncio.to_thread(eventually, lambda: not dialer.health.detail, "that all is well")
        assert dialer.health.reachable is True

    run(wire, use)


def test_a_refused_password_locks_and_nothing_is_sent_any_more() -> None:
    wire = Wire({**GOOD, "Login": error("Authentication failed")})

    async def use(dialer: Dialer) -> None:
        for _ in range(3):
            told = await dialer.capacity(2)
            assert told.detail == "the manager interface refuses the user sidetone or its password"
            await asyncio.sleep(0.05)
        assert dialer.health.locked

    run(wire, use)
    assert wire.connections == 1
    assert wire.actions() == ["Challenge", "Login"]


@pytest.mark.parametrize("banner", [b"", b"\xff\xfe\r\n\r\n", b"HTTP/1.1 400 Bad Request\r\n\r\n<html>\r\n\r\n" * 50])
def test_something_else_at_the_port_is_survived(banner: bytes) -> None:
    wire = Wire({"Challenge": "<html>\r\n\r\n"}, banner)

    async def use(dialer: Dialer) -> None:
        assert (await dialer.capacity(2)).how is Control.FAILED
        assert dialer.health.reachable is False

    run(wire, use)


def test_nobody_at_the_port_is_told(caplog: pytest.LogCaptureFixture) -> None:
    async def use(dialer: Dialer) -> None:
        told = await dialer.capacity(0)
        assert (told.how, told.detail) == (Control.FAILED, "127.0.0.1:9: Connection refused")
        await asyncio.sleep(0.1)

    with caplog.at_level(logging.DEBUG):
        run(Wire({}), use, manager="127.0.0.1:9")
    assert [record.getMessage() for record in caplog.records if record.name == queue.__name__] == [
        "queue support: 127.0.0.1:9: Connection refused"
    ]
    assert SECRET not in caplog.text


def test_closing_what_was_never_asked_anything_sends_nothing() -> None:
    wire = Wire(GOOD)

    async def use(dialer: Dialer) -> None:
        assert dialer.health.reachable is None

    run(wire, use)
    assert wire.connections == 0
