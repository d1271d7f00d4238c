"""The dialer's hands on Asterisk: it places calls, routes answered ones, ends and moves them, and says who hung up.

VICIdial does this by the manager interface (AMI) and FastAGI, and so does this; what it decides comes from `Routing`.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, Protocol

from panoramisk.fast_agi import Application, Request  # type: ignore[import-untyped]
from panoramisk.manager import Manager  # type: ignore[import-untyped]

from tests.lab.asterisk.config import PHONE_CONTEXT, ROUTING, channel
from tests.lab.asterisk.server import Asterisk
from tests.lab.faults import LabError
from tests.lab.processes import HOST

START_S = 10.0
RINGING_S = 20
GONE = ("No such channel", "Channel does not exist")  # the customer was quicker


@dataclass(frozen=True)
class Routed:
    """The dialer's own id of an answered call, and the phone that gets it; None while it waits for `Exchange.deliver`."""

    call_id: str
    exten: str | None


class Routing(Protocol):
    """What the exchange asks and tells. Called on the exchange's thread; must return at once."""

    def answered(self, lead_id: int, channel: str) -> Routed | None:
        """A customer answered. None: there is nobody for them."""

    def box_hung_up(self, call_id: str) -> None:
        """The phone that has the call sent BYE."""

    def customer_hung_up(self, call_id: str) -> None: ...

    def ended(self, call_id: str) -> None:
        """The customer's channel is gone, whoever ended it. Comes after the two above, and last."""


