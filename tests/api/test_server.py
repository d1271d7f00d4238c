from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from appliance.api import server as server_module
from appliance.api import wire
from appliance.api.client import ApiClient
from appliance.api.server import ApiServer
from appliance.errors import ApiError
from tests.api.test_wire import STATUS, TURN


def run(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    async def limited() -> None:
        async with asyncio.timeout(10):
            await main()

    asyncio.run(limited())


@asynccontextmanager
async def serving(path: Path, asked: list[float | str | None] | None = None) -> AsyncIterator[ApiServer]:
    asked = asked if asked is not None else []
    server = ApiServer(path, snapshot=lambda: STATUS, drain=asked.append, retry_outbox=lambda: asked.append("retry"))
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


def test_status_and_requests(tmp_path: Path) -> None:
    async def main() -> None:
        asked: list[float | str | None] = []
        async with serving(tmp_path / "run" / "api.sock", asked):
            client = ApiClient(tmp_path / "run" / "api.sock")
            assert await client.status() == STATUS
            await client.drain(5)
            await client.drain()
            await client.retry_outbox()
        assert asked == [5, None, "retry"]

    run(main)


def test_subscribers_get_the_status_and_then_every_change_until_the_end(tmp_path: Path) -> None:
    async def main() -> None:
        path = tmp_path / "api.sock"
        async with serving(path) as server, ApiClient(path).subscribe() as one, ApiClient(path).subscribe() as two:
            assert await anext(one) == await anext(two) == STATUS
            server.publish(TURN)
            server.publish(wire.DrainStarted(1.0))
            await server.stop()
            for messages in (one, two):
                assert [m async for m in messages] == [TURN, wire.DrainStarted(1.0)]
        assert not path.exists()

    run(main)


def test_a_slow_subscriber_is_told_and_dropped_and_the_others_are_not(tmp_path: Path) -> None:
    big = wire.TurnHappened("c1", "agent", "x" * 10_000, 0, 1, None, False)

    async def main() -> None:
        path = tmp_path / "api.sock"
        async with serving(path) as server, ApiClient(path).subscribe() as slow, ApiClient(path).subscribe() as quick:
            await anext(slow)
            await anext(quick)
            sent = 0
            while not server.dropped:
                server.publish(big)
                sent += 1
                assert await anext(quick) == big
                assert sent < 3 * server_module.MAX_QUEUED
            received = 0
            with pytest.raises(ApiError, match="dropped because they were not read") as caught:
                async for _ in slow:
                    received += 1
            assert received + int(str(caught.value).split()[0]) == sent
            assert server.dropped == 1
            server.publish(TURN)
            assert await anext(quick) == TURN

    run(main)


def test_a_subscriber_that_never_reads_does_not_hold_up_the_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "LAST_WORDS_S", 0.1)

    async def main() -> None:
        path = tmp_path / "api.sock"
        with socket.socket(socket.AF_UNIX) as deaf:
            async with serving(path) as server:
                deaf.connect(str(path))
                deaf.sendall(wire.pack(wire.Subscribe()))
                async with ApiClient(path).subscribe() as other:  # answered in order, so deaf is subscribed too
                    await anext(other)
                    for _ in range(100):
                        server.publish(wire.TurnHappened("c1", "agent", "x" * 20_000, 0, 1, None, False))

    run(main)


@pytest.mark.parametrize("line", [b"GET / HTTP/1.1\r\n\r\n", b'{"type":"Status"}\n'])
def test_a_bad_request_is_refused_and_the_server_goes_on(tmp_path: Path, line: bytes) -> None:
    async def main() -> None:
        path = tmp_path / "api.sock"
        async with serving(path):
            reader, writer = await asyncio.open_unix_connection(str(path))
            writer.write(line)
            answer = await reader.read()
            assert answer.startswith(b'{"type":"Refused","message":"not a message')
            writer.close()
            assert (await ApiClient(path).status()) == STATUS

    run(main)


def test_a_shell_script_that_closes_its_side_still_gets_the_answer(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path / "api.sock"):
            reader, writer = await asyncio.open_unix_connection(str(tmp_path / "api.sock"))
            writer.write(b'{"type":"GetStatus"}\n')
            writer.write_eof()
            assert await reader.read() == wire.pack(STATUS)
            writer.close()

    run(main)


def test_too_many_connections_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "MAX_PEERS", 1)

    async def main() -> None:
        client = ApiClient(tmp_path / "api.sock")
        async with serving(tmp_path / "api.sock"), client.subscribe() as messages:
            await anext(messages)
            with pytest.raises(ApiError, match="connections are open already"):
                await client.status()

    run(main)


def test_only_owner_and_group_may_connect(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path / "api.sock"):
            assert (tmp_path / "api.sock").stat().st_mode & 0o777 == 0o660

    run(main)


def test_a_second_daemon_on_the_socket_is_an_error_and_the_first_goes_on(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path / "api.sock"):
            with pytest.raises(ApiError, match=rf"another sidetone runs here \(process {os.getpid()}\)") as caught:
                async with serving(tmp_path / "api.sock"):
                    pass
            assert caught.value.hint
            assert await ApiClient(tmp_path / "api.sock").status() == STATUS

    run(main)


def test_the_socket_of_a_killed_daemon_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "api.sock"
    code = f"""
import asyncio, pathlib
from appliance.api.server import ApiServer
async def main():
    await ApiServer(pathlib.Path({str(path)!r}), snapshot=None, drain=None, retry_outbox=None).start()
    print("up", flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as killed:
        assert killed.stdout is not None
        assert killed.stdout.readline() == b"up\n"
        killed.send_signal(signal.SIGKILL)
    assert path.is_socket()

    async def main() -> None:
        with pytest.raises(ApiError, match="no sidetone is running here"):
            await ApiClient(path).status()
        async with serving(path):
            assert await ApiClient(path).status() == STATUS

    run(main)


def test_a_path_that_cannot_be_listened_on_is_an_error_with_a_hint(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("precious")

    async def main() -> None:
        for path in (tmp_path / "file", tmp_path / "file" / "api.sock", tmp_path / ("x" * 120)):
            with pytest.raises(ApiError, match="cannot listen") as caught:
                await ApiServer(path, snapshot=lambda: STATUS, drain=lambda limit_s: None, retry_outbox=lambda: None).start()
            assert caught.value.hint

    run(main)
    assert (tmp_path / "file").read_text() == "precious"
