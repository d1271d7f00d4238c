"""The lab's auto-dialer on a real Asterisk: who is said to have hung up, and that calls can be moved and ended."""

from __future__ import annotations

import json
import os
import queue
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.box import eventually
from tests.lab.appliance import CAMPAIGN
from tests.lab.asterisk.config import Autodialer
from tests.lab.asterisk.server import Asterisk
from tests.lab.dialer.exchange import Exchange, Routed
from tests.lab.processes import free_ports
from tests.lab.telling import TellingProcess

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: the lab's Asterisk runs in a chroot")
STAYS, LEAVES = "4155550001", "4155550002"
CALL_ID, CLOSER_ID = "V1221347110000000010", "Y1221347120000000010"


class Told:
    """A routing whose decisions and news come out of `events`; `exten` None makes a call wait."""

    def __init__(self) -> None:
        self.events: queue.Queue[tuple[str, ...]] = queue.Queue()
        self.exten: str | None = "8371"
        self.open = True

    def answered(self, lead_id: int, channel: str) -> Routed | None:
        self.events.put(("answered", str(lead_id), channel))
        return Routed(CALL_ID, self.exten) if self.open else None

    def box_hung_up(self, call_id: str) -> None:
        self.events.put(("box_hung_up", call_id))

    def customer_hung_up(self, call_id: str) -> None:
        self.events.put(("customer_hung_up", call_id))

    def ended(self, call_id: str) -> None:
        self.events.put(("ended", call_id))

    def next(self) -> tuple[str, ...]:
        return self.events.get(timeout=15)


@dataclass
class Site:
    exchange: Exchange
    told: Told
    asterisk: Asterisk
    customers: TellingProcess
    folder: Path

    def phone(self, *lines: str) -> TellingProcess:
        account = [self.asterisk.address, self.asterisk.phone.extension, self.asterisk.phone.secret]
        return TellingProcess(["tests.integration.phone", *account, *lines], self.folder / "phone.jsonl")

    def over(self) -> None:
        """Nobody is up any more, and nothing is left to be told."""
        eventually(lambda: self.asterisk.channels() == 0, "the end of all calls")
        self.told.events = queue.Queue()
        self.told.exten, self.told.open = self.asterisk.phone.extension, True

    def placed(self, number: str) -> str:
        """Call somebody; their channel when they have been routed."""
        self.exchange.place(number, 10)
        event = self.told.next()
        assert event[:2] == ("answered", "10")
        return event[2]


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    tmp_path = tmp_path_factory.mktemp("exchange")
    sip_port, rtp_port, plan = free_ports(), free_ports(32), tmp_path / "plan.json"
    who = {STAYS: "silent", LEAVES: "day/leaves_1s"}
    plan.write_text(json.dumps({"sip_port": sip_port, "rtp_port": rtp_port, "campaign": str(CAMPAIGN), "customers": who}))
    autodialer = Autodialer(manager_port=free_ports(), agi_port=free_ports())
    told = Told()
    with (
        TellingProcess(["tests.lab.customers", plan], tmp_path / "customers.jsonl") as customers,
        Asterisk(sip_port, autodialer=autodialer) as asterisk,
        Exchange(asterisk, told) as exchange,
    ):
        customers.wait_for("ready", 30)
        yield Site(exchange, told, asterisk, customers, tmp_path)
        assert exchange.refused == []


@pytest.fixture
def site(started: Site) -> Iterator[Site]:
    yield started
    started.over()


def test_a_customer_who_leaves_is_told_from_a_phone_that_hangs_up(site: Site) -> None:
    with site.phone(*["Hello."] * 3) as phone:
        site.asterisk.wait_registered()
        site.placed(LEAVES)
        assert phone.wait_for("incoming")["name"] == CALL_ID
        assert [site.told.next(), site.told.next()] == [("customer_hung_up", CALL_ID), ("ended", CALL_ID)]
        site.placed(STAYS)
        phone.wait_for("incoming")
        phone.close()  # it hangs up, and ends
        assert [site.told.next(), site.told.next()] == [("box_hung_up", CALL_ID), ("ended", CALL_ID)]


def test_the_dialer_moves_a_call_to_a_closer_and_ends_another(site: Site) -> None:
    with site.phone(*["Hello."] * 3) as phone:
        site.asterisk.wait_registered()
        customer = site.placed(STAYS)
        phone.wait_for("incoming")
        site.exchange.redirect(customer, "default", "90009*SALESLINE**10**4155550001**9001**")
        phone.wait_for("ended")
        site.exchange.deliver(customer, CLOSER_ID, "8379")
        eventually(lambda: "!8379!" in site.asterisk.cli("core show channels concise"), "the closer's call")
        assert f"Caller ID Name: {CLOSER_ID}\n" in site.asterisk.cli(f"core show channel {customer}")
        assert site.told.next() == ("ended", CALL_ID)
        customer = site.placed(STAYS)
        phone.wait_for("incoming")
        site.exchange.hangup(customer)
        assert site.told.next() == ("ended", CALL_ID)
    assert site.asterisk.voicemail_hits() == []


def test_a_customer_waits_for_a_line(site: Site) -> None:
    site.told.exten = None
    with site.phone(*["Hello."] * 3) as phone:
        site.asterisk.wait_registered()
        customer = site.placed(STAYS)
        site.exchange.deliver(customer, CALL_ID, "8371")
        assert phone.wait_for("incoming")["name"] == CALL_ID
    assert site.told.next() == ("box_hung_up", CALL_ID)


def test_a_customer_who_waits_may_leave(site: Site) -> None:
    site.told.exten = None
    site.placed(LEAVES)
    assert [site.told.next(), site.told.next()] == [("customer_hung_up", CALL_ID), ("ended", CALL_ID)]


def test_a_customer_for_whom_there_is_nobody_is_let_go(site: Site) -> None:
    site.told.open = False
    site.placed(STAYS)
    eventually(lambda: site.asterisk.channels() == 0, "the end of the call")
