"""The lab itself against a real Asterisk, with a stand-in phone in the appliance's place."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.appliance import CAMPAIGN
from tests.lab.asterisk.server import Asterisk, MailboxHit, dialer_caller_id
from tests.lab.bench import spoken_turn
from tests.lab.capture import Capture, Follower
from tests.lab.meter import measure
from tests.lab.processes import free_ports
from tests.lab.rtp import parse, rebuild
from tests.lab.telling import TellingProcess

NUMBER = "4155550101"
RTP_PORTS = 32
AGENT_SAYS = (
    "Hello. Do you own your home?",
    "Is your home insured right now?",
    "Goodbye.",
)


class Carrier:
    """A customer's user agent with one persona and the ports it was given."""

    def __init__(self, folder: Path, persona: str) -> None:
        self.sip_port = free_ports()
        self.rtp_port = free_ports(RTP_PORTS)
        plan = folder / "plan.json"
        plan.write_text(
            json.dumps(
                {
                    "sip_port": self.sip_port,
                    "rtp_port": self.rtp_port,
                    "campaign": str(CAMPAIGN),
                    "customers": {NUMBER: persona},
                }
            )
        )
        self.process = TellingProcess(["tests.lab.customers", plan], folder / "customers.jsonl")


@pytest.fixture
def carrier(tmp_path: Path) -> Iterator[Carrier]:
    made = Carrier(tmp_path, "interested")
    with made.process:
        yield made


@pytest.fixture(params=["asterisk16", "asterisk22"])
def asterisk(request: pytest.FixtureRequest, carrier: Carrier) -> Iterator[Asterisk]:
    with Asterisk(carrier.sip_port, dialer=request.param) as started:
        yield started


def phone(asterisk: Asterisk, folder: Path, *lines: str) -> TellingProcess:
    account = [asterisk.address, asterisk.phone.extension, asterisk.phone.secret]
    return TellingProcess(["tests.integration.phone", *account, *lines], folder / "phone.jsonl")


def test_a_customer_and_a_phone_talk_and_the_meter_finds_the_phones_delay(
    asterisk: Asterisk, carrier: Carrier, tmp_path: Path
) -> None:
    caller_id = dialer_caller_id(4711, 0)
    path = tmp_path / "wire.pcap"
    ports = range(carrier.rtp_port, carrier.rtp_port + RTP_PORTS)
    with Capture(path, ports), phone(asterisk, tmp_path, *AGENT_SAYS) as agent:
        agent.wait_for("ready")
        asterisk.wait_registered()
        carrier.process.wait_for("ready", 30)
        asterisk.call(NUMBER, caller_id)
        incoming = agent.wait_for("incoming")
        assert (incoming["name"], incoming["number"]) == (caller_id, NUMBER)
        answered = carrier.process.wait_for("answered")
        turns = [spoken_turn(carrier.process.wait_for("turn", 20)) for _ in range(2)]
        assert [turn.text for turn in turns] == ["Yes, I do.", "Yes, it is insured."]
        delays = [agent.wait_for("replied")["delay_ms"] for _ in range(2)]
        ended = carrier.process.wait_for("ended", 20)
    assert ended["by"] == "agent"
    assert asterisk.voicemail_hits() == []
    port = int(answered["rtp"].rpartition(":")[2])
    packets = [(d.source, d.target, p) for d in Follower(path).new() if (p := parse(d)) is not None]
    caller = rebuild(p for source, _, p in packets if source == port)
    heard = rebuild(p for _, target, p in packets if target == port)
    report = measure(caller, heard, turns, since_s=answered["at"], until_s=ended["at"])
    assert report.discarded == []
    assert report.cut_offs == []
    # The phone's ear is cruder, and behind two jitter buffers: the exact test of the meter is its calibration.
    for gap, delay_ms in zip(report.gaps, delays, strict=True):
        assert abs(gap.gap_ms - delay_ms) < 150


def test_without_a_phone_the_customer_lands_in_the_voicemail_box_and_is_counted(
    asterisk: Asterisk, carrier: Carrier, tmp_path: Path
) -> None:
    carrier.process.wait_for("ready", 30)
    assert not asterisk.registered()
    caller_id = dialer_caller_id(5, 0)
    asterisk.call(NUMBER, caller_id)
    carrier.process.wait_for("answered")
    hits = _hits(asterisk, 1)
    assert (hits[0].extension, hits[0].caller_name, hits[0].number) == (asterisk.phone.extension, caller_id, NUMBER)
    assert hits[0].dial_status == "CHANUNAVAIL"
    asterisk.restart()
    assert len(asterisk.voicemail_hits()) == 1


def _hits(asterisk: Asterisk, count: int) -> list[MailboxHit]:
    deadline = time.monotonic() + 10
    while len(hits := asterisk.voicemail_hits()) < count:
        assert time.monotonic() < deadline, "nobody was counted in the voicemail box"
        time.sleep(0.05)
    return hits


def test_a_restarted_dialer_has_forgotten_its_phones(asterisk: Asterisk, tmp_path: Path) -> None:
    with phone(asterisk, tmp_path, "Hello.") as agent:
        agent.wait_for("ready")
        asterisk.wait_registered()
        asterisk.restart(graceful=True, forget=False)
        assert asterisk.registered()
        assert asterisk.restart() < 5
        assert not asterisk.registered()


def test_nothing_is_left_behind() -> None:
    with Asterisk(free_ports()) as started:
        home = started.home
        assert re.search(r"Asterisk 16\.", started.cli("core show version"))
    assert not home.exists()
    assert started.cli("core show version") == ""
