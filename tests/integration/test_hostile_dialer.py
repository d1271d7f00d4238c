"""Whatever a dialer says, in its INVITEs and over its API, the caller hears nothing of it: the real command, end to end."""

from __future__ import annotations

import itertools
import sqlite3
import statistics
import struct
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing

import pytest

from appliance.bench.peer import HOST, Caller, lateness_ms
from tests.box import Box, eventually
from tests.doctor.site import vicidial
from tests.fakes.vicidial import Double, FaultKind
from tests.integration.wire_dialer import WireDialer
from tests.lab.processes import free_ports

SILENCE = b"\xff" * 160
LOUD = 0x3F  # a byte of PCMU, inverted and without its sign: 25 dB under the loudest
SPEAK_S = 0.6
LINES = 24  # more than any test has up at once
CALLERS = 40
LATE_BY_CHANCE = 3
TIMEOUT_S = 0.5
GONE_LEAD = "V1221347110000999999"


class Listener(Caller):
    """A caller who is silent till told to speak, and notes when the box is heard."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.called_at_s = 0.0
        self.speaks_until_s = 0.0
        self.heard_at_s: list[float] = []

    def send_frame(self) -> None:
        if self.remote_rtp is None:
            return
        loud = time.time() < self.speaks_until_s
        head = struct.pack(">BBHII", 0x80, 0, self._seq & 0xFFFF, self._seq * 160 & 0xFFFFFFFF, self.number)
        self._seq += 1
        self.rtp.sendto(head + (bytes([0x9E, 0x9E, 0x1E, 0x1E] * 40) if loud else SILENCE), self.remote_rtp)

    def receive(self) -> None:
        while True:
            try:
                data, ancillary, _flags, _address = self.rtp.recvmsg(2048, 64)
            except BlockingIOError:
                return
            seconds, nanoseconds = struct.unpack("qq", ancillary[0][2][:16])
            at_s = seconds + nanoseconds / 1e9
            self.packets.at_s.append(at_s)
            self.packets.rtp_samples.append(struct.unpack_from(">I", data, 4)[0])
            if max(~byte & 0x7F for byte in data[12:]) > LOUD:
                self.heard_at_s.append(at_s)

    @property
    def greeted_after_ms(self) -> float:
        """From the INVITE to the first sound."""
        return (self.heard_at_s[0] - self.called_at_s) * 1000

    def heard_since(self, at_s: float) -> bool:
        return any(heard > at_s for heard in self.heard_at_s[-20:])

    def quiet_for(self, seconds: float) -> bool:
        return bool(self.heard_at_s) and time.time() - self.heard_at_s[-1] > seconds


class Hostile(WireDialer):
    """Sends any text as the caller's name, any number, any further headers."""

    def __init__(self, calls: int) -> None:
        super().__init__(calls)
        for caller in self.callers.values():
            caller.rtp.close()
        self.callers = {caller.call_id: caller for caller in map(Listener, range(calls))}
        self.refused: list[str] = []
        self._text: tuple[bytes, bytes, bytes] = (b'"x"', b"4155559999", b"")
        self._free = iter(range(calls))

    def call(self, name: bytes, *, number: bytes = b"4155559999", headers: bytes = b"") -> Listener:
        """`name` is what stands before the address, with its quotation marks. Returns at once."""
        eventually(lambda: self.registered is not None, "a registration")
        caller = self.callers[f"bench-{next(self._free)}@{HOST}"]
        assert isinstance(caller, Listener)

        def invite() -> None:
            self._text = (name, number, headers)
            caller.called_at_s = time.time()
            self._invite(caller)

        self._todo.put(invite)
        return caller

    def greeted(self, caller: Listener) -> Listener:
        eventually(lambda: caller.heard_at_s, f"a greeting for caller {caller.number}")
        return caller

    def talk(self, callers: Sequence[Listener]) -> None:
        """Wait for the greetings' end, speak, and hear what the box says to that."""
        eventually(lambda: all(caller.quiet_for(0.4) for caller in callers), "the end of the greetings")
        spoken_until_s = time.time() + SPEAK_S
        for caller in callers:
            caller.speaks_until_s = spoken_until_s
        eventually(lambda: all(caller.heard_since(spoken_until_s) for caller in callers), "replies", within_s=8)

    def _send(self, message: str) -> None:
        assert self.registered is not None
        name, number, headers = self._text
        data = message.encode()
        if data.startswith(b"INVITE"):
            _, _, rest = data.partition(b'"bench" <sip:')
            tail = rest.partition(b"@")[2]
            data = data.replace(b'"bench" <sip:' + rest, name + b" <sip:" + number + b"@" + tail, 1)
            data = data.replace(b"Contact: ", headers + b"Contact: ", 1)
        self.sip.sendto(data, self.registered)

    def _received(self, message: str, address: tuple[str, int]) -> None:
        start = message.split("\r\n", 1)[0]
        if start.startswith("SIP/2.0 ") and start[8] in "3456":
            self.refused.append(start)
            return
        super()._received(message, address)


