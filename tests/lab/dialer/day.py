"""A campaign day from the first call to the verdict: who is called when, and what goes wrong in between."""

from __future__ import annotations

import queue
import time
import tomllib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from appliance.api import wire
from appliance.calls.campaign import Campaign, SlotKind
from tests.lab.appliance import CAMPAIGN
from tests.lab.dialer.judge import Day, Visit, judge
from tests.lab.dialer.mix import UNAMBIGUOUS, Plan, day
from tests.lab.dialer.screen import Screen
from tests.lab.dialer.site import Happening, Site
from tests.lab.faults import LabError
from tests.lab.persona import load
from tests.lab.talk import Options, Verdict

CALLS = 40
BEAT_S = 0.05
BURST_S = 6.0
CALM_S = 6.0  # between two things that go wrong
DEAD_S = 1.0  # systemd's RestartSec
UNANSWERED_S = 40.0
LOOK_S = 5.0
CALL_S = 240.0
OUTBOX_S = 60.0
SETTLED_S = 10.0


@dataclass
class Guest:
    """One call of the day: what the dialer, the customer and the box know of it. `nth`: of its lead's, counted from 0."""

    number: str
    lead_id: int
    persona: str
    nth: int = 0
    placed_at: float | None = None
    answered: bool = False
    over: bool = False
    ended: wire.CallEnded | None = None
    interrupted: bool = False


