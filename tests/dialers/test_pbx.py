from __future__ import annotations

import asyncio

import pytest

from appliance.calls.events import Incoming
from appliance.dialers.pbx import PbxDialer
from appliance.dialers.protocol import Control, Controlled, Delivery, Dialer, DialerCall, Entry, EntryKind, Health

CALL = DialerCall("V1221347110000000010", 10)


@pytest.mark.parametrize(
    ("transfer_to", "to", "answer"),
    [
        ("8379", "", Controlled(Control.REFER, refer_to="8379")),
        ("8379", "sip:8380@10.0.0.9", Controlled(Control.REFER, refer_to="sip:8380@10.0.0.9")),
        ("", "8380", Controlled(Control.REFER, refer_to="8380")),
        ("", "", Controlled(Control.FAILED, "dialer.transfer_to is not set")),
    ],
)
def test_callers_are_handed_over_by_refer(transfer_to: str, to: str, answer: Controlled) -> None:
    dialer = PbxDialer(transfer_to)
    assert dialer.can_transfer is bool(transfer_to)
    assert asyncio.run(dialer.transfer(None, to, "XFER")) == answer


def test_it_knows_nothing_of_calls_and_owes_nothing() -> None:
    async def use(dialer: Dialer) -> None:
        incoming = Incoming("c", "V1221347110000000010", "4155550023", "x", ids=("V1221347110000000010",))
        assert dialer.identify(incoming) is None
        assert await dialer.find(incoming) is None
        assert await dialer.lead(CALL) is None
        assert await dialer.release(CALL, "NI") == Controlled(Control.LEG)
        assert await dialer.capacity(0) == Controlled(Control.LEG)
        assert await dialer.stranded(frozenset()) == []
        for kind in EntryKind:
            assert (await dialer.deliver(Entry(1, kind, CALL.call_id, 10, {}, created_at=0.0))).what is Delivery.DONE
        await dialer.close()
        assert dialer.health == Health()

    asyncio.run(use(PbxDialer("")))
