"""The lab put together: dialer, appliance, customers and capture, and a record of every call from all of them."""

from __future__ import annotations

import contextlib
import json
import queue
import random
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from appliance.api import wire
from tests.lab.appliance import CAMPAIGN, Appliance
from tests.lab.asterisk.server import BUILD, Asterisk, dialer_caller_id
from tests.lab.capture import Capture, Follower
from tests.lab.faults import LabError
from tests.lab.meter import Report, SpokenTurn, measure
from tests.lab.persona import Persona, load
from tests.lab.processes import free_ports
from tests.lab.rtp import RtpPacket, parse, rebuild
from tests.lab.telling import TellingProcess

CALL_S = 240.0
UNANSWERED_S = 40.0  # a customer who was not rung for so long never will be
MATCH_S = 0.8
KEPT_RUNS = 20


@dataclass
class CallRecord:
    """One call: what was planned, what the customer met, what the appliance said about it."""

    number: str
    caller_id: str
    persona: Persona
    placed_at_s: float = 0.0
    rtp_port: int = 0
    answered_at_s: float | None = None
    left_at_s: float | None = None
    left_by: str = ""
    said: list[SpokenTurn] = field(default_factory=list)
    heard: list[list[str]] = field(default_factory=list)
    call: str = ""
    turns: list[wire.TurnHappened] = field(default_factory=list)
    ended: wire.CallEnded | None = None

    @property
    def over(self) -> bool:
        return self.left_at_s is not None and (self.ended is not None or not self.call)

    def problems(self) -> list[str]:
        """What went otherwise than the persona expects; empty for a good call."""
        if self.answered_at_s is None:
            return ["the customer was never rung"]
        if not self.call:
            return ["the appliance did not take the call"]
        if self.ended is None:
            return ["the call did not end"]
        found = []
        if self.ended.outcome not in self.persona.outcomes:
            found.append(f"outcome {self.ended.outcome}, expected {' or '.join(self.persona.outcomes)}")
        understood = sum(1 for turn in self.turns if turn.who == "caller")
        if understood < self.persona.caller_turns:
            found.append(f"{understood} caller turns understood, expected {self.persona.caller_turns}")
        wanted, reached = self.persona.slots, self.ended.slots
        for slot in sorted(wanted.keys() | reached.keys()):
            if wanted.get(slot) != reached.get(slot):
                found.append(f"{slot}={reached.get(slot, '(none)')}, the caller said {wanted.get(slot, '(nothing)')}")
        replies = " ".join(turn.text for turn in self.turns if turn.who == "agent")
        found += [f"the agent never said '{words}'" for words in self.persona.agent_says if words not in replies]
        return found


def forget_old_runs() -> None:
    """Recordings and captures of the last KEPT_RUNS stay, for whoever looks into a failure."""
    runs = sorted(BUILD.glob("run-*"), key=lambda path: path.stat().st_mtime)
    for path in runs[:-KEPT_RUNS]:
        shutil.rmtree(path, ignore_errors=True)


def spoken_turn(event: dict[str, Any]) -> SpokenTurn:
    """A customer's "turn" event as the meter wants it."""
    return SpokenTurn(event["text"], event["start"]["at"], event["end"]["at"], event["complete"])


Happening = dict[str, Any] | wire.Status | wire.Change | None


