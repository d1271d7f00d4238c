from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from appliance.api import client as client_module
from appliance.api.client import ApiClient
from appliance.errors import ApiError
from tests.api.test_server import run


@pytest.mark.parametrize("make", [lambda p: None, lambda p: p.write_text("")])
def test_no_daemon_is_an_error_with_a_hint(tmp_path: Path, make: object) -> None:
    assert callable(make)
    make(tmp_path / "api.sock")

    async def main() -> None:
        with pytest.raises(ApiError, match="no sidetone is running here") as caught:
            await ApiClient(tmp_path / "api.sock").status()
        assert caught.value.hint == "start it: sidetone run"

    run(main)


def test_a_path_that_is_too_long_is_an_error(tmp_path: Path) -> None:
    async def main() -> None:
        with pytest.raises(ApiError, match="cannot connect"):
            await ApiClient(tmp_path / ("x" * 120)).status()

    run(main)


def test_a_daemon_that_does_not_answer_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "ANSWER_S", 0.05)

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async def main() -> None:
        async with await asyncio.start_unix_server(silent, tmp_path / "api.sock"):
            with pytest.raises(ApiError, match="no answer within"):
                await ApiClient(tmp_path / "api.sock").status()

    run(main)


def test_a_daemon_that_hangs_up_is_an_error(tmp_path: Path) -> None:
    async def rude(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.close()

    async def main() -> None:
        async with await asyncio.start_unix_server(rude, tmp_path / "api.sock"):
            with pytest.raises(ApiError, match="closed the connection without an answer"):
                await ApiClient(tmp_path / "api.sock").drain()

    run(main)
