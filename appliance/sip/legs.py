"""The SIP legs of calls: from INVITE to BYE, and their plugs in the bridge. Everything here runs in the SIP thread."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence

import pjsua2 as pj

from appliance.audio.formats import FRAME_S
from appliance.calls.events import HungUp, Incoming, MediaStarted
from appliance.sip.media import CallMedia, MediaClock, MediaPort, pcm_format
from appliance.sip.refer import NO_CALL_CODE, PATIENCE_S, TIMEOUT_CODE, Referred
from appliance.sip.translate import caller, candidate_ids

log = logging.getLogger(__name__)

RTP_CHECK_S = 1.0
RTP_TIMEOUT_S = 15.0
"""A call without one RTP packet for so long is dead: the dialer died or its BYE was lost. Its BYE would never come."""
REFERRED_RTP_TIMEOUT_S = 3.0
"""The same after a failed REFER. chan_pjsip tells of a busy target when the caller has left us for it already, and keeps
our leg as it is, with nobody on it."""
PROOF_PACKETS = round((RTP_CHECK_S + 0.2) / FRAME_S)
"""What may have come since the last look, and 10 more."""
REST_S = 5 * FRAME_S
"""A released port is not plugged again before the bridge, which works off changes once per beat, has let it go."""


class Leg(pj.Call):  # type: ignore[misc]
    """One pj call. Its callbacks only note that something changed: pj is in the middle of its own work then."""

    def __init__(self, account: pj.Account, call: str, changed: deque[Leg], pj_id: int = pj.PJSUA_INVALID_ID) -> None:
        super().__init__(account, pj_id)
        self.call = call
        self.media = CallMedia(call)
        self.port: MediaPort | None = None
        self.medium: int | None = None
        self.on_hold = False
        self.rtp_packets = 0
        self.heard_at = 0.0
        self.doubted_until: int | None = None  # so many RTP packets prove that the caller is still there
        self.confirmed = False
        self.announced = False
        self.bye_by_us = False
        self.ended: tuple[int, str] | None = None
        self.refer_news: deque[tuple[int, bool]] = deque()
        self._changed = changed

    def onCallState(self, prm: pj.OnCallStateParam) -> None:
        info = self.getInfo()
        self.confirmed = info.state == pj.PJSIP_INV_STATE_CONFIRMED
        if info.state == pj.PJSIP_INV_STATE_DISCONNECTED and self.ended is None:
            self.ended = (int(info.lastStatusCode), info.lastReason)
        self._changed.append(self)

    def onCallMediaState(self, prm: pj.OnCallMediaStateParam) -> None:
        self._changed.append(self)

    def onCallTransferStatus(self, prm: pj.OnCallTransferStatusParam) -> None:
        self.refer_news.append((int(prm.statusCode), bool(prm.finalNotify)))
        self._changed.append(self)

    def onCallTransferRequest(self, prm: pj.OnCallTransferRequestParam) -> None:
        prm.statusCode = pj.PJSIP_SC_DECLINE  # pj would place a call to wherever the REFER says

    def onCallReplaceRequest(self, prm: pj.OnCallReplaceRequestParam) -> None:
        # Taken, pj would let two calls of its own speak through this one object; refused, this call simply goes on.
        prm.statusCode = pj.PJSIP_SC_NOT_ACCEPTABLE_HERE


class Legs:
    """All legs. `post` gets what happened to them, as events of `calls`."""

    def __init__(self, clock: MediaClock, id_headers: Sequence[str], post: Callable[[object], None]) -> None:
        self._clock = clock
        self._id_headers = tuple(id_headers)
        self._post = post
        self._legs: dict[str, Leg] = {}
        self._changed: deque[Leg] = deque()
        self._starting: set[Leg] = set()
        self._referring: dict[Leg, float] = {}
        self._ports: list[MediaPort] = []
        self._resting: deque[tuple[float, MediaPort]] = deque()
        self._format = pcm_format()
        self._check_at = 0.0
        # Read by other threads, one atomic look-up at a time.
        self.media: dict[str, CallMedia] = {}
        self.unanswered: set[str] = set()

    def __len__(self) -> int:
        return len(self._legs)

    # Beginning and ending --------------------------------------------------------------------------------------------

    def on_invite(self, account: pj.Account, call: str, pj_id: int, whole_msg: str) -> None:
        """Runs inside pj's callback: a call that has no object when it returns is refused by pj.

        Nothing is sent here but pj's own 100: a 180 would make the dialer play ringing to a customer who is already on
        the line, and the 200 follows within milliseconds.
        """
        leg = self._keep(Leg(account, call, self._changed, pj_id))
        self.unanswered.add(call)
        who, ids = caller(whole_msg), candidate_ids(whole_msg, self._id_headers)
        sip_call_id = leg.getInfo().callIdString
        self._post(Incoming(call, caller_name=who.name, caller_number=who.user, sip_call_id=sip_call_id, ids=ids))

    def refuse(self, account: pj.Account, pj_id: int) -> None:
        """403, at once and inside pj's callback: nothing is kept of the call."""
        prm = pj.CallOpParam()
        prm.statusCode = pj.PJSIP_SC_FORBIDDEN
        pj.Call(account, pj_id).hangup(prm)

    def answer(self, call: str) -> None:
        leg = self._legs.get(call)
        if leg is not None and leg.ended is None:
            prm = pj.CallOpParam()
            prm.statusCode = pj.PJSIP_SC_OK
            leg.answer(prm)

    def refer(self, call: str, target: str, now: float) -> None:
        """REFER to what `refer.refer_target` made. Nothing while one is under way."""
        leg = self._legs.get(call)
        if leg is None or leg.ended is not None or leg in self._referring:
            return
        if not leg.confirmed:
            self._post(Referred(call, NO_CALL_CODE, final=True))
            return
        self._referring[leg] = now + PATIENCE_S
        try:
            leg.xfer(target, pj.CallOpParam())
        except pj.Error as error:
            log.warning("%s: REFER cannot be sent: %s", call, error.reason)
            self._refer_goes_on(leg, int(pj.PJSIP_SC_INTERNAL_SERVER_ERROR), final=True)

    def place(self, account: pj.Account, call: str, uri: str, from_header: str) -> None:
        leg = self._keep(Leg(account, call, self._changed))
        prm = pj.CallOpParam(True)
        prm.opt.audioCount, prm.opt.videoCount, prm.opt.textCount = 1, 0, 0
        prm.txOption.localUri = from_header
        try:
            leg.makeCall(uri, prm)
        except pj.Error as error:
            leg.ended = (pj.PJSIP_SC_SERVICE_UNAVAILABLE, error.reason)
            self._changed.append(leg)

    def hang_up(self, call: str) -> None:
        leg = self._legs.get(call)
        if leg is not None and leg.ended is None:
            leg.bye_by_us = True
            leg.hangup(pj.CallOpParam())

    def hang_up_all(self) -> None:
        for call in list(self._legs):
            self.hang_up(call)

    def _keep(self, leg: Leg) -> Leg:
        self._legs[leg.call] = leg
        self.media[leg.call] = leg.media
        return leg

    # What changed ----------------------------------------------------------------------------------------------------

    def step(self, now: float) -> None:
        """Between two polls: plug what became active, announce what began and what ended, and let go of it."""
        while self._changed:
            leg = self._changed.popleft()
            if leg.call not in self._legs:
                continue
            while leg.refer_news:
                code, final = leg.refer_news.popleft()
                self._refer_goes_on(leg, code, final=final or code >= 200)
            if leg.ended is not None:
                self._drop(leg, leg.ended, now)
            elif leg.confirmed:
                self.unanswered.discard(leg.call)
                self._connect(leg, now)
        for leg in [leg for leg in self._starting if leg.media.started]:
            self._starting.discard(leg)
            self._post(MediaStarted(leg.call))
        if now >= self._check_at:
            self._check_at = now + RTP_CHECK_S
            for leg in list(self._legs.values()):
                self._check_rtp(leg, now)
        for leg in [leg for leg, until in self._referring.items() if now >= until]:
            self._refer_goes_on(leg, TIMEOUT_CODE, final=True)

    def _refer_goes_on(self, leg: Leg, code: int, *, final: bool) -> None:
        told = Referred(leg.call, code, final)
        # Even after our patience has ended a success is one: the caller is elsewhere, and this leg has nobody any more.
        if leg in self._referring or told.done:
            self._post(told)
        if final and self._referring.pop(leg, None) is not None:
            leg.doubted_until = leg.rtp_packets + PROOF_PACKETS
        if told.done:
            self.hang_up(leg.call)

    def _check_rtp(self, leg: Leg, now: float) -> None:
        if leg.medium is None or leg.ended is not None:
            return
        try:
            packets = int(leg.getStreamStat(leg.medium).rtcp.rxStat.pkt)
        except pj.Error:  # hung up: the stream is gone, the answer to the BYE is on its way
            return
        if leg.doubted_until is not None and packets >= leg.doubted_until:
            leg.doubted_until = None
        if packets != leg.rtp_packets or leg.on_hold:
            leg.heard_at = now
        leg.rtp_packets = packets
        if now - leg.heard_at >= (RTP_TIMEOUT_S if leg.doubted_until is None else REFERRED_RTP_TIMEOUT_S):
            leg.ended = (int(pj.PJSIP_SC_REQUEST_TIMEOUT), "no RTP")
            leg.hangup(pj.CallOpParam())
            self._changed.append(leg)

    def _connect(self, leg: Leg, now: float) -> None:
        """Plug the call into the bridge, again after each re-INVITE: pj may have made a new stream for it."""
        info = leg.getInfo()  # owns what its vectors hand out
        for medium in info.media:
            if medium.type != pj.PJMEDIA_TYPE_AUDIO or medium.audioConfSlot == pj.PJSUA_INVALID_ID:
                continue
            if medium.status not in (pj.PJSUA_CALL_MEDIA_ACTIVE, pj.PJSUA_CALL_MEDIA_REMOTE_HOLD):
                continue
            if leg.port is None:
                leg.port = self._take_port(now)
                leg.port.plug(leg.media)
            audio = leg.getAudioMedia(medium.index)
            leg.port.startTransmit(audio)
            audio.startTransmit(leg.port)
            leg.medium, leg.heard_at = medium.index, now
            leg.media.codec = leg.getStreamInfo(medium.index).codecName
            leg.on_hold = medium.status == pj.PJSUA_CALL_MEDIA_REMOTE_HOLD
            if not leg.announced:
                leg.announced = True
                self._starting.add(leg)
            return
        leg.medium = None

    def _drop(self, leg: Leg, ended: tuple[int, str], now: float) -> None:
        del self._legs[leg.call]
        self._starting.discard(leg)
        self._referring.pop(leg, None)
        self.unanswered.discard(leg.call)
        if leg.port is not None:
            leg.port.plug(None)
            self._resting.append((now + REST_S, leg.port))
            leg.port = None
        code, reason = ended
        self._post(HungUp(leg.call, code=code, reason=reason, by_us=leg.bye_by_us))
        self.media.pop(leg.call, None)

    # Ports -----------------------------------------------------------------------------------------------------------

    def _take_port(self, now: float) -> MediaPort:
        if self._resting and self._resting[0][0] <= now:
            return self._resting.popleft()[1]
        port = MediaPort(self._clock)
        port.createPort(f"call {len(self._ports) + 1}", self._format)
        self._ports.append(port)
        return port

    def close(self) -> None:
        """Delete every pj object. The bridge's clock must stand still."""
        self._changed.clear()
        self._starting.clear()
        self._referring.clear()
        self.unanswered.clear()
        self._legs.clear()
        self.media.clear()
        self._resting.clear()
        self._ports.clear()