class Bench:
    """Everything up and registered, in a folder of its own under build/lab. Use as a context manager."""

    def __init__(self, people: list[str], *, dialer: str = "", lines: int = 0, drain_s: float = 60.0) -> None:
        self._open = contextlib.ExitStack()
        self.people = [load(name) for name in people]
        BUILD.mkdir(parents=True, exist_ok=True)
        forget_old_runs()
        self.folder = Path(tempfile.mkdtemp(prefix=time.strftime("run-%m%d-%H%M%S-"), dir=BUILD))
        self.records: list[CallRecord] = []
        self.status: wire.Status | None = None
        self.media = wire.Media()
        self.engines: list[wire.EngineChanged] = []
        self.drain_began = False
        self._happenings: queue.Queue[Happening] = queue.Queue()
        self._packets: dict[tuple[str, int], list[RtpPacket]] = {}  # by direction and customer's port
        try:
            self._start(dialer, lines or max(2, len(people)), drain_s)
        except BaseException:
            self._open.__exit__(*sys.exc_info())
            raise

    def __enter__(self) -> Bench:
        return self

    def __exit__(self, *raised: Any) -> None:
        """Stop everything that was started, last first; in haste after an exception."""
        self._open.__exit__(*raised)

    def _start(self, dialer: str, lines: int, drain_s: float) -> None:
        count = len(self.people)
        customer_sip = free_ports()
        self.asterisk = self._open.enter_context(Asterisk(customer_sip, dialer=dialer))
        spread = max(32, 8 * count)
        customer_rtp = free_ports(spread)
        numbers = [f"415555{index + 1:04}" for index in range(count)]
        for index, (number, persona) in enumerate(zip(numbers, self.people, strict=True)):
            lead_id = random.randrange(10, 900_000)
            self.records.append(CallRecord(number, dialer_caller_id(lead_id, index), persona))
        plan = self.folder / "customers.json"
        plan.write_text(
            json.dumps(
                {
                    "sip_port": customer_sip,
                    "rtp_port": customer_rtp,
                    "campaign": str(CAMPAIGN),
                    "customers": {r.number: r.persona.name for r in self.records},
                }
            )
        )
        path = self.folder / "customers.pcap"
        self._capture = self._open.enter_context(Capture(path, range(customer_rtp, customer_rtp + spread)))
        self._follower = Follower(path)
        told = self._happenings.put
        self._open.enter_context(TellingProcess(["tests.lab.customers", plan], self.folder / "customers.jsonl", told))
        phone = self.asterisk.phone
        self.appliance = self._open.enter_context(
            Appliance(
                self.folder,
                registrar=self.asterisk.address,
                username=phone.extension,
                password=phone.secret,
                lines=lines,
                drain_s=drain_s,
            )
        )
        threading.Thread(target=self._relay, name="lab-relay", daemon=True).start()
        self.asterisk.wait_registered()
        self._await_ready()

    def _relay(self) -> None:
        while True:
            message = self.appliance.messages.get()
            self._happenings.put(message)
            if message is None:
                return

    def _await_ready(self) -> None:
        """Customers are ready (voices rendered, ears loaded) and the appliance says that it is registered."""
        waiting = {"customers", "appliance"}
        deadline = time.monotonic() + 60
        while waiting:
            happening = self._next(deadline)
            if isinstance(happening, dict) and happening["kind"] == "ready":
                waiting.discard("customers")
            self._take(happening)
            registered = self.status is not None and self.status.registration.state is wire.RegistrationState.REGISTERED
            if registered or (
                isinstance(happening, wire.RegistrationChanged)
                and happening.registration.state is wire.RegistrationState.REGISTERED
            ):
                waiting.discard("appliance")

    def _next(self, deadline: float) -> Happening:
        try:
            return self._happenings.get(timeout=max(0.01, deadline - time.monotonic()))
        except queue.Empty:
            raise LabError("the lab waited in vain", hint=f"see the logs in {self.folder}") from None

    def place(self, record: CallRecord) -> None:
        """Have the dialer call this customer."""
        record.placed_at_s = time.time()
        self.asterisk.call(record.number, record.caller_id)

    def place_all(self) -> None:
        for record in self.records:
            self.place(record)

    def follow(self, *, until: Callable[[], bool], timeout_s: float = CALL_S) -> Iterator[tuple[CallRecord | None, Happening]]:
        """Take what happens, as it happens, until `until()` is true. Raises LabError when that takes too long."""
        deadline = time.monotonic() + timeout_s
        while not until():
            try:
                happening = self._happenings.get(timeout=0.2)
            except queue.Empty:
                if time.monotonic() > deadline:
                    raise LabError(f"not over after {timeout_s:.0f} s", hint=f"see the logs in {self.folder}") from None
                continue
            if happening is None and not self.drain_began:
                raise LabError("the appliance is gone", hint=f"see {self.appliance.log}")
            if isinstance(happening, dict) and happening["kind"] == "gone":
                raise LabError("the customers are gone", hint=f"see {self.folder}/customers.log")
            yield self._take(happening), happening

    def finish(self, timeout_s: float = CALL_S) -> None:
        """Wait until every placed call is over."""
        for _ in self.follow(until=self.all_over, timeout_s=timeout_s):
            pass

    def active(self) -> list[CallRecord]:
        """The calls that were placed and are not over."""
        now = time.time()
        return [
            r
            for r in self.records
            if r.placed_at_s and not r.over and (r.answered_at_s is not None or now - r.placed_at_s <= UNANSWERED_S)
        ]

    def all_over(self) -> bool:
        return not self.active()

    def _take(self, happening: Happening) -> CallRecord | None:
        match happening:
            case dict():
                return self._customer(happening)
            case wire.Status():
                self.status, self.media = happening, happening.media
            case wire.MediaChanged(media=media):
                self.media = media
            case wire.EngineChanged():
                self.engines.append(happening)
            case wire.DrainStarted():
                self.drain_began = True
            case wire.CallStarted(call=call, caller_name=name):
                record = next((r for r in self.records if r.caller_id == name), None)
                if record is not None:
                    record.call = call
                return record
            case wire.TurnHappened() | wire.CallEnded():
                record = next((r for r in self.records if r.call == happening.call), None)
                if record is not None and isinstance(happening, wire.TurnHappened):
                    record.turns.append(happening)
                elif record is not None and isinstance(happening, wire.CallEnded):
                    record.ended = happening
                return record
        return None

    def _customer(self, event: dict[str, Any]) -> CallRecord | None:
        record = next((r for r in self.records if r.number == event.get("number")), None)
        if record is None:
            return None
        match event["kind"]:
            case "answered":
                record.answered_at_s = event["at"]
                record.rtp_port = int(event["rtp"].rpartition(":")[2])
            case "turn":
                record.said.append(spoken_turn(event))
            case "heard":
                record.heard.append(event["sentences"])
            case "ended":
                record.left_at_s, record.left_by = event["at"], event["by"]
        return record

    def report(self, record: CallRecord) -> Report:
        """What the meter reads from the wire about this call, so far."""
        for datagram in self._follower.new():
            packet = parse(datagram)
            if packet is not None:
                self._packets.setdefault(("from", datagram.source), []).append(packet)
                self._packets.setdefault(("to", datagram.target), []).append(packet)
        if record.answered_at_s is None:
            return Report()
        caller = rebuild(self._packets.get(("from", record.rtp_port), []))
        agent = rebuild(self._packets.get(("to", record.rtp_port), []))
        until_s = record.left_at_s or time.time()
        return measure(caller, agent, record.said, since_s=record.answered_at_s, until_s=until_s)


def world_shift_s(record: CallRecord, report: Report) -> float | None:
    """What turns the appliance's times of this call into seconds since 1970; None while the agent was not heard.

    The appliance counts from its first frame of audio, the wire in world time: the agent's first words align them.
    """
    first = next((turn.start_s for turn in record.turns if turn.who == "agent"), None)
    if first is None or not report.agent_speech:
        return None
    return report.agent_speech[0][0] - first


def gaps_of_turns(record: CallRecord, report: Report) -> list[float | None]:
    """The wire's response gap for each of the appliance's turns, in ms; None for a turn that answers nobody."""
    gaps: list[float | None] = [None] * len(record.turns)
    shift_s = world_shift_s(record, report)
    if shift_s is None:
        return gaps
    for gap in report.gaps:
        starts = [
            (abs(turn.start_s + shift_s - gap.agent_start_at_s), index)
            for index, turn in enumerate(record.turns)
            if turn.who == "agent" and gaps[index] is None
        ]
        if starts and min(starts)[0] <= MATCH_S:
            gaps[min(starts)[1]] = gap.gap_ms
    return gaps
