"""The customers: SIP user agents with their own audio, each playing a persona. A process of its own.

    python -m tests.lab.customers PLAN.json

PLAN: {"sip_port": …, "rtp_port": …, "campaign": "….toml", "customers": {"4155550101": "interested", …}}, and "at_once"
where not all of them are called at the same time. The number that the dialer calls chooses the customer. What happens
goes to standard output as JSON lines (`kind`: ready, ringing, answered, agent_talks, talks, turn, heard, ended); instants
are given as `at` (time.time()) and `mono_s` (time.monotonic()). It ends when its standard input is closed.
"""

from __future__ import annotations

import json
import re
import select
import signal
import sys
import time
from collections import deque
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pjsua2 as pj

from tests.lab.faults import LabError
from tests.lab.listen import Ears
from tests.lab.performance import HangUp, Performance, Recognize, Say
from tests.lab.persona import Persona, audio, load, words
from tests.lab.processes import HOST

FRAME_BYTES = 320
SILENCE = bytes(FRAME_BYTES)
LOUD_RMS = 180.0  # -45 dBov
PRE_ROLL_FRAMES = 10
MOST_FRAMES = 50 * 60


def say(kind: str, **fields: Any) -> None:
    """One event for whoever started us."""
    line = json.dumps({"kind": kind, "at": time.time(), "mono_s": time.monotonic(), **fields})
    print(line, flush=True)


class Instant(NamedTuple):
    at: float
    mono_s: float

    @classmethod
    def now(cls) -> Instant:
        return cls(time.time(), time.monotonic())


