"""The composition root: the only module that knows all parts. One asyncio loop, which never blocks.

The SIP thread, the store's writers and the workers' sockets post to the loop; the loop asks the pure core what to do
and does it. Every 20 ms one tick gathers all calls' audio.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections import deque
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import assert_never

import msgspec

from appliance import __version__
from appliance.api import wire as api
from appliance.api.server import ApiServer
from appliance.calls import effects, events
from appliance.calls.campaign import Campaign
from appliance.calls.effects import AnyEffect
from appliance.calls.events import AnyEvent, Engine
from appliance.calls.switchboard import Switchboard
from appliance.config.settings import Settings
from appliance.dialer_side import TOLD_S, DialerSide
from appliance.dialers.messages import Correlated, FromDesk
from appliance.engine_room import EngineRoom
from appliance.engines import wire
from appliance.leg import Leg
from appliance.media_loop import MediaLoop
from appliance.sip.endpoint import InviteRefused, MailboxChanged, SipEndpoint
from appliance.sip.refer import Referred
from appliance.sip.registration import RegistrationChanged, State
from appliance.store.recordings import Filed
from appliance.store.store import Store
from appliance.supervised import Supervised

log = logging.getLogger("sidetone")

SIP_STOP_S = 3.0
FAREWELL_S = 8.0  # for the goodbye of calls that outlast the drain
GOVERN_S = 1.0
STALLED_S = 3.0  # a media clock that stands still for so long means that every call is mute

_REGISTRATION_LEVEL = {State.LOST: logging.WARNING, State.REFUSED: logging.ERROR}


class ActiveCall(msgspec.Struct):
    """What status and store want to know of a call that is up."""

    caller_name: str
    caller_number: str
    started_at: str
    dialer_call_id: str = ""


class Daemon:
    """Made and run inside a running loop: `await Daemon(settings, campaign).run()` serves until SIGTERM, SIGINT or a
    drain request, and returns the exit code."""

    def __init__(self, settings: Settings, campaign: Campaign) -> None:
        self._settings = settings
        self._campaign = campaign
        self._loop = asyncio.get_running_loop()
        self._started_at = _iso(datetime.now(UTC))
        self._switchboard = Switchboard(
            campaign,
            lines=settings.capacity.lines,
            longest_call_s=settings.limits.call_s,
            shadow=settings.dialer.shadow,
            on_bug=self._bug,
        )
        self._store = Store(
            settings.paths,
            recording=settings.recording.enabled,
            shadow=settings.dialer.shadow,
            changed=lambda: self._loop.call_soon_threadsafe(self._store_changed),
        )
        self._sip = SipEndpoint(settings.sip, max_calls=settings.capacity.lines + 2, post=self._from_sip_thread)
        self._api = ApiServer(
            settings.paths.runtime / "api.sock",
            snapshot=self._status,
            drain=self._drain_asked,
            retry_outbox=self._retry_outbox,
        )
        self._engines = EngineRoom(
            settings,
            campaign,
            message=self._from_worker,
            lost=self._engine_lost,
            back=self._engine_back,
            speech_waiting_s=lambda: self._media.waiting_s,
        )
        self._media = MediaLoop(
            beat_at=lambda: self._sip.clock.last_beat_at,
            send=self._engines.speech,
            happened=self._happened,
            record=self._store.audio,
        )
        self._dialer = DialerSide(
            settings,
            campaign,
            sip=self._sip,
            store=self._store,
            switchboard=self._switchboard,
            happened=self._happened,
            publish=self._api.publish,
            posted=self._from_desk_thread,
        )
        self._supervised = Supervised(alive=self._media_moves)
        self._calls: dict[str, ActiveCall] = {}
        self._abandoned: set[str] = set()
        self._registration = api.Registration()
        self._stop = asyncio.Event()
        self._in_haste = asyncio.Event()
        self._stopping = False
        self._drain_s = settings.limits.drain_s
        self._none_left = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._arming: asyncio.Handle | None = None

    async def run(self) -> int:
        """Start every part, serve, drain, stop. Raises SidetoneError when a part cannot start."""
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self._signalled)
        async with AsyncExitStack() as started:
            started.callback(log.info, "stopped")
            if await self._before_a_stop(self._start(started)):
                self._supervised.ready()
                log.info("ready for %d calls", self._settings.capacity.lines)
                await self._stop.wait()
                self._supervised.stopping()
                await self._drain()
        return 0

    async def _start(self, started: AsyncExitStack) -> None:
        """Start the parts. What is on `started` is stopped again, the last one first, wherever the start ends."""
        log.info("sidetone %s, campaign '%s'", __version__, self._campaign.name)
        await self._api.start()
        started.push_async_callback(self._api.stop)
        self._store.start()
        started.push_async_callback(asyncio.to_thread, self._store.stop)
        if self._store.recovered:
            log.warning("calls that an earlier run left open, now closed as technical: %d", self._store.recovered)
        started.push_async_callback(self._engines.stop)
        await self._engines.start()
        self._dialer.start()  # first: whoever sits in silence since a crash is helped while the models load
        started.push_async_callback(asyncio.to_thread, self._dialer.stop)
        await self._engines.render_prompts()
        started.push_async_callback(asyncio.to_thread, self._sip.stop, SIP_STOP_S)
        self._sip.start()
        started.callback(self._media.stop)
        self._media.start()
        self._engines.watch()
        self._govern()
        self._sip.register()

    async def _before_a_stop(self, start: Coroutine[None, None, None]) -> bool:
        """True when `start` is done; it is given up, for False, when a stop is asked for meanwhile: models load slowly."""
        starting, stopping = self._loop.create_task(start), self._loop.create_task(self._stop.wait())
        try:
            await asyncio.wait((starting, stopping), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (starting, stopping):
                task.cancel()
            await asyncio.wait((starting, stopping))
        if not starting.cancelled():
            starting.result()
        return not self._stop.is_set()

    def _media_moves(self) -> bool:
        beat_at = self._sip.clock.last_beat_at
        return beat_at is not None and self._loop.time() - beat_at < STALLED_S

    async def _drain(self) -> None:
        """No new calls; running ones may finish, and get a goodbye when they take too long.

        The dialer is asked first: what it sends till it has heard is still talked to, for elsewhere it meets nobody.
        """
        self._stopping = True
        log.info("draining: no new calls; %d are up and may take %.0f s", len(self._calls), self._drain_s)
        self._store.event("drain", {"calls": len(self._calls), "limit_s": self._drain_s})
        self._api.publish(api.DrainStarted(self._drain_s))
        comes_for_s = self._dialer.pause()
        if comes_for_s is not None:
            await self._within(TOLD_S, self._dialer.told_to_pause)
            await self._within(comes_for_s, self._in_haste)
        self._switchboard.drain()
        self._sip.unregister()
        if not await self._wait_until_idle(self._drain_s):
            log.info("ending %d calls that outlast the drain", len(self._calls))
            self._do(self._switchboard.stop(self._loop.time()))
            await self._wait_until_idle(FAREWELL_S)

    async def _within(self, limit_s: float, event: asyncio.Event) -> None:
        """Wait for it so long at most, or till the stop is in haste."""
        waits = [self._loop.create_task(each.wait()) for each in {event, self._in_haste}]
        await asyncio.wait(waits, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()

    async def _wait_until_idle(self, limit_s: float) -> bool:
        self._none_left.clear()
        if not self._calls:
            return True
        try:
            async with asyncio.timeout(limit_s):
                await self._none_left.wait()
        except TimeoutError:
            return False
        return True

    def _signalled(self) -> None:
        """The first signal drains, the second cuts the drain short."""
        if self._stop.is_set():
            self._in_haste.set()
            self._do(self._switchboard.stop(self._loop.time()))
        self._stop.set()

    def _drain_asked(self, limit_s: float | None) -> None:
        if limit_s is not None:
            self._drain_s = limit_s
        self._stop.set()

    def _retry_outbox(self) -> None:
        self._dialer.desk.retry()

    # The core's shell ------------------------------------------------------------------------------------------------

    def _happened(self, event: AnyEvent) -> None:
        """One event of one call: ask the core, do what it says, re-arm the one timer."""
        self._do(self._switchboard.handle(event, self._loop.time()))

    def _do(self, todo: list[AnyEffect]) -> None:
        effects_left = deque(todo)
        while effects_left:
            effect = effects_left.popleft()
            try:
                self._perform(effect)
            except Exception as bug:  # noqa: BLE001 - the boundary of one call: its bug must not reach the others
                self._bug(effect.call, bug)
                effects_left += self._abandon(effect.call)
        if self._arming is None:
            # Once per turn of the loop: the deadline looks at every call, and a tick brings an event for each of them.
            self._arming = self._loop.call_soon(self._arm)

    def _arm(self) -> None:
        self._arming = None
        if self._timer is not None:
            self._timer.cancel()
        deadline = self._switchboard.deadline
        self._timer = self._loop.call_at(deadline, self._timer_due) if deadline is not None else None

    def _abandon(self, call: str) -> list[AnyEffect]:
        """What ends a call whose effect could not be performed; nothing the second time, for that is how loops begin."""
        if call in self._abandoned:
            return []
        self._abandoned.add(call)
        return self._switchboard.abandon(call, self._loop.time())

    def _bug(self, call: str, bug: Exception) -> None:
        log.error("%s: a bug ends this call", call, exc_info=bug)

    def _timer_due(self) -> None:
        self._do(self._switchboard.handle_timer(self._loop.time()))

    def _perform(self, effect: AnyEffect) -> None:
        speech, mind = self._engines.speech, self._engines.mind
        call = effect.call
        leg = self._media.legs.get(call)
        match effect:
            case effects.Answer():
                self._sip.answer(call)
            case effects.HangUp():
                self._sip.hang_up(call)
            case effects.Say(utterance=utterance, clause=clause, text=text):
                if leg is not None:
                    leg.say(effect)
                if text:
                    speech(wire.Speak(call, utterance, clause, text))
            case effects.Play(utterance=utterance, prompt=prompt):
                self._play(leg, utterance, self._engines.prompts[prompt])
            case effects.Pause():
                if leg is not None:
                    leg.playout.pause()
            case effects.Resume():
                if leg is not None:
                    leg.playout.resume()
            case effects.Hush(utterance=utterance):
                if leg is not None:
                    leg.hush(utterance)
                speech(wire.StopSpeaking(call, utterance))
            case effects.Expect(question=question):
                speech(wire.ExpectNext(call, question))
            case effects.Finalize(turn=turn):
                speech(wire.FinalizeTurn(call, turn))
            case effects.Understand(request=request, question=question, text=text):
                mind(wire.Ask(call, request, question, text))
            case effects.Phrase(request=request, acts=acts):
                mind(wire.Compose(call, request, acts))
            case effects.Forget(request=request):
                mind(wire.Cancel(call, request))
            case effects.Release() | effects.Transfer() | effects.OptOut() | effects.BookCallback():
                self._dialer.perform(effect)
            case effects.Note():
                self._store.note(effect)
                self._dialer.note(effect)
            case effects.TurnTaken():
                self._turn_taken(effect)
            case effects.Concluded():
                self._concluded(effect)
            case _:
                assert_never(effect)

    def _govern(self) -> None:
        now = self._loop.time()
        self._dialer.govern(self._media.lately().p99_ms, self._sip.clock.late_frames, len(self._media.legs), now)
        self._loop.call_later(GOVERN_S, self._govern)

    def _turn_taken(self, effect: effects.TurnTaken) -> None:
        self._store.turn(effect)
        self._dialer.turn(effect)
        self._api.publish(
            api.TurnHappened(
                effect.call, effect.who.value, effect.text, effect.start_s, effect.end_s, effect.gap_ms, effect.cut
            )
        )

    # The engines -----------------------------------------------------------------------------------------------------

    def _engine_lost(self, engine: Engine) -> None:
        log.error("the %s worker is gone with %d calls up", engine.value, len(self._media.legs))
        self._store.event("engine_lost", {"engine": engine.value})
        self._media_loses(engine)
        self._do(self._switchboard.engine_lost(engine, self._loop.time()))
        self._api.publish(api.EngineChanged(self._engines.health(engine)))

    def _engine_back(self, engine: Engine) -> None:
        log.info("the %s worker is back", engine.value)
        self._store.event("engine_back", {"engine": engine.value})
        self._media_loses(engine)
        self._engines.open_calls(engine, self._switchboard.active)
        self._do(self._switchboard.engine_back(engine, self._loop.time()))
        self._api.publish(api.EngineChanged(self._engines.health(engine)))

    def _media_loses(self, engine: Engine) -> None:
        """What was asked of the engine will not be answered."""
        if engine is Engine.SPEECH:
            self._media.worker_gone()

    def _play(self, leg: Leg | None, utterance: int, pcm: bytes) -> None:
        for event in leg.play(utterance, pcm) if leg is not None else []:
            self._loop.call_soon(self._happened, event)

    def _concluded(self, effect: effects.Concluded) -> None:
        call = effect.call
        self._media.remove(call)
        self._engines.close_call(call)
        self._dialer.concluded(effect)
        filed = self._store.concluded(effect)
        filed.add_done_callback(lambda done: self._loop.call_soon_threadsafe(self._filed, effect, done.result()))
        log.info("%s ended: %s after %.1f s", call, effect.outcome, effect.duration_s)

    def _filed(self, effect: effects.Concluded, filed: Filed) -> None:
        """The call's files are complete: only now it has ended for everybody else."""
        self._calls.pop(effect.call, None)
        self._abandoned.discard(effect.call)
        self._api.publish(api.MediaChanged(self._media_counts()))
        self._api.publish(
            api.CallEnded(
                effect.call,
                effect.outcome,
                effect.slots,
                effect.duration_s,
                str(filed.recording) if filed.recording else None,
                str(filed.transcript) if filed.transcript else None,
                effect.transferred,
            )
        )
        if not self._calls:
            self._none_left.set()

    def _store_changed(self) -> None:
        self._api.publish(api.StoreChanged(self._store_health()))

    # From the SIP thread ---------------------------------------------------------------------------------------------

    def _from_sip_thread(self, event: object) -> None:
        self._loop.call_soon_threadsafe(self._from_sip, event)

    def _from_sip(self, event: object) -> None:
        match event:
            case events.Incoming(caller_name=name, caller_number=number, sip_call_id=sip_call_id):
                name, number, sip_call_id = map(_readable, (name, number, sip_call_id))
                self._incoming(events.Incoming(event.call, name, number, sip_call_id, tuple(map(_readable, event.ids))))
            case events.HungUp(call=call, code=408, by_us=False):
                # One row of its own: a network that was cut shows in these, call by call.
                self._dialer.alarm("rtp_lost", f"{call}: {_readable(event.reason)}; its leg was ended")
                self._happened(event)
            case events.MediaStarted() | events.HungUp():
                self._happened(event)
            case RegistrationChanged(state=state, detail=detail):
                self._registration_changed(state, _readable(detail))
            case MailboxChanged(new=new):
                self._dialer.mailbox_changed(new)
            case Referred(call=call, code=code, final=True):
                self._dialer.desk.referred(call, 200 <= code < 300)
            case InviteRefused(code=code, reason=reason, ids=ids):
                self._dialer.alarm("invite_refused", f"the SIP stack refused a call: {code} {reason}")
                self._dialer.refused(ids)

    def _registration_changed(self, state: State, detail: str) -> None:
        log.log(_REGISTRATION_LEVEL.get(state, logging.INFO), "%s", detail)
        self._registration = api.Registration(api.RegistrationState(state.value), detail)
        self._dialer.registration(state)
        self._supervised.says(detail)
        self._store.event("registration", {"state": state.value, "detail": detail})
        self._api.publish(api.RegistrationChanged(self._registration))

    def _incoming(self, event: events.Incoming) -> None:
        media = self._sip.media(event.call)
        if media is None:
            self._dialer.vanished(event)  # hung up before we got here
            return
        self._media.legs[event.call] = Leg(event.call, media.received, media.sent, media.playout)
        now = datetime.now(UTC)
        self._calls[event.call] = ActiveCall(event.caller_name, event.caller_number, _iso(now))
        self._engines.open_call(event.call)
        log.info("%s began", event.call)
        self._store.call_started(event, now)
        self._dialer.arrived(event)
        self._api.publish(api.CallStarted(event.call, event.caller_name, event.caller_number, _iso(now)))
        self._happened(event)

    # From the dialer's desk ------------------------------------------------------------------------------------------

    def _from_desk_thread(self, message: FromDesk) -> None:
        self._loop.call_soon_threadsafe(self._from_desk, message)

    def _from_desk(self, message: FromDesk) -> None:
        if isinstance(message, Correlated) and (up := self._calls.get(message.call)) is not None:
            up.dialer_call_id = message.ref.call_id
        self._dialer.told(message)

    # From the workers ------------------------------------------------------------------------------------------------

    def _from_worker(self, message: wire.FromSpeech | wire.FromMind) -> None:
        match message:
            case wire.Rows():
                self._media.rows(message)
            case wire.Audio():
                self._media.audio(message)
            case wire.Final(call=call, turn=turn, text=text):
                self._happened(events.Transcribed(call, turn, text))
            case wire.Meaning(call=call, request=request, understanding=understanding):
                self._happened(events.Understood(call, request, understanding))
            case wire.Clause(call=call, request=request, text=text, last=last):
                self._happened(events.Phrased(call, request, text, last))
            case wire.Rendered() | wire.Ready() | wire.Failed():
                pass
            case _:
                assert_never(message)

    # Status ----------------------------------------------------------------------------------------------------------

    def _status(self) -> api.Status:
        states = self._switchboard.active
        return api.Status(
            version=__version__,
            started_at=self._started_at,
            lines=self._settings.capacity.lines,
            draining=self._stopping,
            registration=self._registration,
            calls=[
                api.ActiveCall(
                    call,
                    up.caller_name,
                    up.caller_number,
                    up.started_at,
                    states[call].value if call in states else "ended",
                    up.dialer_call_id,
                )
                for call, up in self._calls.items()
            ],
            engines=[self._engines.health(engine) for engine in Engine],
            media=self._media_counts(),
            store=self._store_health(),
            dialer=self._dialer.health(),
            alarms=self._dialer.alarms,
            refused_invites=self._sip.refused_invites,
        )

    def _media_counts(self) -> api.Media:
        path = self._media.path.report()
        return api.Media(
            late_frames=self._sip.clock.late_frames,
            underruns=self._media.underruns,
            overruns=self._media.overruns,
            path_p50_ms=path.p50_ms,
            path_p99_ms=path.p99_ms,
            path_max_ms=path.max_ms,
        )

    def _store_health(self) -> api.StoreHealth:
        health = self._store.health
        return api.StoreHealth(health.healthy, health.detail, health.lost_rows, health.lost_audio_s)


def _readable(text: str) -> str:
    """Without halves of surrogate pairs, which no encoder takes: SIP may bring any bytes as text."""
    return text.encode("utf-8", "replace").decode()


def _iso(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
