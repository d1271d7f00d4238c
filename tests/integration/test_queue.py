"""The queue's dialer against a real Asterisk with app_queue, and a caller who waits in the queue."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
from pydantic import SecretStr

from appliance.calls.events import Incoming
from appliance.config.settings import Queue
from appliance.dialers import queue as queue_module
from appliance.dialers.protocol import Control, Controlled
from appliance.dialers.queue import QueueDialer
from appliance.sip.endpoint import SipEndpoint
from tests.box import eventually
from tests.integration.queue_pbx import QUEUE, SECRET, USER, drop_callers, enter_caller, furnish
from tests.lab.asterisk.server import Asterisk
from tests.lab.processes import free_ports
from tests.sip.conftest import Inbox
from tests.sip.far_end import settings

DONE = Controlled(Control.DONE)


@pytest.fixture
def manager_port() -> int:
    return free_ports()


@pytest.fixture
def pbx(request: pytest.FixtureRequest, manager_port: int) -> Iterator[Asterisk]:
    with Asterisk(free_ports(), dialer=getattr(request, "param", "asterisk16")) as started:
        furnish(started, manager_port)
        yield started


def dialer(manager_port: int, **changes: Any) -> QueueDialer:
    fields: dict[str, Any] = {"manager": f"127.0.0.1:{manager_port}", "user": USER, "password": SECRET, "queue": QUEUE}
    return QueueDialer(Queue.model_validate({**fields, **changes}), settings(), transfer_to="")


def run(use: Callable[[QueueDialer], Coroutine[Any, Any, None]], made: QueueDialer) -> None:
    async def used() -> None:
        try:
            await use(made)
        finally:
            await made.close()

    asyncio.run(used())


def members(pbx: Asterisk) -> str:
    """The queue's members as its console lists them, without colours; "" when there are none."""
    listed = re.sub(r"\x1b\[[0-9;]*m", "", pbx.cli(f"queue show {QUEUE}"))
    return listed.partition("Members:")[2].partition("No Callers")[0].strip()


async def until(condition: Callable[[], bool], what: str) -> None:
    await asyncio.to_thread(eventually, condition, what)


@pytest.mark.parametrize("pbx", ["asterisk16", "asterisk22"], indirect=True)
def test_a_caller_in_the_queue_reaches_our_phone_and_while_we_are_paused_does_not(pbx: Asterisk, manager_port: int) -> None:
    events = Inbox()
    phone = SipEndpoint(settings(registrar=pbx.address, password=SecretStr(pbx.phone.secret), trusted=[]), 3, events.put)
    phone.start()
    phone.register()
    pbx.wait_registered()

    async def use(made: QueueDialer) -> None:
        assert await made.capacity(0) == DONE
        assert "paused:Sidetone" in members(pbx)
        enter_caller(pbx)
        await until(lambda: "has 1 calls" in pbx.cli(f"queue show {QUEUE}"), "a caller")
        await asyncio.sleep(0.3)
        assert phone.unanswered == 0
        assert await made.capacity(3) == DONE
        incoming = await asyncio.to_thread(events.of, Incoming)
        assert phone.unanswered == 1
        phone.answer(incoming.call)
        await until(lambda: "In use" in members(pbx), "a call that the queue knows of")

    try:
        run(use, dialer(manager_port))
        assert members(pbx) == ""
        drop_callers(pbx)
    finally:
        phone.stop(3.0)


def test_after_the_pbx_restarted_we_are_a_member_again(
    pbx: Asterisk, manager_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue_module, "RETRY_S", (0.05, 0.1))

    async def use(made: QueueDialer) -> None:
        assert await made.capacity(3) == DONE
        first = members(pbx)
        assert "Sidetone 8371 (SIP/8371)" in first
        pbx.kill()
        await until(lambda: made.health.reachable is False, "a loss")
        assert (await made.capacity(3)).how is Control.FAILED
        await asyncio.to_thread(pbx.restart, away_s=0.0)
        await until(lambda: "Sidetone 8371 (SIP/8371)" in members(pbx), "a member again")
        await until(lambda: made.health.reachable is True, "health")
        assert "paused" not in members(pbx)

    run(use, dialer(manager_port))


