"""A phone for tests of the lab alone: registers, answers, and asks questions like a very simple agent.

    python -m tests.integration.phone REGISTRAR USER SECRET LINE [LINE…]

Speaks LINE after LINE, each DELAY_S after the caller's last sound, and hangs up at the end. Prints JSON lines: ready,
incoming (with the From header's name and number), replied (the delay it really took, in ms), ended. It runs until its
standard input is closed; "unregister" on it takes it off the dialer.
"""

from __future__ import annotations

import random
import re
import select
import sys
import time

import numpy as np
import pjsua2 as pj

from tests.lab.customers import LOUD_RMS, Line, account_config, endpoint, say
from tests.lab.processes import free_ports
from tests.lab.voices import spoken

WAITS_S = (0.35, 0.6)


class Leg(pj.Call):  # type: ignore[misc]
    def __init__(self, account: Phone, call_id: int) -> None:
        super().__init__(account, call_id)
        self.account = account
        self.line: Line | None = None
        self.lines = list(account.lines)
        self.last_loud_s: float | None = None
        self.first = True
        self.wait_s = random.uniform(*WAITS_S)
        self.over = False
        self.reason = ""

    def onCallState(self, prm: pj.OnCallStateParam) -> None:
        info = self.getInfo()
        self.over = info.state == pj.PJSIP_INV_STATE_DISCONNECTED
        self.reason = f"{info.lastStatusCode} {info.lastReason}"

    def onCallMediaState(self, prm: pj.OnCallMediaStateParam) -> None:
        if self.line is None:
            self.line = self.account.plug
            self.line.take()
            media = self.getAudioMedia(-1)
            media.startTransmit(self.line)
            self.line.startTransmit(media)

    def step(self, now: float) -> None:
        if self.line is None or self.over:
            return
        while self.line.came:
            frame = np.frombuffer(self.line.came.popleft(), "<i2").astype(np.float32)
            if float(np.sqrt(np.mean(frame**2))) >= LOUD_RMS:
                self.last_loud_s = now
        if self.line.to_say:
            return
        if not self.lines:
            self.hangup(pj.CallOpParam(True))
            return
        quiet = self.last_loud_s is not None and now - self.last_loud_s >= self.wait_s
        if not (self.first or quiet):
            return
        if self.last_loud_s is not None:
            say("replied", delay_ms=(now - self.last_loud_s) * 1000)
        self.line.speak(spoken(self.lines.pop(0), "slt"))
        self.first, self.last_loud_s, self.wait_s = False, None, random.uniform(*WAITS_S)


class Phone(pj.Account):  # type: ignore[misc]
    def __init__(self, lines: list[str]) -> None:
        super().__init__()
        self.lines = lines
        self.legs: list[Leg] = []
        self.plug: Line

    def onRegState(self, prm: pj.OnRegStateParam) -> None:
        say("registration", code=prm.code, active=self.getInfo().regIsActive)

    def onIncomingCall(self, prm: pj.OnIncomingCallParam) -> None:
        leg = Leg(self, prm.callId)
        self.legs.append(leg)
        found = re.search(r"^From:\s*(?:\"([^\"]*)\")?\s*<sip:([^@>]*)@", prm.rdata.wholeMsg, re.MULTILINE)
        say("incoming", name=found.group(1) if found else None, number=found.group(2) if found else None)
        ok = pj.CallOpParam()
        ok.statusCode = 200
        leg.answer(ok)


def main(registrar: str, user: str, secret: str, lines: list[str]) -> int:
    for line in lines:
        spoken(line, "slt")
    phone = Phone(lines)
    ep = endpoint(free_ports(), max_calls=4)
    config = account_config(f"sip:{user}@{registrar}", free_ports(32), max_calls=4)
    config.regConfig.registrarUri = f"sip:{registrar}"
    config.sipConfig.authCreds.append(pj.AuthCredInfo("digest", "*", user, 0, secret))
    phone.create(config)
    phone.plug = Line("phone")
    say("ready")
    while not select.select([sys.stdin], [], [], 0)[0]:
        ep.libHandleEvents(10)
        now = time.monotonic()
        for leg in list(phone.legs):
            leg.step(now)
            if leg.over:
                phone.legs.remove(leg)
                say("ended", reason=leg.reason)
    if sys.stdin.readline():
        phone.setRegistration(False)
    for _ in range(30):
        ep.libHandleEvents(10)
    phone.shutdown()
    ep.libDestroy()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:]))
