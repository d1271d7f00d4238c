"""The engine workers as the daemon sees them: started, watched, asked, and killed when they hang."""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import signal
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import assert_never

from appliance.api import wire as api
from appliance.calls.campaign import Campaign
from appliance.calls.effects import Prompt
from appliance.calls.events import Engine
from appliance.config.settings import Settings
from appliance.engines import wire
from appliance.engines.client import WorkerClient, mind_spec, speech_spec
from appliance.errors import BackendError
from appliance.owed import Owed

log = logging.getLogger("sidetone")

RENDER_S = 20.0
# A worker that answers nothing for so long is as good as dead, and is killed to be that: nobody tells a call of one that hangs.
HUNG_S = {Engine.SPEECH: 2.0, Engine.MIND: 5.0}
WATCH_S = 0.25


class EngineRoom:
    """For the loop's thread. `message` gets what the workers say, `lost` and `back` when one dies and serves again.

    `speech_waiting_s` tells how long the speech worker has left a tick unanswered. `prompts` holds the audio of the lines
    that sound without any engine.
    """

    def __init__(
        self,
        settings: Settings,
        campaign: Campaign,
        *,
        message: Callable[[wire.FromSpeech | wire.FromMind], None],
        lost: Callable[[Engine], None],
        back: Callable[[Engine], None],
        speech_waiting_s: Callable[[], float],
    ) -> None:
        self.prompts: dict[Prompt, bytes] = {}
        self._campaign = campaign
        self._message = message
        self._lost = lost
        self._back = back
        self._speech_waiting_s = speech_waiting_s
        self._loop = asyncio.get_running_loop()
        self._workers = {engine: self._worker(engine, settings) for engine in Engine}
        self._owed = Owed()  # by the mind
        self._prompt_came = asyncio.Event()

    def _worker(self, engine: Engine, settings: Settings) -> WorkerClient:
        names, runtime = settings.engines, settings.paths.runtime
        match engine:
            case Engine.SPEECH:
                spec = speech_spec(runtime / "speech.sock", names.recognizer, names.vad, names.voice, names.speaker)
            case Engine.MIND:
                spec = mind_spec(runtime / "mind.sock", names.mind)
            case _:
                assert_never(engine)
        return WorkerClient(
            spec,
            wire.Load.of(self._campaign),
            self._from_worker,
            on_lost=functools.partial(self._worker_lost, engine),
            on_back=functools.partial(self._worker_back, engine),
        )

    async def start(self) -> None:
        """Raises BackendError when one of them cannot."""
        for done in await asyncio.gather(*(worker.start() for worker in self._workers.values()), return_exceptions=True):
            if isinstance(done, BaseException):
                raise done

    async def stop(self) -> None:
        await asyncio.gather(*(worker.stop() for worker in self._workers.values()))

    async def render_prompts(self) -> None:
        """Have the lines that must sound while every engine is dead; without them no call is taken."""
        for prompt in Prompt:
            self.speech(wire.Render(prompt.value, getattr(self._campaign.lines, prompt.value)))
        try:
            async with asyncio.timeout(RENDER_S):
                while len(self.prompts) < len(Prompt):
                    self._prompt_came.clear()
                    await self._prompt_came.wait()
        except TimeoutError:
            raise BackendError(
                f"the voice did not speak {len(Prompt)} short lines within {RENDER_S:.0f} s", hint="see its log lines"
            ) from None

    def watch(self) -> None:
        """From now on kill whichever hangs."""
        waiting_s = {Engine.SPEECH: self._speech_waiting_s(), Engine.MIND: self._owed.waiting_s(self._loop.time())}
        for engine, worker in self._workers.items():
            if worker.ready and worker.pid is not None and waiting_s[engine] > HUNG_S[engine]:
                log.error("the %s worker hangs: no answer for %.1f s; it is killed", engine.value, waiting_s[engine])
                with suppress(ProcessLookupError):
                    os.kill(worker.pid, signal.SIGKILL)
        self._loop.call_later(WATCH_S, self.watch)

    def health(self, engine: Engine) -> api.EngineHealth:
        worker = self._workers[engine]
        return api.EngineHealth(engine.value, worker.ready, worker.backends, worker.restarts)

    # Asking ----------------------------------------------------------------------------------------------------------

    def speech(self, message: wire.ToSpeech) -> None:
        self._workers[Engine.SPEECH].send(message)

    def mind(self, message: wire.ToMind) -> None:
        match message:
            case wire.Ask() | wire.Compose():
                self._owed.asked(message.call, message.request, self._loop.time())
            case wire.Cancel():
                self._owed.forget(message.call, message.request)
        self._workers[Engine.MIND].send(message)

    def open_call(self, call: str) -> None:
        for worker in self._workers.values():
            worker.send(wire.OpenCall(call))

    def open_calls(self, engine: Engine, calls: Iterable[str]) -> None:
        """For one that was away."""
        for call in calls:
            self._workers[engine].send(wire.OpenCall(call))

    def close_call(self, call: str) -> None:
        self._owed.forget(call)
        for worker in self._workers.values():
            worker.send(wire.CloseCall(call))

    # Hearing ---------------------------------------------------------------------------------------------------------

    def _from_worker(self, message: wire.FromSpeech | wire.FromMind) -> None:
        match message:
            case wire.Meaning():
                self._owed.answered(message.call, message.request, self._loop.time())
            case wire.Clause():
                self._owed.answered(message.call, message.request, self._loop.time(), last=message.last)
            case wire.Rendered():
                self.prompts[Prompt(message.name)] = message.pcm
                self._prompt_came.set()
        self._message(message)

    def _worker_lost(self, engine: Engine) -> None:
        self._owes_nothing(engine)
        self._lost(engine)

    def _worker_back(self, engine: Engine) -> None:
        self._owes_nothing(engine)  # for what was asked while it was away
        self._back(engine)

    def _owes_nothing(self, engine: Engine) -> None:
        if engine is Engine.MIND:
            self._owed.clear()
