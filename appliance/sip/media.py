"""A call's audio, where pjmedia's clock thread and the daemon meet.

pjmedia calls the ports of all calls once per 20 ms, on its own thread, first for what to send, then with what came.
A callback copies and returns: no lock, no log, no call into pj but for the copy itself.
"""

from __future__ import annotations

import time

import pjsua2 as pj

from appliance.audio.formats import FRAME_BYTES, FRAME_S, RATE_HZ, SILENCE
from appliance.audio.playout import Playout
from appliance.audio.rings import FrameRing
from appliance.audio.tick import Grid

LATE_S = 0.005
"""A beat later than this is late: the media bench counts by the same measure, on the wire."""
RING_FRAMES = 250
"""5 s: longer than any pause of the event loop that a call survives."""


class CallMedia:
    """One call's audio. `received` and `sent` get one frame each per 20 ms, in step, from audio time 0 on.

    `sent` has the very frames that left, for the recording and for the outbound level. Both may be drained by one
    thread; `playout` is written by that same thread. `codec` is the one agreed on, as in SDP; "" before that.
    """

    def __init__(self, call: str) -> None:
        self.call = call
        self.codec = ""
        self.received = FrameRing(RING_FRAMES)
        self.sent = FrameRing(RING_FRAMES)
        self.playout = Playout()
        self.started = False


class MediaClock:
    """What the daemon knows of pjmedia's 20 ms clock, which beats from start to stop, calls or none.

    `late_frames` counts what callers may have heard: one per call that is up (`plugged` of them), each time a beat is
    over 5 ms late. `faults` counts callbacks that failed, which is a bug.
    """

    def __init__(self) -> None:
        self.last_beat_at: float | None = None
        self.late_frames = 0
        self.faults = 0
        self.plugged = 0
        self._grid = Grid(FRAME_S)
        self._fault: str | None = None

    def beat(self, now: float) -> None:
        if self._grid.beat(now) > LATE_S:
            self.late_frames += self.plugged
        self.last_beat_at = now

    def failed(self, error: Exception) -> None:
        """A callback did. Only counted and kept: the clock's thread does not log."""
        if not self.faults:
            self._fault = type(error).__name__
        self.faults += 1

    def take_fault(self) -> str | None:
        """The type of the first fault, once; None before it and after."""
        fault, self._fault = self._fault, None
        return fault


def pcm_format() -> pj.MediaFormatAudio:
    """8 kHz mono 16 bit in frames of 20 ms, as the bridge runs: nothing is resampled or re-framed."""
    bits_per_second = RATE_HZ * 16
    pcm = pj.MediaFormatAudio()
    pcm.init(pj.PJMEDIA_FORMAT_PCM, RATE_HZ, 1, round(FRAME_S * 1e6), 16, bits_per_second, bits_per_second)
    return pcm


class Metronome(pj.AudioMediaPort):  # type: ignore[misc]
    """A port that is connected to nothing and so hears each beat of the bridge exactly once."""

    def __init__(self, clock: MediaClock) -> None:
        super().__init__()
        self._clock = clock

    def onFrameReceived(self, frame: pj.MediaFrame) -> None:
        self._clock.beat(time.monotonic())


class MediaPort(pj.AudioMediaPort):  # type: ignore[misc]
    """A call's plug in the bridge. Ports are kept and used again: pj must never lose one that its clock may call.

    The bindings hand buffers to C with the interpreter's lock released, reference counts included. So only buffers
    that this port alone knows are passed, never a frame that another thread may hold.
    """

    def __init__(self, clock: MediaClock) -> None:
        super().__init__()
        self._media: CallMedia | None = None
        self._clock = clock
        self._in = bytearray(FRAME_BYTES)
        self._out = bytearray(FRAME_BYTES)
        self._gave = False

    def plug(self, media: CallMedia | None) -> None:
        """From now on the port speaks for `media`; for nobody when None."""
        self._clock.plugged += (media is not None) - (self._media is not None)
        self._gave = False
        self._media = media

    def onFrameRequested(self, frame: pj.MediaFrame) -> None:
        frame.type = pj.PJMEDIA_FRAME_TYPE_AUDIO
        try:
            media = self._media
            outgoing = SILENCE if media is None else media.playout.next_frame()
            self._out[:] = outgoing
            frame.buf.assign_from_bytes(self._out)
            if media is not None:
                media.sent.push(outgoing)
                media.started = self._gave = True
        except Exception as error:  # noqa: BLE001 - the boundary of pjmedia's thread: nothing may travel into C
            self._clock.failed(error)

    def onFrameReceived(self, frame: pj.MediaFrame) -> None:
        try:
            media = self._media
            if media is None or not media.started:
                return
            self._in[:] = SILENCE  # an empty frame means that there was nothing to hear
            frame.buf.copy_to_bytearray(self._in)
            if not self._gave:  # the far end is on hold and nothing was asked for: keep the two in step
                media.sent.push(SILENCE)
            self._gave = False
            media.received.push(bytes(self._in))
        except Exception as error:  # noqa: BLE001 - the boundary of pjmedia's thread: nothing may travel into C
            self._clock.failed(error)
