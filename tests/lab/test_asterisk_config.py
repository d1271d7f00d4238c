from __future__ import annotations

import re
from dataclasses import replace

import pytest

from tests.lab.asterisk.config import Autodialer, Phone, Plan, call_file, files
from tests.lab.asterisk.server import BUILD, DIALERS, Asterisk, MailboxHit, default_dialer, dialer_caller_id

PLAN = Plan("/lab/a", "/usr/lib/asterisk/modules", 5062, 20000, 20199, 5080, (Phone("8371", "s3cret"), Phone("8379", "other")))


@pytest.mark.parametrize("pjsip", [False, True])
def test_the_mailbox_is_the_phones_second_priority(pjsip: bool) -> None:
    dialplan = files(PLAN, pjsip=pjsip)["extensions.conf"]
    driver = "PJSIP" if pjsip else "SIP"
    assert f"exten => 8371,1,Dial({driver}/8371,20,)\nexten => 8371,2,Goto(mailbox,8371,1)" in dialplan
    assert "exten => 8379,1,Dial" in dialplan


def test_the_peer_is_as_vicidial_generates_it() -> None:
    peer = files(PLAN, pjsip=False)["sip.conf"].partition("[8371]")[2].partition("[8379]")[0].split("\n")
    assert {"username=8371", "secret=s3cret", "type=friend", "host=dynamic", "disallow=all", "allow=ulaw"} <= set(peer)


@pytest.mark.parametrize("pjsip", [False, True])
def test_everything_is_bound_to_loopback(pjsip: bool) -> None:
    made = files(PLAN, pjsip=pjsip)
    binds = re.findall(r"^(?:udp|tcp)?bind(?:addr)?=(\S+)", made["pjsip.conf" if pjsip else "sip.conf"], re.MULTILINE)
    assert binds == ["127.0.0.1:5062"] * 2


@pytest.mark.parametrize("pjsip", [False, True])
def test_the_manager_interface_is_there_for_an_autodialer_alone(pjsip: bool) -> None:
    assert "enabled=no" in files(PLAN, pjsip=pjsip)["manager.conf"]
    assert "res_agi.so" not in files(PLAN, pjsip=pjsip)["modules.conf"]
    made = files(replace(PLAN, autodialer=Autodialer(5038, 4573, secret="s3same")), pjsip=pjsip)
    assert "bindaddr=127.0.0.1\nport=5038\n[cron]\nsecret=s3same\n" in made["manager.conf"]
    assert "res_agi.so" in made["modules.conf"]
    assert "exten => 8368,1,AGI(agi://127.0.0.1:4573/route,${LEAD})" in made["extensions.conf"]
    assert "exten => _90009*.,1,AGI(agi://127.0.0.1:4573/ingroup)" in made["extensions.conf"]


def test_the_default_dialer_is_one_that_is_there() -> None:
    there = [name for name in DIALERS if (BUILD / name).is_dir()]
    assert default_dialer() == (there or ["asterisk16"])[0]


def test_a_call_id_is_20_characters_and_ends_with_the_lead() -> None:
    made = dialer_caller_id(4711, 0)
    assert re.fullmatch(r"V\d{19}", made)
    assert int(made[10:20]) == 4711


def test_the_customer_is_rung_before_the_phone() -> None:
    text = call_file("4155550101", "V1221702540000004711", PLAN.phones[0], pjsip=False)
    assert text.startswith("Channel: SIP/carrier/4155550101\n")
    assert "Context: dialer\nExtension: 8371\n" in text


def test_mailbox_hits_are_read_back() -> None:
    text = "8371 V1221702540000004711 4155550101 CHANUNAVAIL\n8371  NOANSWER\n"
    assert list(Asterisk._hits(text)) == [
        MailboxHit("8371", "V1221702540000004711", "4155550101", "CHANUNAVAIL"),
        MailboxHit("8371", "", "", "NOANSWER"),
    ]