class CampaignDay:
    """Runs one day on a site that is up."""

    def __init__(self, site: Site, plan: Plan, screen: Screen) -> None:
        self._site = site
        self._office = site.office
        self._plan = plan
        self._screen = screen
        self._began = time.monotonic()
        people = zip(self._office.numbers, self._office.lead_ids, plan.people, strict=True)
        self.guests = [Guest(number, lead_id, persona) for number, lead_id, persona in people]
        self._by_number = {guest.number: guest for guest in self.guests}
        self._by_lead = {guest.lead_id: guest for guest in self.guests}
        self._by_call: dict[str, Guest] = {}
        self._waiting = deque(self.guests)
        self._placed = 0
        self._later: list[tuple[float, Callable[[], None]]] = []
        self._due: list[tuple[int, Callable[[], None]]] = sorted(
            [(at, self._burst) for at in plan.burst_at] + [(plan.outage_at, self._outage), (plan.kill_at, self._kill)],
            key=lambda each: each[0],
        )
        self._next_at = 0.0
        self._calm_at = 0.0
        campaign = Campaign.model_validate(tomllib.loads(CAMPAIGN.read_text()))
        self._asked_when = {question.id for question in campaign.questions if question.slot is SlotKind.WHEN}
        self._killed = self._is_down = False
        self._left_again = plan.again
        self._in_burst = 0
        self._looked_at = 0.0

    def run(self) -> None:
        """Until the last customer is gone. Raises LabError where that does not come, or where the box ends by itself."""
        last = time.monotonic()
        while self._waiting or self._left_again or self._later or self._up():
            now = time.monotonic()
            if self._take(BEAT_S) or self._dial(now):
                last = now
            self._act(now)
            if now - last > CALL_S:
                raise LabError(f"nothing has happened for {CALL_S:.0f} s", hint=f"see the logs in {self._site.folder}")

    def _up(self) -> list[Guest]:
        now = time.monotonic()
        return [
            guest
            for guest in self.guests
            if guest.placed_at is not None and not guest.over and (guest.answered or now - guest.placed_at < UNANSWERED_S)
        ]

    # The dialer ------------------------------------------------------------------------------------------------------

    def _dial(self, now: float) -> bool:
        """The next call, when it is time and there is a line that none of those who ring will take. True when it was placed."""
        if self._is_due or (now < self._next_at and not self._in_burst):
            return False
        ringing = sum(self._office.call_id(guest.lead_id, guest.nth) is None for guest in self._up())
        free = self._office.ready_lines()
        if not self._in_burst:  # lines that the box did not ask for take calls for another 16 s after a burst
            free = min(free, self._plan.lines - len(self._office.busy_lines()))
        if free <= ringing:
            return False
        guest = self._again() or (self._waiting.popleft() if self._waiting else None)
        if guest is None:
            return False
        guest.placed_at = now
        self._placed += 1
        self._next_at = now + self._plan.gap_s
        self._in_burst = max(0, self._in_burst - 1)
        self._site.exchange.place(guest.number, guest.lead_id)
        return True

    def _again(self) -> Guest | None:
        """Somebody who has just left, once more. While the API is away if possible: two calls of one lead then owe at once."""
        if self._left_again == 0 or (self._waiting and not self._is_down):
            return None
        known = {guest.lead_id for guest in self.guests if guest.nth}
        left = [guest for guest in self.guests if guest.over and "leaves" in guest.persona and guest.lead_id not in known]
        if not left:
            return None
        first = max(left, key=lambda guest: guest.placed_at or 0.0)
        again = Guest(first.number, first.lead_id, first.persona, nth=1)
        self._left_again -= 1
        self.guests.append(again)
        self._by_number[again.number] = self._by_lead[again.lead_id] = again
        return again

    @property
    def _is_due(self) -> bool:
        """Something is to go wrong now, as soon as what went wrong before is over; no call is placed till then."""
        return bool(self._due) and self._placed >= self._due[0][0]

    def _act(self, now: float) -> None:
        """Whatever is due, by the count of calls or by the clock."""
        if self._is_due and now >= self._calm_at:
            self._due.pop(0)[1]()
        for each in [each for each in self._later if now >= each[0]]:
            self._later.remove(each)
            each[1]()
        if now - self._looked_at > LOOK_S:
            self._looked_at = now
            self._site.look_at_processes()

    def _burst(self) -> None:
        """The dialer believes for a while that the box has more lines, and fills them at once."""
        count = self._plan.lines + 1 + self._plan.over
        self._screen.step(f"the dialer sends {count} calls at once, {self._plan.over} more than the box takes")
        lines = self._office.set_lines(count)
        self._in_burst = count - len(self._up())
        self._after(BURST_S, lambda: self._burst_over(lines))

    def _burst_over(self, lines: int) -> None:
        self._in_burst = 0
        self._office.set_lines(lines)

    def _outage(self) -> None:
        self._screen.step(f"the dialer's API is away for {self._plan.outage_s:.0f} s")
        self._office.go_down()
        self._is_down = True
        self._after(self._plan.outage_s, self._restored)

    def _restored(self) -> None:
        self._office.come_up()
        self._is_down = False
        self._screen.step("the dialer's API is back")

    def _after(self, seconds: float, then: Callable[[], None]) -> None:
        due = time.monotonic() + seconds
        self._later.append((due, then))
        self._calm_at = due + CALM_S

    def _kill(self) -> None:
        """kill -9, and a second later what systemd would do."""
        self._screen.step(f"kill -9 of the box with {len(self._by_call)} calls")
        self._site.box.kill()
        again_at = time.monotonic() + DEAD_S
        self._killed = True
        while self._killed:  # what it had told before
            self._take(DEAD_S)
        self._by_call.clear()
        time.sleep(max(0.0, again_at - time.monotonic()))
        self._site.box.start()
        for guest in self._up():  # who is at the box since it is back is told of with its first message
            guest.interrupted = guest.ended is None and self._office.call_id(guest.lead_id, guest.nth) is not None
        self._screen.step("the box is started again")

    # What is told ----------------------------------------------------------------------------------------------------

    def _take(self, wait_s: float) -> bool:
        """Everything that has happened; waits for the first of it. True when there was something."""
        try:
            happening = self._site.happenings.get(timeout=wait_s)
        except queue.Empty:
            return False
        self._happened(happening)
        return True

    def _happened(self, happening: Happening) -> None:
        match happening:
            case None:
                if not self._killed:
                    raise LabError("the box is gone", hint=f"see {self._site.box.log}")
                self._killed = False
            case {"kind": "gone"}:
                raise LabError("the customers are gone", hint=f"see {self._site.folder}/customers.log")
            case {"number": number, "kind": kind} if number in self._by_number:
                guest = self._by_number[number]
                guest.answered = guest.answered or kind == "answered"
                guest.over = guest.over or kind == "ended"
            case wire.Status(calls=calls):
                for call in calls:
                    self._started(call.call, call.caller_name)
            case wire.CallStarted():
                self._started(happening.call, happening.caller_name)
            case wire.CallEnded() if happening.call in self._by_call:
                guest = self._by_call.pop(happening.call)
                guest.ended = happening
                self._screen.ended(guest.number, guest.persona, happening)
            case wire.EngineChanged(engine=engine):
                self._screen.step(f"{engine.engine} worker {'up' if engine.up else 'lost'}")
            case wire.Alarm():
                self._screen.alarm(happening)

    def _started(self, call: str, caller_name: str) -> None:
        guest = self._by_lead.get(self._office.lead_id(caller_name) or 0)
        if guest is not None:
            guest.interrupted = False
            self._by_call[call] = guest

    # The end ---------------------------------------------------------------------------------------------------------

    def settle(self) -> None:
        """Give the box its time to deliver what it owes, and the dialer's daemon its own; both bounded."""
        self._screen.step("the last customer is gone; waiting for the outbox")
        self._wait(OUTBOX_S, self._idle)
        self._wait(SETTLED_S, lambda: not self._stuck())

    def _idle(self) -> bool:
        status = self._site.box.status()
        return not self._by_call and not status.calls and not status.dialer.outbox

    def _wait(self, limit_s: float, done: Callable[[], bool]) -> None:
        deadline = time.monotonic() + limit_s
        while not done() and time.monotonic() < deadline:
            self._take(0.2)

    def _stuck(self) -> list[str]:
        up = self._site.asterisk.channels()
        return [
            *self._office.busy_lines(),
            *(f"{call.caller_name} is still up at the box" for call in self._site.box.status().calls),
            *([f"{up} channels of Asterisk are up"] if up else []),
        ]

    def facts(self) -> Day:
        """What is judged. The box must still run."""
        status, office = self._site.box.status(), self._office
        owed = [f"{status.dialer.outbox} lines of the outbox wait"] if status.dialer.outbox else []
        parked = [f"{status.dialer.outbox_parked} lines of the outbox are parked"] if status.dialer.outbox_parked else []
        return Day(
            calls=self._placed,
            answered=sum(guest.answered for guest in self.guests),
            visits=self._visits(),
            seconds=time.monotonic() - self._began,
            voicemail_box_hits=len(self._site.asterisk.voicemail_hits()),
            outbox_left=owed + parked,
            twice=office.twice(),
            out_of_order=office.out_of_order(),
            inert=office.inert(),
            leaks=self._site.leaks(),
            stuck=self._stuck(),
            violations=[*office.violations(), *self._site.exchange.refused, *self._guard_gone()],
        )

    def _guard_gone(self) -> list[str]:
        return [] if self._site.guard_runs else [f"sidetone guard has ended: see {self._site.folder}/guard.log"]

    def _visits(self) -> list[Visit]:
        """Everybody whom the dialer brought to the box."""
        answered = ((guest, self._office.call_id(guest.lead_id, guest.nth)) for guest in self.guests)
        return [self._visit(guest, call_id) for guest, call_id in answered if call_id and self._office.had_line(call_id)]

    def _visit(self, guest: Guest, call_id: str) -> Visit:
        ended, office = guest.ended, self._office
        outcome = ended.outcome if ended is not None else None
        return Visit(
            call_id,
            guest.persona,
            truth=UNAMBIGUOUS.get(guest.persona, ()),
            outcome=outcome,
            transferred=ended is not None and ended.transferred,
            interrupted=guest.interrupted,
            written=office.written(call_id),
            log_status=office.log_status(call_id),
            lead_status=office.lead_status(guest.lead_id) if self._by_lead[guest.lead_id] is guest else None,
            moved=office.moved(call_id),
            summaries=office.summaries(guest.lead_id),
            owes_callback=outcome == "callback" and ended is not None and bool(self._asked_when & ended.slots.keys()),
            has_callback=office.has_callback(guest.lead_id),
            owes_dnc=outcome == "dnc",
            has_dnc=office.is_dnc(guest.number),
        )


def dialer_day(options: Options) -> Verdict:
    """a campaign day on VICIdial's double: every kind of customer, bursts, an API outage, a kill (--calls)"""
    plan = day(options.calls if options.calls > 1 else CALLS)
    screen = Screen(options.show)
    screen.step(f"starting {options.dialer}, VICIdial's double, {len(plan.people)} customers and the box")
    with Site(plan, dialer=options.dialer) as site:
        screen.step(f"the box takes {plan.lines} calls at once; logs in {site.folder}")
        running = CampaignDay(site, plan, screen)
        running.run()
        running.settle()
        facts = running.facts()
        data, problems = judge(facts, site.status_of)
    screen.summary(data, misunderstood(facts))
    return Verdict(problems, data)


def misunderstood(facts: Day) -> int:
    """Calls with an outcome that their persona's file does not want: mostly the recognizer's work, so no count that decides."""
    return sum(
        visit.outcome not in (None, "busy") and visit.outcome not in load(visit.persona).outcomes for visit in facts.visits
    )