@pytest.fixture(scope="module")
def dialer() -> Iterator[Hostile]:
    made = Hostile(CALLERS)
    with made:
        yield made


@pytest.fixture(scope="module")
def double() -> Iterator[Double]:
    with Double(lines=20) as made:
        yield made


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory, dialer: Hostile, double: Double) -> Iterator[Box]:
    """One for all: what a test does to it must leave nothing behind. A caller each is all that they do not share."""
    folder = tmp_path_factory.mktemp("hostile")
    sip = {"rtp_port": free_ports(4 * (LINES + 4))}
    with Box(folder, registrar=dialer.address, sip=sip, capacity={"lines": LINES, "least": LINES}) as made:
        made.settings["dialer"] = {"kind": "vicidial", "vicidial": vicidial(double, timeout_s=TIMEOUT_S)}
        made.write()
        double.watch(made.log_file)
        made.start()
        eventually(lambda: double.ledger.of("update_remote_agent"), "the first word with the dialer")
        yield made
        assert made.running, made.log
        assert "Traceback" not in made.log
        assert double.wrong_status() == []
        assert double.delivered_twice() == []
        double.check()


ALARMS = ("api_down", "api_back", "locked", "outbox_parked", "outbox_old", "outbox_disk", "capacity", "stranded", "rescued")


def journal(box: Box) -> Counter[str]:
    with closing(sqlite3.connect(f"file:{box.state}/sidetone.db?mode=ro", uri=True)) as database:
        return Counter(kind for (kind,) in database.execute("select kind from journal where call_id is null"))


def alarms(box: Box) -> Counter[str]:
    return Counter({kind: count for kind, count in journal(box).items() if kind in ALARMS})


def outcomes(box: Box) -> list[str | None]:
    return [call["outcome"] for call in box.calls()]


def assert_unharmed(caller: Listener) -> None:
    """No packet of the box's is missing."""
    stamps = caller.packets.rtp_samples
    assert {(b - a) & 0xFFFFFFFF for a, b in itertools.pairwise(stamps)} == {160}


NAMES = {
    "sql": (b'"Robert\'); DROP TABLE calls;--"', b"1'%20OR%20'1'%3D'1", b""),
    "quotes": (rb'"\"V1221347110000000010\" \\ \' `id`"', b"4155559998", b""),
    "folded": (b'"V122"\r\n\t ', b"4155559998", b""),
    "null": (b'"V1\x00DROP"', b"4155559998", b""),
    "no quotes": (b"V1 'or' 1", b"4155559998", b""),
    "not utf-8": (b'"V1\xff\xfe\xc3( M\xfcller \xed\xa0\x80"', b"%FF%00%0D%0A", b""),
    "wide digits": ('"V１２２１３４７１１００００００００１０"'.encode(), b"4155559998", b""),
    "a letter": (b'"V122134711000000001O"', b"4155559998", b""),
    "a digit more": (b'"V12213471100000000101"', b"4155559998", b""),
    "lower case": (b'"v1221347110000000010"', b"4155559998", b""),
    "lead 0": (b'"V1221347110000000000"', b"4155559998", b""),
    "markup": (b'"<script>alert(1)</script>|a|b|%n%s{0}"', b"4155559998", b""),
    "other headers": (
        b'"x"',
        b"4155559998",
        b'Remote-Party-ID: ;;;<<<>>>"\r\nP-Asserted-Identity: "V12213471100000x0010" <sip:\';DROP@x>, , <>\r\n'
        b"X-VICIDIAL-callerid: V1221347110000000010; DROP\r\n",
    ),
    "10 kB": (b'"' + b"V" * 10_000 + b'"', b"4155559998", b""),
    "nobody": (b'"' + GONE_LEAD.encode() + b'"', b"4155559998", b""),
}


UNREADABLE = {
    "a line's end in quotes": b'"V122\r\n X-Injected: yes"',
    "a header out of quotes": b'"V1"\r\nX-Injected: "',
    "quotes after quotes": b'"V1" or "1"',
}
"""No SIP: there is no call to answer."""


