"""The SIP endpoint: one thread owns every call into pj.

pj's callbacks run while that thread polls. Commands from other threads wait in a queue until the next poll ends, 5 ms
at most. pj from several Python threads has been seen to deadlock on the interpreter's lock, and objects of it that
are collected elsewhere hang up calls: so none ever leaves this thread.
"""

from __future__ import annotations

import atexit
import itertools
import logging
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime

import msgspec
import pjsua2 as pj

from appliance.config.settings import Sip
from appliance.errors import SipError
from appliance.sip.legs import Legs
from appliance.sip.media import CallMedia, MediaClock, Metronome, pcm_format
from appliance.sip.refer import BAD_TARGET_CODE, Referred, refer_target
from appliance.sip.registration import (
    Action,
    Registration,
    RegistrationChanged,
    SendProbe,
    SendRegister,
    SendUnregister,
    State,
)
from appliance.sip.stack import (
    account_config,
    certificate_refused,
    close_stack,
    new_contact_config,
    open_stack,
    registrar_uri,
)
from appliance.sip.translate import candidate_ids, voice_messages
from appliance.sip.trust import Trust

log = logging.getLogger(__name__)

POLL_MS = 5
START_TIMEOUT_S = 20.0
RESOLVE_S = 3.0


class InviteRefused(msgspec.Struct, frozen=True):
    """pj refused an INVITE before it became a call: 488 where the dialer offers no codec of `sip.codecs`, 486 where
    there are more calls than pj has room for. A live customer is in the dialer's voicemail because of it; `ids` are
    what the dialer may know them by, as in `events.Incoming`."""

    code: int
    reason: str
    ids: tuple[str, ...] = ()


class MailboxChanged(msgspec.Struct, frozen=True):
    """The dialer says how many messages are in the phone's mailbox. A rising `new` are customers who landed there."""

    new: int
    old: int


class _PjEndpoint(pj.Endpoint):  # type: ignore[misc]
    def __init__(self, happened: deque[Callable[[float], None]], owner: SipEndpoint) -> None:
        super().__init__()
        self._happened = happened
        self._owner = owner

    def onTransportState(self, prm: pj.OnTransportStateParam) -> None:
        if prm.state == pj.PJSIP_TP_STATE_DISCONNECTED:
            why = certificate_refused(prm.tlsInfo)
            self._happened.append(lambda now: self._owner._on_transport_lost(now, why))

    def onRejectedIncomingCall(self, prm: pj.OnRejectedIncomingCallParam) -> None:
        source, ids = prm.rdata.srcAddress, candidate_ids(prm.rdata.wholeMsg, self._owner._settings.id_headers)
        refused = InviteRefused(int(prm.statusCode), prm.reason, ids)
        self._happened.append(lambda now: self._owner._on_refused_by_pj(now, source, refused))


class _Account(pj.Account):  # type: ignore[misc]
    def __init__(self, happened: deque[Callable[[float], None]], owner: SipEndpoint) -> None:
        super().__init__()
        self._happened = happened
        self._owner = owner

    def onIncomingCall(self, prm: pj.OnIncomingCallParam) -> None:
        self._owner._on_invite(self, prm.callId, prm.rdata.srcAddress, prm.rdata.wholeMsg)

    def onRegState(self, prm: pj.OnRegStateParam) -> None:
        code = int(prm.code) if prm.rdata.wholeMsg else 0  # pj writes its own 408 or 503 where nobody answered
        reason, expires_s = prm.reason, float(prm.expiration)
        if 200 <= code < 300:  # at once: the registrar's first INVITE may be read by this very poll
            self._owner._trust.registered_at(prm.rdata.srcAddress)
        self._happened.append(lambda now: self._owner._on_registration_answer(now, code, reason, expires_s))

    def onMwiInfo(self, prm: pj.OnMwiInfoParam) -> None:
        counts = voice_messages(prm.rdata.wholeMsg)
        if counts is not None and self._owner._trust.admits(prm.rdata.srcAddress):
            self._happened.append(lambda _now: self._owner._post(MailboxChanged(*counts)))

    def onSendRequest(self, prm: pj.OnSendRequestParam) -> None:
        if prm.e.body.tsxState.type == pj.PJSIP_EVENT_RX_MSG:
            self._happened.append(self._owner._on_probe_answer)


