"""`kill -9` in the middle of delivering: a real process, a real connection, a real file."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
from collections import Counter
from contextlib import suppress
from pathlib import Path

from appliance.store.outbox import read_closed, read_outbox
from tests.dialers import courier_child
from tests.dialers.courier_child import ENTRIES, LEADS

KILLS = 30


class Site:
    """Counts writes. It cuts connections by chance, before or after the write, and kills who sent request number `kill_in`."""

    def __init__(self, by_chance: random.Random) -> None:
        self._chance = by_chance
        self.writes: list[tuple[str, int]] = []
        self.found = 0
        self.victim: asyncio.Future[int] = asyncio.Future()
        self.kill_in = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = (await reader.readline()).decode().split()
            if len(request) == 3:
                await self._answer(request[0], request[1], int(request[2]), writer)
        except ConnectionError:
            pass  # it was killed
        finally:
            writer.close()

    async def _answer(self, what: str, name: str, lead: int, writer: asyncio.StreamWriter) -> None:
        self.kill_in -= 1
        kill_at = self._chance.choice(("before", "written", "told", "soon")) if self.kill_in == 0 else ""
        if kill_at == "before":
            await self.kill()
        elif not kill_at and self._chance.random() < 0.05:
            return
        written = any(name == known for known, _ in self.writes)
        if what == "WRITE":
            self.writes.append((name, lead))
        else:
            self.found += written
        if kill_at == "written":
            await self.kill()
        elif not kill_at and self._chance.random() < 0.1:
            return
        writer.write(b"written\n" if what == "WRITE" else b"yes\n" if written else b"no\n")
        await writer.drain()
        if kill_at == "told":
            await self.kill()
        elif kill_at == "soon":
            await asyncio.sleep(self._chance.random() * 0.004)
            await self.kill()

    async def kill(self) -> None:
        with suppress(ProcessLookupError):  # then it has ended by itself, and the test says so
            os.kill(await self.victim, signal.SIGKILL)


async def life(nursery: asyncio.subprocess.Process, order: str, site: Site, kill_in: int) -> int:
    """One child, till it has ended; its exit status."""
    assert nursery.stdin is not None
    assert nursery.stdout is not None
    site.kill_in, site.victim = kill_in, asyncio.Future()
    nursery.stdin.write(order.encode())
    site.victim.set_result(int(await nursery.stdout.readline()))
    return int(await nursery.stdout.readline())


async def day(path: Path, by_chance: random.Random) -> tuple[Site, list[int]]:
    site = Site(by_chance)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    nursery = await asyncio.create_subprocess_exec(sys.executable, courier_child.__file__, stdin=-1, stdout=-1, env=environment)
    server = await asyncio.start_server(site.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        async with asyncio.timeout(60):
            ends = []
            for n in range(KILLS + 1):
                kill_in = by_chance.randint(1, 9) if n < KILLS else 0
                ends.append(await life(nursery, f"{path} {port} {n}\n", site, kill_in))
    finally:
        nursery.kill()
        await nursery.wait()
        server.close()
        await server.wait_closed()
    return site, ends


def test_everything_is_delivered_exactly_once_and_in_order_through_thirty_kills(tmp_path: Path) -> None:
    path = tmp_path / "outbox.db"
    site, ends = asyncio.run(day(path, random.Random(3)))
    assert ends == [-signal.SIGKILL] * KILLS + [0]
    names = [str(n) for n in range(1, ENTRIES + 1)]
    assert Counter(name for name, _ in site.writes) == Counter(names)
    for lead in range(LEADS):
        assert [name for name, of in site.writes if of == lead] == [name for name in names if int(name) % LEADS == lead]
    assert read_outbox(path) == []
    assert len(read_closed(path)) == ENTRIES
    assert site.found > KILLS / 4, "so many would have been written twice"