def test_names_from_the_network(box: Box, dialer: Hostile, double: Double) -> None:
    callers = [dialer.call(name, number=number, headers=headers) for name, number, headers in NAMES.values()]
    eventually(lambda: all(caller.heard_at_s for caller in callers), "greetings for all")
    for name in UNREADABLE.values():
        dialer.call(name)
    dialer.talk(callers)
    callers.append(dialer.greeted(dialer.call(b'"x"')))
    for caller in callers:
        dialer.hang_up(caller.number)
    eventually(lambda: outcomes(box) == ["hung_up"] * len(callers), "the end of all calls")
    eventually(lambda: alarms(box) == {"outbox_parked": 1}, "what is owed to nobody")
    assert dialer.refused == []
    assert {seen.params["value"] for seen in double.ledger.of("ra_call_control")} == {GONE_LEAD}
    assert {write.function for write in double.ledger.writes} == {"update_remote_agent"}
    names = {call["caller_name"] for call in box.calls()}
    assert {"Robert'); DROP TABLE calls;--", "V" * 128, GONE_LEAD} <= names
    assert "X-Injected" not in box.log + str(names)


# The API --------------------------------------------------------------------------------------------------------------


def a_lead_s_call(dialer: Hostile, double: Double) -> tuple[Listener, str]:
    lead = double.next_lead()
    assert lead is not None
    call_id = double.call_answered(lead, f"SIP/carrier-{lead}")
    assert call_id is not None, "no line is free"
    double.expect(call_id, "AICU")
    return dialer.call(f'"{call_id}"'.encode(), number=double.lead(lead)["phone_number"].encode()), call_id


def left(dialer: Hostile, double: Double, caller: Listener, call_id: str) -> None:
    """The customer hangs up."""
    double.customer_hung_up(call_id)
    dialer.hang_up(caller.number)


@pytest.mark.parametrize("kind", list(FaultKind), ids=lambda kind: str(kind.value))
def test_an_api_that_breaks_is_told_once_and_the_caller_hears_nothing_of_it(
    box: Box, dialer: Hostile, double: Double, kind: FaultKind
) -> None:
    before = alarms(box)
    double.fault(kind, delay_s=30)
    caller, call_id = a_lead_s_call(dialer, double)
    dialer.talk([dialer.greeted(caller)])
    eventually(lambda: alarms(box) - before == {"api_down": 1}, "the alarm")
    left(dialer, double, caller, call_id)
    eventually(lambda: outcomes(box)[0] == "hung_up", "the call's end")
    assert alarms(box) - before == {"api_down": 1}
    double.clear_faults()
    eventually(lambda: alarms(box) - before == {"api_down": 1, "api_back": 1}, "the alarm's end")
    eventually(lambda: double.wrong_status() == [], "the call's status")
    assert_unharmed(caller)


def test_a_slow_api_makes_no_greeting_and_no_frame_late(box: Box, dialer: Hostile, double: Double) -> None:
    greeted_ms: dict[bool, list[float]] = {True: [], False: []}
    late_ms: dict[bool, list[float]] = {True: [], False: []}
    late_frames: Counter[bool] = Counter()
    late_before = box.status()["media"]["late_frames"]
    for slow in (False, True, False, True):
        if slow:
            double.fault(FaultKind.SLOW, delay_s=30)
        else:
            double.clear_faults()
        caller, call_id = a_lead_s_call(dialer, double)
        packets = caller.packets
        eventually(lambda packets=packets: len(packets.at_s) >= 60, "the greeting")  # type: ignore[misc]
        late_now = box.status()["media"]["late_frames"]
        late_frames[slow] += late_now - late_before
        late_before = late_now
        greeted_ms[slow].append(caller.greeted_after_ms)
        late_ms[slow] += lateness_ms(packets)
        left(dialer, double, caller, call_id)
        assert_unharmed(caller)
    double.clear_faults()
    assert max(greeted_ms[True]) < max(greeted_ms[False]) + 40, greeted_ms
    assert late_frames[True] <= late_frames[False] + LATE_BY_CHANCE, late_frames
    p95_ms = {slow: statistics.quantiles(late_ms[slow], n=20)[-1] for slow in late_ms}
    assert p95_ms[True] < p95_ms[False] + 10, p95_ms
    eventually(lambda: double.wrong_status() == [], "the calls' statuses")


def test_a_line_that_falls_silent_is_ended_with_a_row_of_its_own(box: Box, dialer: Hostile) -> None:
    """A cut network brings no BYE: the RTP that no longer comes is all that tells."""
    before = journal(box)["rtp_lost"]
    caller = dialer.greeted(dialer.call(b'"x"'))
    caller.remote_rtp = None
    eventually(lambda: journal(box)["rtp_lost"] == before + 1, "the alarm")
    eventually(lambda: all(outcomes(box)), "the end of the call")