class Line(pj.AudioMediaPort):  # type: ignore[misc]
    """A customer's mouth and ear in the conference bridge. Made once and used again: its clock thread may never lose it.

    The callbacks run on that thread: they move one frame and return.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        pcm = pj.MediaFormatAudio()
        pcm.init(pj.PJMEDIA_FORMAT_PCM, 8000, 1, 20000, 16, 128000, 128000)
        self.createPort(name, pcm)
        self.busy = False
        self.to_say: deque[bytes] = deque()
        self.came: deque[bytes] = deque(maxlen=500)
        self.began: Instant | None = None
        self.done: Instant | None = None
        self._out = bytearray(FRAME_BYTES)
        self._in = bytearray(FRAME_BYTES)

    def take(self) -> None:
        self.busy, self.began, self.done = True, None, None
        self.to_say.clear()
        self.came.clear()

    def speak(self, pcm: np.ndarray[Any, np.dtype[np.int16]]) -> None:
        data = pcm.astype("<i2").tobytes()
        data += bytes(-len(data) % FRAME_BYTES)
        self.began = self.done = None
        self.to_say.extend(data[at : at + FRAME_BYTES] for at in range(0, len(data), FRAME_BYTES))

    def onFrameRequested(self, frame: pj.MediaFrame) -> None:
        outgoing = SILENCE
        if self.to_say:
            outgoing = self.to_say.popleft()
            if self.began is None:
                self.began = Instant.now()
            if not self.to_say:
                now = Instant.now()
                self.done = Instant(now.at + 0.02, now.mono_s + 0.02)
        self._out[:] = outgoing
        frame.type = pj.PJMEDIA_FRAME_TYPE_AUDIO
        frame.buf.assign_from_bytes(self._out)

    def onFrameReceived(self, frame: pj.MediaFrame) -> None:
        if self.busy:
            if frame.type == pj.PJMEDIA_FRAME_TYPE_AUDIO and frame.buf.size() == FRAME_BYTES:
                frame.buf.copy_to_bytearray(self._in)
                self.came.append(bytes(self._in))
            else:
                self.came.append(SILENCE)


class Visit(pj.Call):  # type: ignore[misc]
    """One call of one customer."""

    def __init__(self, account: Customers, call_id: int) -> None:
        super().__init__(account, call_id)
        info = self.getInfo()
        found = re.search(r"sip:([^@;>]+)@", info.localUri)
        self.number = found.group(1) if found else ""
        self.caller_name = info.remoteUri.partition('"')[2].partition('"')[0]
        self.account = account
        self.line: Line | None = None
        self.performance: Performance | None = None
        self.answer_at: float | None = None
        self.agent_audio: deque[bytes] = deque(maxlen=MOST_FRAMES)
        self.saying = ""
        self.told_talking = False
        self.agent_turns = 0
        self.pauses: list[tuple[float, float]] = []
        self.left = ""
        self.over = False

    def onCallState(self, prm: pj.OnCallStateParam) -> None:
        info = self.getInfo()
        if info.state == pj.PJSIP_INV_STATE_DISCONNECTED and not self.over:
            self.over = True
            self.account.leaving.append(self)

    def onCallMediaState(self, prm: pj.OnCallMediaStateParam) -> None:
        if self.line is not None or self.performance is None:
            return
        self.line = self.account.free_line()
        media = self.getAudioMedia(-1)
        media.startTransmit(self.line)
        self.line.startTransmit(media)
        now = time.monotonic()
        self.performance.answered(now)
        rtp = self.getMedTransportInfo(0)
        say("answered", number=self.number, caller_name=self.caller_name, rtp=rtp.localRtpName)

    def start(self, persona: Persona) -> None:
        self.performance = Performance(persona)
        ringing = pj.CallOpParam()
        ringing.statusCode = 180
        self.answer(ringing)
        self.answer_at = time.monotonic() + persona.ring_s
        say("ringing", number=self.number, caller_name=self.caller_name)

    def step(self, now: float) -> None:
        """Everything between two beats: answer, hear, speak, hang up."""
        if self.answer_at is not None and now >= self.answer_at:
            self.answer_at = None
            ok = pj.CallOpParam()
            ok.statusCode = 200
            self.answer(ok)
        if self.line is None or self.performance is None or self.over:
            return
        while self.line.came:
            frame = self.line.came.popleft()
            self.agent_audio.append(frame)
            level = float(np.sqrt(np.mean(np.frombuffer(frame, "<i2").astype(np.float32) ** 2)))
            self.performance.agent(level >= LOUD_RMS, now)
        if self.performance.agent_turns > self.agent_turns:
            self.agent_turns = self.performance.agent_turns
            say("agent_talks", number=self.number)
        if self.saying and self.line.began is not None and not self.told_talking:
            self.told_talking = True
            say("talks", number=self.number)
        if self.line.done is not None and self.saying:
            self._log_turn(complete=True)
            self.performance.spoken(now)
        for action in self.performance.step(now):
            self._do(action)

    def heard(self, raw: str, sentences: list[str], now: float) -> None:
        said = " ".join(sentences) or raw
        say("heard", number=self.number, raw=raw, sentences=sentences)
        if self.performance is not None:
            self.performance.heard(said.lower(), now)

    def _do(self, action: Say | Recognize | HangUp) -> None:
        match action:
            case Say(line):
                if self.line is None or self.performance is None:
                    return
                pcm, self.pauses = audio(line, self.performance.persona.voice)
                self.saying, self.told_talking = words(line), False
                self.agent_audio.clear()
                self.line.speak(pcm)
            case Recognize():
                self.account.ears.listen(self.number, b"".join(self.agent_audio))
            case HangUp(reason):
                self.left = reason
                if self.saying:
                    self._log_turn(complete=False)
                self.hangup(pj.CallOpParam(True))

    def _log_turn(self, *, complete: bool) -> None:
        if self.line is None or self.line.began is None:
            return
        end = self.line.done or Instant.now()
        begin = self.line.began
        say(
            "turn",
            number=self.number,
            text=self.saying,
            start={"at": begin.at, "mono_s": begin.mono_s},
            end={"at": end.at, "mono_s": end.mono_s},
            pauses_s=self.pauses,
            complete=complete,
        )
        self.saying = ""

    def close(self) -> None:
        if self.saying:
            self._log_turn(complete=False)
        if self.line is not None:
            self.line.busy = False
            self.line.to_say.clear()
        if self.performance is not None:
            self.performance.ended()
        say("ended", number=self.number, by="customer" if self.left else "agent", reason=self.left)


class Customers(pj.Account):  # type: ignore[misc]
    """The carrier's side: everyone who can be called."""

    def __init__(self, people: dict[str, Persona], ears: Ears, lines: list[Line]) -> None:
        super().__init__()
        self.people = people
        self.ears = ears
        self._lines = lines
        self.visits: list[Visit] = []
        self.leaving: list[Visit] = []

    def free_line(self) -> Line:
        line = next((x for x in self._lines if not x.busy), None)
        if line is None:
            line = Line(f"line{len(self._lines)}")
            self._lines.append(line)
        line.take()
        return line

    def onIncomingCall(self, prm: pj.OnIncomingCallParam) -> None:
        visit = Visit(self, prm.callId)
        self.visits.append(visit)
        persona = self.people.get(visit.number)
        if persona is None:
            refusal = pj.CallOpParam()
            refusal.statusCode = 404
            visit.hangup(refusal)
        else:
            visit.start(persona)

    def step(self) -> None:
        now = time.monotonic()
        for found in self.ears.answers():
            for visit in self.visits:
                if visit.number == found.call and not visit.over:
                    visit.heard(found.raw, found.sentences, now)
        for visit in self.visits:
            visit.step(now)
        for visit in self.leaving:
            visit.close()
            self.visits.remove(visit)
        self.leaving.clear()


