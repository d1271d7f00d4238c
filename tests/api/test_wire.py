from __future__ import annotations

import itertools
import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.api import wire
from appliance.errors import ApiError

STATUS = wire.Status(
    version="1.0",
    started_at="2026-01-02T03:04:05Z",
    lines=10,
    draining=False,
    registration=wire.Registration(wire.RegistrationState.REGISTERED),
    calls=[wire.ActiveCall("c1", "V123", "4155550123", "2026-01-02T03:04:06Z", "listening")],
    engines=[wire.EngineHealth("speech", True, {"voice": "flite"})],
    media=wire.Media(1, 2, 3),
    store=wire.StoreHealth(),
)
TURN = wire.TurnHappened("c1", "agent", "Zoë said:\n“yes”\u2028", 1.0, 2.5, 310.0, False)
MESSAGES: list[wire.FromDaemon] = [
    STATUS,
    TURN,
    wire.RegistrationChanged(wire.Registration(wire.RegistrationState.REFUSED, "wrong password")),
    wire.CallStarted("c2", "", "", "2026-01-02T03:04:06Z"),
    wire.CallEnded("c2", "completed", {"owner": "yes"}, 61.2, "/r/a.flac", None),
    wire.EngineChanged(wire.EngineHealth("mind", False, {}, 2)),
    wire.MediaChanged(wire.Media()),
    wire.StoreChanged(wire.StoreHealth(False, "disk full", 3, 1.5)),
    wire.DrainStarted(60.0),
    wire.FellBehind(1001),
    wire.Accepted(),
    wire.Refused("no", "hint"),
]


@given(cuts=st.lists(st.integers(0, 4000), max_size=20))
def test_messages_survive_any_cutting_of_the_bytes(cuts: list[int]) -> None:
    whole = b"".join(map(wire.pack, MESSAGES))
    edges = [0, *sorted(min(c, len(whole)) for c in cuts), len(whole)]
    unpacker = wire.from_daemon()
    got = [m for a, b in itertools.pairwise(edges) for m in unpacker.feed(whole[a:b])]
    assert got == MESSAGES


def test_every_message_is_one_line_of_json_with_its_type() -> None:
    for message in MESSAGES:
        packed = wire.pack(message)
        assert packed.count(b"\n") == 1
        assert json.loads(packed)["type"] == type(message).__name__


def test_requests_can_be_typed_by_hand() -> None:
    lines = b'{"type":"GetStatus"}\n{"type":"Subscribe"}\r\n{"type":"Drain"}\n{"type":"Drain","limit_s":5,"later":1}\n'
    lines += b'{"type":"RetryOutbox"}\n'
    asked = [wire.GetStatus(), wire.Subscribe(), wire.Drain(), wire.Drain(5.0), wire.RetryOutbox()]
    assert list(wire.to_daemon().feed(lines)) == asked


NO_MESSAGES = [b"", b"hello", b'{"type":"Nothing"}', b"[]", b"\xff\xfe", b'{"type":"Drain","limit_s":"x"}']


@pytest.mark.parametrize("line", NO_MESSAGES)
def test_what_is_no_message_is_an_error(line: bytes) -> None:
    with pytest.raises(ApiError, match="not a message"):
        list(wire.to_daemon().feed(line + b"\n"))


def test_an_endless_line_is_an_error() -> None:
    unpacker = wire.to_daemon()
    assert list(unpacker.feed(b"x" * wire.MAX_LINE_BYTES)) == []
    with pytest.raises(ApiError, match="a line of more than"):
        list(unpacker.feed(b"x"))


def test_status_as_json_is_what_goes_on_the_wire() -> None:
    assert STATUS.as_json() == json.loads(wire.pack(STATUS))
    assert msgspec.convert(STATUS.as_json(), wire.Status) == STATUS
