from __future__ import annotations

from ipaddress import IPv4Network

import pytest

from appliance.sip.trust import TELL_S, Trust


def test_the_registrar_may_call_from_any_port_and_only_the_last_one() -> None:
    trust = Trust([])
    assert not trust.admits("10.0.0.5:5060")
    trust.registered_at("10.0.0.5:5060")
    assert trust.admits("10.0.0.5:49152")
    assert not trust.admits("10.0.0.6:5060")
    trust.registered_at("10.0.0.6:5060")
    assert not trust.admits("10.0.0.5:5060")


def test_the_registrars_own_addresses_may_call_from_the_first_moment_on() -> None:
    trust = Trust([])
    trust.registrar_is_at(["10.0.0.5", "10.0.0.6"])
    assert trust.admits("10.0.0.5:5060")
    trust.registered_at("10.0.0.7:5060")
    assert trust.admits("10.0.0.6:5060")
    assert trust.admits("10.0.0.7:5060")
    assert not trust.admits("10.0.0.8:5060")


def test_trusted_networks_may_call_without_a_registration() -> None:
    trust = Trust([IPv4Network("10.0.1.0/24"), IPv4Network("10.0.2.7")])
    assert trust.admits("10.0.1.255:5060")
    assert trust.admits("10.0.2.7:5060")
    assert not trust.admits("10.0.2.8:5060")


@pytest.mark.parametrize("source", ["", ":", "10.0.0.5", "[::1]:5060", "host:5060"])
def test_a_source_that_is_no_ipv4_address_is_a_stranger(source: str) -> None:
    trust = Trust([IPv4Network("0.0.0.0/0")])
    assert not trust.admits(source)
    trust.registered_at(source)
    assert not trust.admits(source)


def test_strangers_are_told_of_once_a_minute() -> None:
    trust = Trust([])
    first = trust.refuse("203.0.113.9:5060", 100.0)
    assert first == "refused a call from 203.0.113.9: neither the registrar nor in sip.trusted"
    assert [trust.refuse("203.0.113.9:5060", 101.0 + n) for n in range(3)] == [None] * 3
    later = trust.refuse("203.0.113.8:5060", 100.0 + TELL_S)
    assert later == "refused 4 calls, the last from 203.0.113.8: neither the registrar nor in sip.trusted"
    assert trust.refused == 5