def test_a_queue_that_lost_us_while_the_connection_stayed_gets_us_back(
    pbx: Asterisk, manager_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue_module, "CHECK_S", 0.1)

    async def use(made: QueueDialer) -> None:
        assert await made.capacity(0) == DONE
        pbx.cli(f"queue remove member SIP/8371 from {QUEUE}")
        await until(lambda: "paused:Sidetone" in members(pbx), "a paused member again")

    run(use, dialer(manager_port))


def test_a_wrong_password_is_tried_once(pbx: Asterisk, manager_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue_module, "RETRY_S", (0.01, 0.02))

    async def use(made: QueueDialer) -> None:
        assert (await made.capacity(3)).how is Control.FAILED
        assert made.health.locked
        await asyncio.sleep(0.2)
        again = await made.capacity(3)
        assert again.detail == "the manager interface refuses the user sidetone or its password"

    run(use, dialer(manager_port, password="wrong-Sesame"))
    assert pbx.log().count("failed to authenticate as 'sidetone'") == 1


def test_the_password_is_in_no_log(pbx: Asterisk, manager_port: int, caplog: pytest.LogCaptureFixture) -> None:
    async def use(made: QueueDialer) -> None:
        assert await made.capacity(3) == DONE
        pbx.kill()
        await until(lambda: made.health.reachable is False, "a loss")

    with caplog.at_level(logging.DEBUG):
        run(use, dialer(manager_port))
    assert f"queue {QUEUE}: " in caplog.text
    assert SECRET not in caplog.text


def test_a_pause_by_somebody_at_the_pbx_stays_until_we_paused_ourselves(
    pbx: Asterisk, manager_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue_module, "CHECK_S", 0.05)

    async def use(made: QueueDialer) -> None:
        assert await made.capacity(3) == DONE
        pbx.cli(f"queue pause member SIP/8371 queue {QUEUE} reason lunch")
        await until(lambda: "paused" in made.health.detail, "that it is told")
        assert await made.capacity(2) == DONE
        assert "paused:lunch" in members(pbx)
        assert await made.capacity(0) == DONE
        assert await made.capacity(2) == DONE
        assert "paused" not in members(pbx)
        assert made.health.detail == ""

    run(use, dialer(manager_port))


def test_a_member_by_the_pbxs_own_files_is_left_there_and_paused(pbx: Asterisk, manager_port: int) -> None:
    with (pbx.home / "etc" / "queues.conf").open("a") as queues:
        queues.write("member => SIP/8371,0,Robot\n")
    pbx.cli("queue reload all")

    async def use(made: QueueDialer) -> None:
        assert await made.capacity(3) == DONE
        assert "paused" not in members(pbx)

    run(use, dialer(manager_port, interface="SIP/8371"))
    assert re.search(r"^Robot \(SIP/8371\).*paused:Sidetone", members(pbx))


def test_what_an_operator_must_mend_is_told_in_the_pbxs_words(pbx: Asterisk, manager_port: int) -> None:
    async def no_such_queue(made: QueueDialer) -> None:
        assert await made.capacity(3) == Controlled(Control.FAILED, "Unable to add interface to queue: No such queue")
        assert made.health.reachable is True
        assert made.health.detail == "Unable to add interface to queue: No such queue"

    run(no_such_queue, dialer(manager_port, queue="sales"))

    async def no_such_phone(made: QueueDialer) -> None:
        told = await made.capacity(3)
        assert told.detail == "PJSIP/8372 is no phone of this PBX: set dialer.queue.interface"

    run(no_such_phone, dialer(manager_port, interface="PJSIP/8372"))
    pbx.cli("manager reload")
    manager = pbx.home / "etc" / "manager.conf"
    manager.write_text(manager.read_text().replace("write=agent", "write=call"))
    pbx.cli("manager reload")

    async def no_permission(made: QueueDialer) -> None:
        assert await made.capacity(3) == Controlled(Control.FAILED, "Permission denied")

    run(no_permission, dialer(manager_port))