class Exchange:
    """Connected when the constructor returns. A thread and an asyncio loop of its own; `close` ends it.

    `place` and the three of the double's `Switch` may be called from any thread and do not wait.
    """

    def __init__(self, asterisk: Asterisk, routing: Routing) -> None:
        if asterisk.plan.autodialer is None:
            raise LabError("this Asterisk was started without an autodialer")
        self._asterisk = asterisk
        self._plan = asterisk.plan.autodialer
        self._routing = routing
        self._calls: dict[str, str] = {}  # customer's channel -> call id
        self._legs: dict[str, str] = {}  # the phone's channel -> customer's channel
        self._asked_for: set[str] = set()  # customers' channels of which it is known who hung up
        self._awaited: dict[str, asyncio.Future[Routed]] = {}  # by customer's channel: where a call that waits goes on
        self.refused: list[str] = []  # AMI actions that Asterisk refused, with its words
        self._loop = asyncio.new_event_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._up = threading.Event()
        self._thread = threading.Thread(target=self._run, name="exchange", daemon=True)
        self._thread.start()
        if not self._up.wait(START_S):
            self.close()
            raise LabError(f"Asterisk's manager interface does not answer in {START_S:.0f} s", hint=f"see {asterisk.home}/log")

    def __enter__(self) -> Exchange:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # From any thread -------------------------------------------------------------------------------------------------

    def place(self, number: str, lead_id: int) -> None:
        """Ring the customer; on answer they are routed."""
        self._act(
            Action="Originate",
            Channel=channel(number, pjsip=self._asterisk.pjsip),
            Context=PHONE_CONTEXT,
            Exten=ROUTING,
            Priority="1",
            CallerID=f'"{lead_id}" <{number}>',
            Variable=[f"LEAD={lead_id}", f"__CUSTOMER={number}"],
            Timeout=str(RINGING_S * 1000),
            Async="true",
        )

    def hangup(self, channel: str) -> None:
        self._act(Action="Hangup", Channel=channel)

    def redirect(self, channel: str, context: str, exten: str) -> None:
        self._act(Action="Redirect", Channel=channel, Context=context, Exten=exten, Priority="1")

    def deliver(self, channel: str, call_id: str, exten: str) -> None:
        """Ring the phone `exten` for a customer who waits: for a line, or in an in-group."""
        self._loop.call_soon_threadsafe(self._deliver, channel, Routed(call_id, exten))

    def close(self) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(5)

    # The exchange's thread -------------------------------------------------------------------------------------------

    def _act(self, **action: Any) -> None:
        self._loop.call_soon_threadsafe(self._start, self._action(action))

    def _start(self, doing: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(doing)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _action(self, action: dict[str, Any]) -> None:
        replies = await self._manager.send_action(action)
        reply = replies[0] if isinstance(replies, list) else replies  # an Originate's result follows as an event
        if not reply.success and not reply.message.startswith(GONE):
            self.refused.append(f"{action['Action']} {action['Channel']}: {reply.message}")

    def _run(self) -> None:
        logging.getLogger("panoramisk").setLevel(logging.CRITICAL)  # it calls every caller who hangs up in an AGI an error
        asyncio.set_event_loop(self._loop)
        manager = Manager(
            loop=self._loop,
            host=HOST,
            port=self._plan.manager_port,
            username=self._plan.user,
            secret=self._plan.secret,
            on_login=lambda _: self._up.set(),
        )
        self._manager = manager
        for name, handler in (("DialBegin", self._dialled), ("HangupRequest", self._asked), ("Hangup", self._gone)):
            manager.register_event(name, handler)
        agi = Application(loop=self._loop)
        for path, route in (("route", self._route), ("ingroup", self._in_group)):
            agi.add_route(path, route)
        server = self._loop.run_until_complete(asyncio.start_server(agi.handler, HOST, self._plan.agi_port))
        manager.connect()
        try:
            self._loop.run_forever()
        finally:
            server.close()
            manager.close()
            for task in asyncio.all_tasks(self._loop):
                task.cancel()
            self._loop.run_until_complete(asyncio.sleep(0))
            self._loop.close()

    def _dialled(self, _: Manager, event: Any) -> None:
        """Dial rings the phone: which of its channels belongs to which customer."""
        if event.channel in self._calls:
            self._legs[event.destchannel] = event.channel

    def _asked(self, _: Manager, event: Any) -> None:
        """A BYE or CANCEL came in on this channel: whose it is, ends the call. Told once, for the first."""
        customer = self._legs.get(event.channel, event.channel)
        call_id = self._calls.get(customer)
        if call_id is None or customer in self._asked_for:
            return
        self._asked_for.add(customer)
        if customer == event.channel:
            self._routing.customer_hung_up(call_id)
            if (awaited := self._awaited.pop(customer, None)) is not None:
                awaited.cancel()  # as long as its AGI runs, Asterisk keeps the channel
        else:
            self._routing.box_hung_up(call_id)

    def _gone(self, _: Manager, event: Any) -> None:
        self._legs.pop(event.channel, None)
        self._asked_for.discard(event.channel)
        self._awaited.pop(event.channel, None)
        if (call_id := self._calls.pop(event.channel, None)) is not None:
            self._routing.ended(call_id)

    def _deliver(self, channel: str, routed: Routed) -> None:
        if channel in self._calls and not (awaited := self._awaiting(channel)).done():
            awaited.set_result(routed)

    def _awaiting(self, channel: str) -> asyncio.Future[Routed]:
        return self._awaited.setdefault(channel, self._loop.create_future())

    async def _route(self, request: Request) -> None:
        """What agi-VDAD_ALL_outbound.agi does: give the answered customer's channel to the phone of a ready line."""
        customer, lead_id = request.headers["agi_channel"], int(request.headers["agi_arg_1"])
        routed = self._routing.answered(lead_id, customer)
        if routed is None:
            return
        self._calls[customer] = routed.call_id
        await self._send_on(request, customer, routed)

    async def _in_group(self, request: Request) -> None:
        """What agi-VDAD_ALL_inbound.agi does: keep the customer until a closer is there for them."""
        customer = request.headers["agi_channel"]
        await self._send_on(request, customer, Routed(self._calls[customer], None))

    async def _send_on(self, request: Request, customer: str, routed: Routed) -> None:
        if routed.exten is None:
            routed = await self._awaiting(customer)
            self._awaited.pop(customer, None)
        for command in (
            f"SET VARIABLE CALLERID(name) {routed.call_id}",
            f"SET CONTEXT {PHONE_CONTEXT}",
            f"SET EXTENSION {routed.exten}",
            "SET PRIORITY 1",
        ):
            await request.send_command(command)