class SipEndpoint:
    """One phone at one dialer, and all its calls.

    `post` is called from the SIP thread with `calls.events` `Incoming`, `MediaStarted` and `HungUp`, with
    `RegistrationChanged`, `InviteRefused`, `MailboxChanged` and `Referred`; it must hand over and return. `max_calls` is
    what the appliance plans for, the overlap of an old BYE with the next INVITE included; more are accepted as long as
    pj has room, which it is built with (160 calls, whatever `max_calls` is).
    INVITEs of others than the registrar and `sip.trusted` get 403 and are not heard of.
    All methods may be called from any thread; those that concern a call that is gone do nothing.
    """

    def __init__(self, settings: Sip, max_calls: int, post: Callable[[object], None]) -> None:
        self._settings = settings
        self._max_calls = max_calls
        self._post_out = post
        self._clock = MediaClock()
        self._legs = Legs(self._clock, settings.id_headers, self._post)
        self._registration = Registration(
            registrar=settings.registrar, username=settings.username, expires_s=settings.expires_s
        )
        self._trust = Trust(settings.trusted)
        self._started = datetime.now(UTC)
        self._numbers = itertools.count(1)
        self._commands: deque[Callable[[float], None]] = deque()
        self._happened: deque[Callable[[float], None]] = deque()
        self._thread = threading.Thread(target=self._run, name="sip", daemon=True)
        self._up = threading.Event()
        self._failure: SipError | None = None
        self._port = 0
        self._stop_by: float | None = None
        self._endpoint: _PjEndpoint | None = None
        self._account: _Account | None = None
        self._contact_is_old = False
        self._contacts = 0
        self._metronome: Metronome | None = None

    # For everybody ---------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Returns when the endpoint takes calls. Raises SipError when it cannot."""
        # The first INVITE may be waiting already. A name server that is away must not keep us from answering the others.
        resolver = threading.Thread(target=self._resolve, name="sip-resolver", daemon=True)
        resolver.start()
        resolver.join(RESOLVE_S)
        # A thread inside pj must not meet the end of the interpreter: C++ aborts the process then.
        atexit.register(self.stop, 0.0)
        self._thread.start()
        if not self._up.wait(START_TIMEOUT_S):
            raise SipError(f"the SIP stack does not start within {START_TIMEOUT_S:.0f} s")
        if self._failure is not None:
            self._thread.join()
            raise self._failure

    @property
    def port(self) -> int:
        """The port that is bound, also where the settings say 0 (any)."""
        return self._port

    @property
    def clock(self) -> MediaClock:
        """The media clock: its last beat, to tick by, and its counters."""
        return self._clock

    @property
    def refused_invites(self) -> int:
        """How many INVITEs of strangers were refused."""
        return self._trust.refused

    @property
    def unanswered(self) -> int:
        """How many INVITEs have come and are not answered yet."""
        return len(self._legs.unanswered)

    def media(self, call: str) -> CallMedia | None:
        """The call's audio, from its INVITE on; None when the call is gone. Keep it to read what is left then."""
        return self._legs.media.get(call)

    def register(self) -> None:
        self._commands.append(lambda now: self._act(self._registration.register(now)))

    def unregister(self) -> None:
        self._commands.append(lambda now: self._act(self._registration.unregister(now)))

    def answer(self, call: str) -> None:
        """Send 200 OK."""
        self._commands.append(lambda _now: self._legs.answer(call))

    def hang_up(self, call: str) -> None:
        """Send BYE, or what ends the call in its state. `HungUp` follows at once; pj repeats the BYE as needed."""
        self._commands.append(lambda _now: self._legs.hang_up(call))

    def transfer(self, call: str, to: str, context: str = "") -> None:
        """Hand the caller over by REFER, to a SIP URI or an extension of the registrar's. `Referred` says how it goes.

        Until it is final and 2xx nothing changes for the call; then this leg is hung up. `context` (at most 255 bytes)
        goes to whoever takes the call, as User-to-User. While one REFER is under way another is not sent.
        """
        target = refer_target(to, self._settings.registrar, context)
        if target is None:
            self._commands.append(lambda _now: self._post(Referred(call, BAD_TARGET_CODE, final=True)))
        else:
            self._commands.append(lambda now: self._legs.refer(call, target, now))

    def place(self, uri: str, *, caller_name: str = "", caller_number: str = "") -> str:
        """Call `uri`; the From header gets the caller's name and number where given. Returns the call's id."""
        call = self._next_id()
        host = self._settings.registrar.split(":")[0]
        quoted = caller_name.replace("\\", "\\\\").replace('"', '\\"')
        from_header = f'"{quoted}" <sip:{caller_number or self._settings.username}@{host}>'
        self._commands.append(lambda _now: self._legs.place(self._account, call, uri, from_header))
        return call

    def stop(self, timeout_s: float) -> None:
        """Hang up, unregister, and end the thread; what the far ends do not confirm in time is left unconfirmed."""
        atexit.unregister(self.stop)
        if not self._thread.is_alive():
            return
        self._commands.append(lambda now: self._begin_stop(now, timeout_s))
        self._thread.join(timeout_s + START_TIMEOUT_S)
        if self._thread.is_alive():
            raise SipError("the SIP thread does not end")

    # The SIP thread --------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        endpoint = self._endpoint = _PjEndpoint(self._happened, self)
        try:
            self._port = open_stack(endpoint, self._settings, self._max_calls)
            self._account = _Account(self._happened, self)
            self._account.create(account_config(self._settings), True)
            self._metronome = Metronome(self._clock)
            self._metronome.createPort("metronome", pcm_format())
        except SipError as error:
            # A new one: the caught one's traceback would carry pj objects to another thread.
            self._failure = SipError(error.message, hint=error.hint)
        except pj.Error as error:
            self._failure = SipError(f"the SIP account cannot be made: {error.info()}")
        self._up.set()
        while self._failure is None and not self._is_over():
            endpoint.libHandleEvents(POLL_MS)
            self._step(time.monotonic())
        self._close(endpoint)

    def _step(self, now: float) -> None:
        for queue in (self._happened, self._commands):
            while queue:
                self._guard(queue.popleft(), now)
        deadline = self._registration.deadline
        if deadline is not None and now >= deadline:
            self._guard(lambda now: self._act(self._registration.handle_timer(now)), now)
        self._guard(self._legs.step, now)
        fault = self._clock.take_fault()
        if fault is not None:
            log.error("a media callback failed: %s; further ones are only counted", fault)

    def _guard(self, work: Callable[[float], None], now: float) -> None:
        """One thing's failure is that thing's: the calls beside it go on."""
        try:
            work(now)
        except pj.Error as error:
            log.warning("pj: %s: %s", error.title, error.reason)
        except Exception:  # the boundary of the SIP thread: a bug in one call's handling must not end all the others
            log.exception("in the SIP thread")

    def _post(self, event: object) -> None:
        self._post_out(event)

    def _next_id(self) -> str:
        return f"{self._started:%m%d-%H%M%S}-{next(self._numbers)}"

    def _resolve(self) -> None:
        try:
            found = socket.getaddrinfo(self._settings.registrar.split(":")[0], None, socket.AF_INET)
        except (OSError, UnicodeError):  # no such name: registering tells of it
            return
        self._trust.registrar_is_at({str(address[0]) for *_, address in found})

    def _on_invite(self, account: _Account, pj_id: int, source: str, whole_msg: str) -> None:
        if self._trust.admits(source):
            self._guard(lambda _now: self._legs.on_invite(account, self._next_id(), pj_id, whole_msg), 0.0)
        else:
            self._guard(lambda _now: self._legs.refuse(account, pj_id), 0.0)
            self._happened.append(lambda now: self._tell_refusal(source, now))

    def _on_refused_by_pj(self, now: float, source: str, refused: InviteRefused) -> None:
        if self._trust.admits(source):
            self._post(refused)
        else:
            self._tell_refusal(source, now)

    def _tell_refusal(self, source: str, now: float) -> None:
        line = self._trust.refuse(source, now)
        if line is not None:
            log.warning("%s", line)

    # Registration ----------------------------------------------------------------------------------------------------

    def _on_registration_answer(self, now: float, code: int, reason: str, expires_s: float) -> None:
        self._act(self._registration.on_answer(now, code, reason, expires_s))

    def _on_probe_answer(self, now: float) -> None:
        self._act(self._registration.on_probe_answer(now))

    def _on_transport_lost(self, now: float, untrusted: str) -> None:
        self._contact_is_old = True
        if untrusted and self._settings.tls_verify:
            self._act(self._registration.on_untrusted(now, untrusted))
        self._act(self._registration.on_transport_lost(now))

    def _act(self, actions: list[Action]) -> None:
        account = self._account
        if account is None:
            return
        for action in actions:
            match action:
                case RegistrationChanged():
                    self._post(action)
                case SendRegister() | SendUnregister():
                    self._send_register(account, renew=isinstance(action, SendRegister))
                case SendProbe():
                    self._send_probe(account)

    def _send_register(self, account: _Account, *, renew: bool) -> None:
        try:
            if renew and self._contact_is_old:
                self._contacts += 1
                account.modify(new_contact_config(self._settings, self._contacts))
                self._contact_is_old = False
            account.setRegistration(renew)
        except pj.Error as error:
            reason = error.reason
            self._happened.append(lambda now: self._on_registration_answer(now, 0, reason, 0.0))

    def _send_probe(self, account: _Account) -> None:
        prm = pj.SendRequestParam()
        prm.method = "OPTIONS"
        prm.txOption.targetUri = registrar_uri(self._settings)
        try:
            account.sendRequest(prm)
        except pj.Error as error:
            log.debug("probe not sent: %s", error.reason)

    # The end ---------------------------------------------------------------------------------------------------------

    def _begin_stop(self, now: float, timeout_s: float) -> None:
        self._stop_by = now + timeout_s
        self._legs.hang_up_all()
        self._act(self._registration.unregister(now))

    def _is_over(self) -> bool:
        if self._stop_by is None:
            return False
        done = not len(self._legs) and self._registration.state is State.OFF
        return done or time.monotonic() >= self._stop_by

    def _close(self, endpoint: _PjEndpoint) -> None:
        """Stop the media clock first: nothing that it calls may be deleted under it."""
        try:
            if self._metronome is not None:
                endpoint.audDevManager().setNoDev()
            self._legs.close()
            self._metronome = None
            self._account = None
            close_stack(endpoint)
        except pj.Error as error:
            log.warning("pj: %s: %s", error.title, error.reason)
        self._endpoint = None
