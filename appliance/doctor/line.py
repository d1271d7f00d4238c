"""The phone line: a real registration, and a call that the box makes to its own extension through the dialer.

Two legs of that call end here, the one that the box placed and the one that the dialer rang. Each plays a tone of its own
and listens for the other's.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import msgspec

from appliance.audio.tones import tone, tone_dbov
from appliance.calls.events import HungUp, Incoming, MediaStarted
from appliance.config.settings import Sip, Transport
from appliance.dialers.protocol import DialerCall
from appliance.dialers.vicidial.correlation import dialer_call
from appliance.doctor.findings import Finding, Level
from appliance.errors import SipError
from appliance.sip.endpoint import InviteRefused, MailboxChanged, SipEndpoint
from appliance.sip.registration import RegistrationChanged, State

REGISTER_S = 6.0
RING_S = 8.0
MEDIA_S = 4.0
SETTLE_S = 0.5  # both tones are on their way, and the jitter buffers have found their length
LISTEN_S = 1.0
MAILBOX_S = 0.7  # the NOTIFY comes right after the registration
STOP_S = 3.0
CALLS = 4
NOT_ACCEPTABLE = 488  # RFC 3261 section 21.4.26: no codec in common
PLACED_HZ, RUNG_HZ = 1000.0, 700.0
PLAYED_DBOV, HEARD_DBOV = -20.0, -40.0

_Event = TypeVar("_Event")


class LineReport(msgspec.Struct, frozen=True):
    """`findings` of the line. `strays` are the dialer's calls that came in between: live customers, to be rescued."""

    findings: list[Finding]
    strays: list[DialerCall] = []


def examine_line(settings: Sip, extension: str, *, call: bool) -> LineReport:
    """Register and, with `call`, call `extension`. Blocks, for half a minute at most; leaves nothing registered.

    A refused password is asked about once. Nobody else may use the phone meanwhile: the last registration wins.
    """
    line = _Line(settings, extension)
    try:
        with line.up():
            if line.register():
                line.mailbox()
                if call:
                    line.test_call()
    except SipError as error:
        line.found("registration", Level.FAIL, error.message, error.hint)
    return LineReport(line.findings, line.strays)


