"""A process that owes and delivers, to be killed. It forks one for each line on its input: a start then takes no time.

Line: the outbox's path, the peer's port, a seed. Answer: the child's process id; and its exit status when it has ended.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
import time
from contextlib import closing
from pathlib import Path

from appliance.dialers.courier import Courier, Pace
from appliance.dialers.protocol import Delivered, Delivery, Entry, EntryKind
from appliance.store.outbox import OutboxStore, read_closed

LEADS = 8
ENTRIES = 240
PACE = Pace(first_s=0.002, most_s=0.01, probe_s=0.002, attempt_s=2)


class Peer:
    """The dialer, over TCP: LOOK or WRITE, an entry's name, its lead."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def deliver(self, entry: Entry) -> Delivered:
        found = await self._ask("LOOK", entry) if entry.attempts else "no"
        if found == "yes":
            return Delivered(Delivery.ALREADY)
        if found == "no" and await self._ask("WRITE", entry) == "written":
            return Delivered(Delivery.DONE)
        return Delivered(Delivery.LATER, "cut")

    async def _ask(self, what: str, entry: Entry) -> str:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            writer.write(f"{what} {entry.data['name']} {entry.lead_id}\n".encode())
            return (await reader.readline()).decode().strip()
        except ConnectionError:
            return ""
        finally:
            writer.close()


async def work(path: Path, port: int, seed: int) -> None:
    """Owe what an earlier one did not come to owe, then deliver everything."""
    by_chance = random.Random(seed)
    with closing(OutboxStore(path)) as outbox:
        courier = Courier(outbox, Peer(port).deliver, wall=time.time, alarm=lambda kind, text: None, pace=PACE)
        running = asyncio.create_task(courier.run())
        for n in range(len(outbox.pending()) + len(read_closed(path)) + 1, ENTRIES + 1):
            entry = courier.owe(EntryKind.LEAD, f"V{n}", n % LEADS, {"name": str(n)})
            if by_chance.random() < 0.3:
                await courier.deliver_now(entry, 0.02)
            await asyncio.sleep(0)
        while courier.counts.open:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        await courier.stop(1)
        await running


def main() -> None:
    for line in sys.stdin:
        path, port, seed = line.split()
        if (pid := os.fork()) == 0:
            asyncio.run(work(Path(path), int(port), int(seed)))
            os._exit(0)  # not back into the loop over the lines
        print(pid, flush=True)
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