def endpoint(sip_port: int, *, max_calls: int) -> pj.Endpoint:
    """Start pjsua2 on loopback with a null sound device and G.711 mu-law; the caller polls `libHandleEvents`."""
    ep = pj.Endpoint()
    ep.libCreate()
    config = pj.EpConfig()
    config.uaConfig.threadCnt = 0
    config.uaConfig.maxCalls = max_calls
    config.logConfig.level = config.logConfig.consoleLevel = 1
    media = config.medConfig
    media.clockRate = media.sndClockRate = 8000
    media.ptime = media.audioFramePtime = 20
    media.noVad, media.ecTailLen, media.quality = True, 0, 4
    ep.libInit(config)
    transport = pj.TransportConfig()
    transport.port, transport.boundAddress = sip_port, HOST
    try:
        ep.transportCreate(pj.PJSIP_TRANSPORT_UDP, transport)
    except pj.Error as error:
        raise LabError(f"port {sip_port} cannot be used: {error.reason}") from None
    ep.libStart()
    ep.audDevManager().setNullDev()
    for codec in ep.codecEnum2():
        ep.codecSetPriority(codec.codecId, 255 if codec.codecId.startswith("PCMU") else 0)
    return ep


def account_config(uri: str, rtp_port: int, *, max_calls: int) -> pj.AccountConfig:
    """An account on loopback that takes calls; it registers nowhere. Only after `endpoint`."""
    config = pj.AccountConfig()
    config.idUri = uri
    transport = config.mediaConfig.transportConfig
    transport.port, transport.portRange, transport.boundAddress = rtp_port, max_calls * 4, HOST
    return config


def main(plan_path: str) -> int:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the lab ends us by closing our input
    plan = json.loads(Path(plan_path).read_text())
    people = {number: load(name) for number, name in plan["customers"].items()}
    for persona in people.values():
        for line in persona.lines():
            audio(line, persona.voice)
    ears = Ears(Path(plan["campaign"]))
    lines: list[Line] = []
    account = Customers(people, ears, lines)
    at_once = plan.get("at_once", len(people))
    max_calls = max(8, 2 * at_once)
    ep = endpoint(plan["sip_port"], max_calls=max_calls)
    account.create(account_config(f"sip:customers@{HOST}:{plan['sip_port']}", plan["rtp_port"], max_calls=max_calls))
    lines.extend(Line(f"line{i}") for i in range(at_once))
    say("ready")
    while not select.select([sys.stdin], [], [], 0)[0]:
        ep.libHandleEvents(10)
        account.step()
    ep.hangupAllCalls()
    for _ in range(20):
        ep.libHandleEvents(10)
    ears.close()
    account.shutdown()
    ep.libDestroy()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
