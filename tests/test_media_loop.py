"""The daemon's tick in a real event loop, between real rings and plain callables."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine

from appliance.audio.formats import FRAME_BYTES, FRAME_SAMPLES
from appliance.audio.levels import SILENCE_DBOV
from appliance.audio.playout import Playout
from appliance.audio.rings import FrameRing
from appliance.calls import effects, events
from appliance.calls.events import AnyEvent
from appliance.engines.wire import Audio, Frames, Row, Rows
from appliance.leg import Leg
from appliance.media_loop import MAX_IN_FLIGHT, MediaLoop

LOUD = b"\x00\x40" * FRAME_SAMPLES  # half of full scale: -6 dBov
DEADLINE_S = 5.0
POLL_S = 0.002


class Line:
    def __init__(self, call: str) -> None:
        self.received = FrameRing(200)
        self.sent = FrameRing(200)
        self.playout = Playout()
        self.leg = Leg(call, self.received, self.sent, self.playout)

    def beat(self, caller: bytes, agent: bytes | None = None) -> None:
        """What the media clock does: a frame comes, a frame leaves."""
        self.received.push(caller)
        self.sent.push(self.playout.next_frame() if agent is None else agent)


class Shell:
    """The rest of the daemon: keeps what it is told."""

    def __init__(self, *calls: str) -> None:
        self.beat_at: float | None = None
        self.asked: list[Frames] = []
        self.told: list[AnyEvent] = []
        self.recorded: list[tuple[str, bytes, bytes]] = []
        self.media = MediaLoop(
            beat_at=lambda: self.beat_at,
            send=self.asked.append,
            happened=self.told.append,
            record=lambda call, caller, agent: self.recorded.append((call, caller, agent)),
        )
        self.lines = {call: Line(call) for call in calls}
        self.media.legs.update({call: line.leg for call, line in self.lines.items()})

    async def until(self, condition: Callable[[], bool]) -> None:
        for _ in range(round(DEADLINE_S / POLL_S)):
            if condition():
                return
            await asyncio.sleep(POLL_S)
        raise AssertionError(f"did not come within {DEADLINE_S} s")

    async def tick_with(self, caller: bytes) -> Frames:
        """One frame on every line, and what the worker was asked for it."""
        had = len(self.asked)
        for line in self.lines.values():
            line.beat(caller)
        await self.until(lambda: len(self.asked) > had)
        return self.asked[-1]

    def answer(self, asked: Frames, *, text: str | None = None) -> None:
        self.media.rows(Rows(asked.seq, [Row(call, 0.9, -20.0, text) for call, _ in asked.frames]))


def frame(number: int) -> bytes:
    return bytes([number]) * FRAME_BYTES


def play(story: Callable[[], Coroutine[None, None, None]]) -> None:
    asyncio.run(story())


def test_all_calls_of_a_tick_go_in_one_message_and_come_back_as_what_was_heard() -> None:
    async def story() -> None:
        shell = Shell("a", "b")
        shell.lines["a"].beat(frame(1), LOUD)
        shell.lines["a"].beat(frame(2))
        shell.lines["b"].beat(frame(3))
        shell.media.start()
        await shell.until(lambda: bool(shell.asked))
        shell.media.stop()
        (asked,) = shell.asked
        assert asked.frames == [("a", frame(1)), ("a", frame(2)), ("b", frame(3))]
        assert shell.recorded == [("a", frame(1), LOUD), ("a", frame(2), bytes(320)), ("b", frame(3), bytes(320))]
        rows = [Row("a", 0.9, -20.0, None), Row("a", 0.8, -21.0, "yes"), Row("b", 0.1, -60.0, None)]
        shell.media.rows(Rows(asked.seq, rows))
        first, second, third = shell.told
        assert isinstance(first, events.Heard)
        assert (first.call, first.at_samples, first.speech, first.text) == ("a", FRAME_SAMPLES, 0.9, None)
        assert -6.1 < first.outbound_dbov < -5.9, "the level of what left with it"
        assert second == events.Heard("a", 2 * FRAME_SAMPLES, 0.8, -21.0, SILENCE_DBOV, "yes")
        assert third == events.Heard("b", FRAME_SAMPLES, 0.1, -60.0, SILENCE_DBOV, None)

    play(story)


def test_it_ticks_every_20_ms_until_it_is_stopped() -> None:
    async def story() -> None:
        shell = Shell("a")
        loop = asyncio.get_running_loop()
        shell.media.start()
        began = loop.time()
        seqs = [(await shell.tick_with(frame(n))).seq for n in range(10)]
        assert seqs == list(range(1, 11))
        assert loop.time() - began >= 9 * 0.02 * 0.9, "never two ticks for one beat"
        shell.media.stop()
        shell.media.stop()
        shell.lines["a"].beat(frame(11))
        await asyncio.sleep(0.05)
        assert len(shell.asked) == 10

    play(story)


def test_nothing_came_and_nothing_is_asked() -> None:
    async def story() -> None:
        shell = Shell("a")
        shell.media.stop()  # before it was started: nothing
        shell.media.start()
        ticks = shell.media.clock.deadline
        await shell.until(lambda: shell.media.clock.deadline >= ticks + 0.05)
        shell.media.stop()
        assert shell.asked == []

    play(story)


def test_the_voice_goes_out_and_its_progress_comes_back() -> None:
    async def story() -> None:
        shell = Shell("a")
        line = shell.lines["a"]
        shell.media.audio(Audio("gone", 1, 0, bytes(320), True))
        assert shell.told == []
        shell.media.audio(Audio("a", 1, 0, LOUD, True))
        assert shell.told == []  # nothing was to be said: it is late audio of what was hushed
        shell.media.legs["a"].say(effects.Say("a", 1, 0, "Hello.", False))
        shell.media.audio(Audio("a", 1, 0, LOUD, True))
        assert shell.told == [events.Voiced("a", 1, 0, FRAME_SAMPLES)]
        line.playout.close(1)
        shell.media.start()
        await shell.tick_with(frame(1))
        await shell.until(lambda: len(shell.told) == 2)
        shell.media.stop()
        assert shell.told[1] == events.Played("a", 1, FRAME_SAMPLES, True, FRAME_SAMPLES)
        assert shell.recorded == [("a", frame(1), LOUD)]

    play(story)


def test_a_call_may_end_in_what_its_own_progress_leads_to() -> None:
    async def story() -> None:
        shell = Shell("a", "b")
        told: list[AnyEvent] = []

        def happened(event: AnyEvent) -> None:
            told.append(event)
            shell.media.remove(event.call)

        media = MediaLoop(beat_at=lambda: None, send=shell.asked.append, happened=happened, record=lambda *_: None)
        media.legs.update({call: line.leg for call, line in shell.lines.items()})
        shell.media = media
        for line in shell.lines.values():
            line.leg.play(1, LOUD)
        media.start()
        await shell.tick_with(frame(1))
        await shell.until(lambda: not media.legs)
        assert [event.call for event in told] == ["a", "b"]
        media.stop()

    play(story)


def test_rows_nobody_waits_for_are_nothing() -> None:
    async def story() -> None:
        shell = Shell("a")
        shell.media.start()
        first, second, third = [await shell.tick_with(frame(n)) for n in range(3)]
        shell.answer(second)
        assert len(shell.told) == 1
        shell.answer(first)  # lost with a worker, by the order of answers
        shell.answer(second)
        shell.answer(Frames(99, third.frames))
        assert len(shell.told) == 1
        shell.media.worker_gone()
        shell.answer(third)
        assert len(shell.told) == 1
        fourth = await shell.tick_with(frame(4))
        shell.answer(fourth)
        assert [event.at_samples for event in shell.told if isinstance(event, events.Heard)] == [320, 640]
        shell.media.stop()

    play(story)


def test_a_worker_that_does_not_answer_is_counted_and_costs_no_memory() -> None:
    async def story() -> None:
        shell = Shell("a")
        # Many ticks in no time: what came stands for each of them.
        for n in range(MAX_IN_FLIGHT + 3):
            shell.lines["a"].beat(frame(n % 250))
            shell.media._tick()
        shell.media.stop()
        assert shell.media.unanswered_ticks == 3
        shell.answer(shell.asked[2])
        assert shell.told == [], "given up"
        shell.answer(shell.asked[3])
        assert len(shell.told) == 1

    play(story)


def test_how_long_the_worker_is_waited_for() -> None:
    async def story() -> None:
        shell = Shell("a")
        shell.media.start()
        assert shell.media.waiting_s == 0.0
        first = await shell.tick_with(frame(1))
        await shell.until(lambda: shell.media.waiting_s > 0.03)
        second = await shell.tick_with(frame(2))
        waited_s = shell.media.waiting_s
        shell.answer(first)
        assert shell.media.waiting_s < waited_s, "it lives"
        shell.answer(second)
        assert shell.media.waiting_s == 0.0
        await shell.tick_with(frame(3))
        assert shell.media.waiting_s < 0.03, "while it was asked nothing it owed nothing"
        shell.media.worker_gone()
        assert shell.media.waiting_s == 0.0
        shell.media.stop()

    play(story)


def test_the_path_is_timed_from_the_beat_that_brought_the_frame() -> None:
    async def story() -> None:
        shell = Shell("a")
        loop = asyncio.get_running_loop()
        shell.media.start()
        shell.beat_at = loop.time() - 0.1
        shell.answer(await shell.tick_with(frame(1)))
        assert shell.media.path.report().max_ms >= 100
        shell.beat_at = loop.time() + 9.0  # a beat that comes between the tick and its reading of the clock
        shell.answer(await shell.tick_with(frame(2)))
        report = shell.media.path.report()
        assert report.count == 2
        assert report.max_ms < 1000
        shell.media.stop()

    play(story)


def test_what_an_ended_call_counted_is_kept() -> None:
    async def story() -> None:
        shell = Shell("a", "b")
        for line in shell.lines.values():
            line.playout.write(1, 0, LOUD, False)
            line.beat(frame(1))
            line.beat(frame(2))  # the voice has no more: an underrun
        for n in range(205):
            shell.lines["a"].received.push(frame(n))
        assert (shell.media.underruns, shell.media.overruns) == (2, 7)
        shell.media.remove("a")
        shell.media.remove("a")
        assert list(shell.media.legs) == ["b"]
        assert (shell.media.underruns, shell.media.overruns) == (2, 7)

    play(story)