class _Line:
    def __init__(self, settings: Sip, extension: str) -> None:
        self._settings = settings
        self._extension = extension
        self._events: queue.SimpleQueue[object] = queue.SimpleQueue()
        self._endpoint = SipEndpoint(settings, CALLS, self._events.put)
        self._mailbox: MailboxChanged | None = None
        self._refused: InviteRefused | None = None
        self._elsewhere = False
        self._ended: HungUp | None = None
        self.findings: list[Finding] = []
        self.strays: list[DialerCall] = []

    def found(self, check: str, level: Level, found: str, todo: str = "") -> None:
        self.findings.append(Finding(check, level, found, todo))

    @contextmanager
    def up(self) -> Iterator[None]:
        self._endpoint.start()
        try:
            yield
        finally:
            self._endpoint.stop(STOP_S)

    def register(self) -> bool:
        self._endpoint.register()
        settled = (State.REGISTERED, State.REFUSED, State.LOST)
        changed = self._wait(RegistrationChanged, REGISTER_S, lambda event: event.state in settled)
        where = f"{self._settings.username} at {self._settings.registrar}"
        if changed is not None and changed.state is State.REGISTERED:
            self.found("registration", Level.PASS, f"registered {where}")
            return True
        transport = self._settings.transport.value.upper()
        if changed is not None and changed.state is State.REFUSED:
            todo = "check sip.username and sip.password (on VICIdial: Admin, Phones, Registration Password); it was tried once"
            if self._tail:
                todo += f"; may this phone register over {transport} at all?"
            self.found("registration", Level.FAIL, f"{where} is refused: wrong password, or no such phone", todo)
            return False
        todo = f"is sip.registrar right, is {transport} to it open in the firewalls, does the dialer run?"
        why = f"{self._settings.registrar} does not answer" if changed is None else changed.detail.removesuffix("; trying on")
        self.found("registration", Level.FAIL, why, todo)
        return False

    def mailbox(self) -> None:
        """What the dialer says of the phone's voicemail box when it registers."""
        if self._mailbox is None:
            self._wait(MailboxChanged, MAILBOX_S)
        if self._mailbox is None:
            self.found("mailbox", Level.SKIP, "the dialer says nothing of a voicemail box")
        else:
            self.findings.append(mailbox(self._mailbox.new))

    def test_call(self) -> None:
        placed = self._endpoint.place(f"sip:{self._extension}@{self._settings.registrar}{self._tail}")
        rung = self._wait(Incoming, RING_S, self._is_ours, unless=lambda event: self._is_over(event, placed))
        if rung is None:
            self._not_rung()
            return
        self._endpoint.answer(rung.call)
        silent = {placed, rung.call}
        while silent and (started := self._wait(MediaStarted, MEDIA_S)) is not None:
            silent.discard(started.call)
        if silent:
            todo = "the dialer rings the box and does not connect the two: see its console (asterisk -r)"
            self.found("test call", Level.FAIL, "the call was answered and did not come about", todo)
            return
        self.found("test call", Level.PASS, f"{self._extension} rings here, and was answered")
        codecs = {media.codec for leg in (placed, rung.call) if (media := self._endpoint.media(leg)) is not None}
        self.found("codec", Level.PASS, f"{' and '.join(sorted(codecs))}, of {', '.join(self._settings.codecs)}")
        self.findings.append(audio(*self._tones(placed, rung.call), self._settings.rtp_port))

    @property
    def _tail(self) -> str:
        transport = self._settings.transport
        return "" if transport is Transport.UDP else f";transport={transport.value}"

    def _tones(self, placed: str, rung: str) -> tuple[float, float]:
        """How loud each leg's tone is on the other leg: the placed one's, then the rung one's. dBov."""
        placed_media, rung_media = self._endpoint.media(placed), self._endpoint.media(rung)
        if placed_media is None or rung_media is None:
            return (-127.0, -127.0)
        seconds = SETTLE_S + LISTEN_S + 1.0
        for media, hz in ((placed_media, PLACED_HZ), (rung_media, RUNG_HZ)):
            media.playout.write(1, 0, tone(hz, seconds, PLAYED_DBOV), True)
            media.playout.close(1)
        time.sleep(SETTLE_S)
        for media in (placed_media, rung_media):
            media.received.drain()
        time.sleep(LISTEN_S)
        heard = tone_dbov(b"".join(rung_media.received.drain()), PLACED_HZ)
        return heard, tone_dbov(b"".join(placed_media.received.drain()), RUNG_HZ)

    def _not_rung(self) -> None:
        if self._refused is not None or (self._ended is not None and self._ended.code == NOT_ACCEPTABLE):
            found = f"the dialer takes and offers none of {', '.join(self._settings.codecs)}"
            todo = "allow ulaw for the phone (VICIdial: Admin, Phones, Codecs List), or list what it offers in sip.codecs"
            self.found("codec", Level.FAIL, found, todo)
        elif self.strays:
            self.found("test call", Level.SKIP, "a customer's call came in between")
        else:
            todo = (
                f"on VICIdial the phone's Dialplan Number must be {self._extension}, its context must be able to dial it, and"
                " its configuration must have been written (it takes a minute): dialplan show default on the console"
            )
            why = ": something else answers, most likely the voicemail" if self._elsewhere else ""
            if self._ended is not None:
                why = f": the dialer says {self._ended.code} {self._ended.reason}"
            self.found("test call", Level.FAIL, f"a call to {self._extension} does not ring here{why}", todo)

    # Events ----------------------------------------------------------------------------------------------------------

    def _is_ours(self, event: Incoming) -> bool:
        """Not a customer's: those have the auto dialer's id."""
        stray = dialer_call((event.caller_name, *event.ids))
        if stray is None:
            return True
        self.strays.append(stray)
        todo = "pause the remote agent before the doctor comes; the call is being sent on, see below"
        self.found("stray call", Level.FAIL, f"a customer's call came in between: {stray.call_id}", todo)
        return False

    def _is_over(self, event: object, placed: str) -> bool:
        """The placed call ended, or something else than this box answered it, or pj refused its other leg."""
        self._elsewhere = isinstance(event, MediaStarted) and event.call == placed
        if isinstance(event, HungUp) and event.call == placed:
            self._ended = event
        return self._elsewhere or self._ended is not None or isinstance(event, InviteRefused)

    def _wait(
        self,
        kind: type[_Event],
        limit_s: float,
        wanted: Callable[[_Event], bool] = lambda event: True,
        unless: Callable[[object], bool] = lambda event: False,
    ) -> _Event | None:
        """The first event of `kind` that is wanted; None after `limit_s`, or when `unless` comes first."""
        until = time.monotonic() + limit_s
        while (left_s := until - time.monotonic()) > 0:
            try:
                event = self._events.get(timeout=left_s)
            except queue.Empty:
                return None
            if isinstance(event, MailboxChanged):
                self._mailbox = event
            if isinstance(event, InviteRefused):
                self._refused = event
            if isinstance(event, kind) and wanted(event):
                return event
            if unless(event):
                return None
        return None


def mailbox(new: int) -> Finding:
    """`new`: how many messages the phone's voicemail box has that nobody has heard."""
    if not new:
        return Finding("mailbox", Level.PASS, "no new messages in the phone's voicemail box")
    todo = "customers met nobody: listen to them, empty the box, and see why (sidetone status, the journal)"
    return Finding("mailbox", Level.WARN, f"{new} new messages in the phone's voicemail box", todo)


def audio(there_dbov: float, back_dbov: float, rtp_port: int) -> Finding:
    """`there`: the placed leg's tone as the rung leg hears it, `back`: the other way round."""
    there, back = there_dbov >= HEARD_DBOV, back_dbov >= HEARD_DBOV
    if there and back:
        return Finding("audio", Level.PASS, f"heard both ways, {there_dbov:.0f} and {back_dbov:.0f} dBov")
    if not there and not back:
        todo = (
            f"open UDP from {rtp_port} upwards on this box and the dialer's RTP range (rtp.conf) in the firewalls between them;"
            " audio is only taken from the address that the dialer's SDP names (externip, localnet in its sip.conf)"
        )
        return Finding("audio", Level.FAIL, "no audio in either direction", todo)
    missing = "from the calling leg to the called one" if back else "from the called leg to the calling one"
    todo = "one of the legs has a wrong address in its SDP, or a NAT between: set sip.bind here, directmedia=no on the dialer"
    return Finding("audio", Level.FAIL, f"one-way audio: none {missing}", todo)
