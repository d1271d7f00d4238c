"""The guard's hand on a queue, and the doctor's look at it, against a real Asterisk with app_queue."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import SecretStr

from appliance.config.settings import Queue
from appliance.dialers.protocol import ALREADY_SO, Control, Controlled
from appliance.dialers.queue import QueueDialer
from appliance.dialers.queue_switch import QueueSwitch
from appliance.doctor.findings import Level
from appliance.doctor.queue import examine_queue
from tests.integration.queue_pbx import QUEUE, SECRET, USER, furnish
from tests.lab.asterisk.server import Asterisk
from tests.lab.processes import free_ports
from tests.sip.far_end import settings

DONE, SAME = Controlled(Control.DONE), Controlled(Control.DONE, ALREADY_SO)


class Pbx:
    def __init__(self, asterisk: Asterisk, port: int) -> None:
        self.asterisk = asterisk
        self.fields: dict[str, Any] = {
            "manager": f"127.0.0.1:{port}",
            "user": USER,
            "password": SECRET,
            "queue": QUEUE,
            "interface": f"SIP/{asterisk.phone.extension}",
        }

    def queue(self, **changes: Any) -> Queue:
        return Queue.model_validate(self.fields | changes)

    def members(self) -> str:
        listed = re.sub(r"\x1b\[[0-9;]*m", "", self.asterisk.cli(f"queue show {QUEUE}"))
        return listed.partition("Members:")[2].partition("No Callers")[0].strip()


@pytest.fixture(scope="module")
def pbx() -> Iterator[Pbx]:
    port = free_ports()
    with Asterisk(free_ports()) as started:
        furnish(started, port)
        yield Pbx(started, port)


def test_the_daemons_member_is_paused_and_resumed_and_stays_a_member(pbx: Pbx) -> None:
    async def use() -> None:
        sip = settings(username=pbx.asterisk.phone.extension)
        daemon, switch = QueueDialer(pbx.queue(), sip, ""), QueueSwitch(pbx.queue(), sip)
        try:
            assert await switch.capacity(0) == SAME  # no member: nobody is sent to us
            assert await daemon.capacity(2) == DONE
            assert "paused" not in pbx.members()
            assert await switch.capacity(0) == DONE
            assert "paused:Sidetone" in pbx.members()
            assert await switch.capacity(0) == SAME
            assert (await switch.capacity(2)).how is Control.LEG
            assert "paused" in pbx.members()
            assert await switch.capacity(2, resume=True) == DONE
            assert "paused" not in pbx.members()
            await switch.close()
            assert pbx.fields["interface"] in pbx.members()
        finally:
            await daemon.close()

    asyncio.run(use())


def test_a_wrong_password_is_tried_once(pbx: Pbx) -> None:
    async def use() -> None:
        switch = QueueSwitch(pbx.queue(password=SecretStr("Wrong-43-open")), settings())
        for _ in range(2):
            assert (await switch.capacity(0)).how is Control.FAILED
        assert switch.health.locked
        assert "Wrong-43-open" not in switch.health.detail

    before = pbx.asterisk.log().count("failed to authenticate")
    asyncio.run(use())
    assert pbx.asterisk.log().count("failed to authenticate") - before == 1


def test_a_pbx_that_is_not_there_is_no_lock(pbx: Pbx) -> None:
    switch = QueueSwitch(pbx.queue(manager=f"127.0.0.1:{free_ports()}"), settings())
    assert asyncio.run(switch.capacity(0)).how is Control.FAILED
    assert not switch.health.locked


def test_the_doctor_sees_the_queue_its_absence_and_a_wrong_password(pbx: Pbx) -> None:
    assert asyncio.run(examine_queue(pbx.queue())).level is Level.PASS
    finding = asyncio.run(examine_queue(pbx.queue(queue="nowhere")))
    assert (finding.level, "nowhere" in finding.found) == (Level.FAIL, True)
    finding = asyncio.run(examine_queue(pbx.queue(password=SecretStr("Wrong-43-open"))))
    assert (finding.level, "manager.conf" in finding.todo) == (Level.FAIL, True)
    assert "Wrong-43-open" not in str(finding)
