"""The other end of the line, in a process of its own (pjsua is one per process): answers, calls, plays and measures.

Commands come as JSON lines on stdin, `{"do": "place", ...}`; events and answers go as JSON lines to stdout.
usage: python -m tests.sip.far_end TONE_HZ
"""

from __future__ import annotations

import json
import queue
import sys
import threading
from typing import Any

import numpy as np
from pydantic import SecretStr

from appliance.audio.formats import FRAME_BYTES, RATE_HZ
from appliance.audio.levels import level_dbov
from appliance.calls.events import HungUp, Incoming, MediaStarted
from appliance.config.settings import Sip
from appliance.sip.endpoint import SipEndpoint

TONE_S = 20
TONE_DBOV = -20.0


def tone(hz: float, seconds: float, dbov: float = TONE_DBOV) -> bytes:
    """A sine of the given RMS level."""
    peak = 32768 * 10 ** (dbov / 20) * np.sqrt(2)
    wave = np.sin(2 * np.pi * hz * np.arange(round(seconds * RATE_HZ)) / RATE_HZ)
    return bytes(np.rint(peak * wave).astype("<i2").tobytes())


def level_at(pcm: bytes, hz: float) -> float:
    """Level in dBov of what sounds at `hz` in `pcm`."""
    samples = np.frombuffer(pcm, dtype="<i2").astype(np.float64)
    if not len(samples):
        return -127.0
    turn = np.exp(-2j * np.pi * hz * np.arange(len(samples)) / RATE_HZ)
    rms = abs(np.dot(samples, turn)) * np.sqrt(2) / len(samples)
    return float(20 * np.log10(max(rms, 1e-2) / 32768))


def settings(**changes: Any) -> Sip:
    fields: dict[str, Any] = {
        "registrar": "127.0.0.1:9",
        "username": "8371",
        "password": SecretStr("secret"),
        "bind": "127.0.0.1",
        "port": 0,
        "rtp_port": 24000,
        "trusted": ["127.0.0.1"],
    }
    return Sip(**{**fields, **changes})


class FarEnd:
    def __init__(self, tone_hz: float) -> None:
        self._tone = tone(tone_hz, TONE_S)
        self._one_line = threading.Lock()
        self._events: queue.SimpleQueue[object] = queue.SimpleQueue()
        self._endpoint = SipEndpoint(settings(username="dialer", rtp_port=30000), 128, self._events.put)

    def run(self) -> None:
        self._endpoint.start()
        self._say({"event": "up", "port": self._endpoint.port})
        threading.Thread(target=self._tell, daemon=True).start()
        for line in sys.stdin:
            self._obey(json.loads(line))
        self._endpoint.stop(2.0)

    def _tell(self) -> None:
        while True:
            match self._events.get():
                case Incoming(call=call, caller_name=name, caller_number=number):
                    self._endpoint.answer(call)
                    self._say({"event": "incoming", "call": call, "name": name, "number": number})
                case MediaStarted(call=call):
                    media = self._endpoint.media(call)
                    if media is not None:
                        media.playout.write(1, 0, self._tone, True)
                        media.playout.close(1)
                    self._say({"event": "started", "call": call})
                case HungUp(call=call, code=code, by_us=by_us):
                    self._say({"event": "hung_up", "call": call, "code": code, "by_us": by_us})

    def _obey(self, command: dict[str, Any]) -> None:
        match command.pop("do"):
            case "place":
                self._say({"answer": self._endpoint.place(**command)})
            case "hang_up":
                self._endpoint.hang_up(command["call"])
                self._say({"answer": True})
            case "measure":
                media = self._endpoint.media(command["call"])
                pcm = b"" if media is None else b"".join(media.received.drain())[-50 * FRAME_BYTES :]
                self._say({"answer": {"level": level_dbov(pcm), "at": level_at(pcm, command["hz"]), "bytes": len(pcm)}})

    def _say(self, message: dict[str, Any]) -> None:
        with self._one_line:
            print(json.dumps(message), flush=True)


if __name__ == "__main__":
    FarEnd(float(sys.argv[1])).run()
