"""The life of a call in VICIdial, from the customer's answer to its log entry: routing, tick, control, hang-up."""

from __future__ import annotations

import enum
import random
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Protocol

from tests.fakes.vicidial.ledger import Ledger, Pop
from tests.fakes.vicidial.lines import Lines, Timing
from tests.fakes.vicidial.schedule import Schedule
from tests.fakes.vicidial.state import State

OPEN_STATUSES = ("NA", "NEW", "QUEUE", "XFER")
"""What FastAGI_log takes for a call that nobody has given an outcome: VICIDIAL.md A4."""


class Switch(Protocol):
    """The telephony of the dialer: moves and ends real channels. Called without the double's lock, off the HTTP threads."""

    def hangup(self, channel: str) -> None: ...

    def redirect(self, channel: str, context: str, exten: str) -> None:
        """`exten` as VICIdial has it: an extension, or `90009*INGROUP**lead**phone**agent_user**`, where it waits."""

    def deliver(self, channel: str, call_id: str, exten: str) -> None:
        """Ring the phone `exten` with From name `call_id` for a customer who waited: in an in-group or for a line."""


class NoSwitch:
    def hangup(self, channel: str) -> None: ...

    def redirect(self, channel: str, context: str, exten: str) -> None: ...

    def deliver(self, channel: str, call_id: str, exten: str) -> None: ...


class Phase(enum.Enum):
    WAITING = "waiting"  # no line has it yet
    UP = "up"
    ENDING = "ending"  # hung up; FastAGI_log has not run yet: the few milliseconds in which control still counts
    CONTROLLED = "controlled"  # ended or moved by ra_call_control
    OVER = "over"


@dataclass
class Call:
    """What really happened to a call, whatever the tables say. `log` is the table with its log entry."""

    call_id: str
    lead_id: int
    channel: str
    group: str
    uniqueid: str
    log: str
    answered_at: float
    phase: Phase = Phase.WAITING
    line: str = ""
    moved_by: str = ""
    control: str = ""
    control_at: float = 0.0
    hung_up_at: float = 0.0
    successor: str = ""
    referred: bool = False
    false_success: bool = False

    @property
    def inbound(self) -> bool:
        return self.log == "vicidial_closer_log"


class Model:
    """Everything takes `now`; nothing here reads a clock. Guarded by the double's lock."""

    def __init__(
        self, state: State, ledger: Ledger, timing: Timing, chance: random.Random, switch: Switch, zone: tzinfo
    ) -> None:
        self.state, self.ledger, self.timing, self.switch, self.zone = state, ledger, timing, switch, zone
        self._chance = chance
        self.schedule = Schedule()
        self.lines = Lines(state, self.schedule, timing, chance)
        self.lines.on_ready = self._line_ready
        self.calls: dict[str, Call] = {}
        self.commands: list[Callable[[], None]] = []
        """For the switch: to be run, in order, by whoever lets go of the lock."""
        self._hopper: set[int] = set()
        self._serial = 0

    def start(self, now: float) -> None:
        self.state.run("delete from vicidial_auto_calls")
        self.lines.start(now)
        self.schedule.at(now + self.timing.first_tick_s, self._tick)
        self.schedule.at(now + self.timing.statistics_s, self._statistics)

    def local(self, at: float) -> datetime:
        return datetime.fromtimestamp(at, self.zone)

    # The customer's side

    def next_lead(self, campaign: str) -> int | None:
        """The next of the hopper: NEW, not on a DNC list, not handed out before. None when all are called."""
        found = self.state.all(
            "select l.lead_id from vicidial_list l join vicidial_lists s using (list_id) where s.campaign_id = ? and "
            "l.status = 'NEW' and l.phone_number not in (select phone_number from vicidial_dnc) and l.phone_number not in "
            "(select phone_number from vicidial_campaign_dnc c where c.campaign_id = s.campaign_id) order by l.lead_id",
            campaign,
        )
        lead = next((row["lead_id"] for row in found if row["lead_id"] not in self._hopper), None)
        if lead is not None:
            self._hopper.add(lead)
        return lead

    def answered(self, lead_id: int, channel: str, campaign: str, wait_s: float, now: float) -> str | None:
        """A customer of the dialer answered. The call's id when a line has it, or waits for one; None when it is lost."""
        call = self._begin("V", lead_id, channel, campaign, "vicidial_log", now)
        self.state.run("update vicidial_list set called_count = called_count + 1 where lead_id = ?", lead_id)
        self.state.update("vicidial_list", {"lead_id": lead_id}, status="PU", user="VDAD",
                          last_local_call_time=f"{self.local(now):%Y-%m-%d %H:%M:%S}")  # fmt: skip
        if self._route(call, now):
            return call.call_id
        if wait_s <= 0:
            self._lose(call, now)
            return None
        self.schedule.at(now + wait_s, lambda due: self._lose(call, due))
        return call.call_id

    def customer_hung_up(self, call_id: str, now: float) -> None:
        """The customer is gone, wherever they were by now: on the phone, moved on, or with a human."""
        call = self.calls[call_id]
        while call.successor:
            call = self.calls[call.successor]
        if call.phase in (Phase.UP, Phase.WAITING):
            self._hang_up(call, now)
        elif call.phase is Phase.CONTROLLED:
            call.phase = Phase.OVER

    def leg_ended(self, call_id: str, by_box: bool, excused: bool, now: float) -> None:
        """The phone's leg ended. After control that is what was wanted; else the dialplan hangs up the customer too."""
        call = self.calls[call_id]
        if call.phase is not Phase.UP or call.referred:
            return
        if by_box and not excused:
            self.ledger.violations.append(f"BYE of {call_id} before any control")
        self._hang_up(call, now)

    def refer(self, call_id: str) -> None:
        """The box sent REFER: the customer is elsewhere and VICIdial does not know. The line stays INCALL."""
        self.calls[call_id].referred = True

    # What VICIdial does

    def _call_id(self, prefix: str, lead_id: int, now: float) -> str:
        at = now
        while True:
            day = self.local(at)
            call_id = f"{prefix}{day.month % 10}{day:%d%H%M%S}{lead_id:010}"
            if call_id not in self.calls:
                return call_id
            at += 1.0

    def _begin(self, prefix: str, lead_id: int, channel: str, group: str, log: str, now: float) -> Call:
        lead = self.state.one("select * from vicidial_list where lead_id = ?", lead_id)
        assert lead is not None, f"there is no lead {lead_id}"
        self._serial += 1
        call_id, uniqueid = self._call_id(prefix, lead_id, now), f"{int(now)}.{self._serial}"
        call = self.calls[call_id] = Call(call_id, lead_id, channel, group, uniqueid, log, now)
        self.ledger.call_began(now, lead_id, call_id)
        self.state.insert("vicidial_auto_calls", callerid=call_id, uniqueid=uniqueid, lead_id=lead_id, channel=channel,
                          phone_number=lead["phone_number"], campaign_id=group, call_type="IN" if call.inbound else "OUT",
                          status="LIVE", call_time=now)  # fmt: skip
        # The log's comments begin as the AGI's own timing, a number: "not REMOTE" is all that is known of a call then.
        self.state.insert(log, uniqueid=uniqueid, lead_id=lead_id, caller_code=call_id, list_id=lead["list_id"],
                          campaign_id=group, call_date=now, start_epoch=int(now), status="QUEUE",
                          phone_number=lead["phone_number"], user="VDCL" if call.inbound else "VDAD",
                          comments=f"{self._chance.uniform(0.01, 0.03):.3f}")  # fmt: skip
        return call

    def _route(self, call: Call, now: float) -> bool:
        line = self.lines.find(call.group)
        if line is None:
            return False
        call.phase, call.line = Phase.UP, line["user"]
        self.lines.take(call.line, call.call_id, call.uniqueid, call.lead_id, call.channel)
        self.state.update("vicidial_auto_calls", {"callerid": call.call_id}, status="XFER")
        if call.inbound:
            self.ledger.pops.append(self._pop(call, now))
        return True

    def _pop(self, call: Call, now: float) -> Pop:
        comments = self.state.value("select comments from vicidial_list where lead_id = ?", call.lead_id)
        custom = self.state.all("select field_label, value from custom_values where lead_id = ?", call.lead_id)
        return Pop(now, call.call_id, call.lead_id, call.line, comments, {row["field_label"]: row["value"] for row in custom})

    def _line_ready(self, user: str, now: float) -> None:
        if any(call.phase is Phase.WAITING for call in self.calls.values()):
            self.schedule.at(now + self.lines.span(self.timing.next_call_s), self._route_waiting)

    def _route_waiting(self, now: float) -> None:
        for call in self.calls.values():
            if call.phase is Phase.WAITING:
                self._deliver(call, now)

    def _deliver(self, call: Call, now: float) -> None:
        if call.phase is Phase.WAITING and self._route(call, now):
            exten = self.state.value("select conf_exten from vicidial_live_agents where user = ?", call.line)
            self.commands.append(lambda: self.switch.deliver(call.channel, call.call_id, exten))

    def _lose(self, call: Call, now: float) -> None:
        """Nobody was free in time: the dialer's own drop, none of ours."""
        if call.phase is Phase.WAITING:
            self._hang_up(call, now)
            self.commands.append(lambda: self.switch.hangup(call.channel))

    def _tick(self, now: float) -> None:
        """Every 10 s alone the remote agents' daemon sees who is in a call, and says so in the logs."""
        for row in self.state.all(
            "select l.user, l.callerid from vicidial_live_agents l join vicidial_auto_calls c on c.callerid = l.callerid "
            "and c.uniqueid = l.uniqueid and c.channel = l.channel where l.status = 'QUEUE'"
        ):
            call = self.calls[row["callerid"]]
            self.state.update("vicidial_live_agents", {"user": row["user"]}, status="INCALL", comments="REMOTE")
            self.state.update("vicidial_list", {"lead_id": call.lead_id}, status="XFER", user=row["user"])
            self.state.update(call.log, {"uniqueid": call.uniqueid}, status="XFER", user=row["user"], comments="REMOTE")
        self.schedule.at(now + self.timing.tick_s, self._tick)

    def log_of(self, call: Call) -> sqlite3.Row:
        row = self.state.one(
            "select * from vicidial_log where uniqueid = ? union all select * from vicidial_closer_log where uniqueid = ?",
            call.uniqueid,
            call.uniqueid,
        )
        assert row is not None
        return row

    def _close_log(self, call: Call, now: float, **columns: object) -> None:
        ended = int(now)
        self.state.update(call.log, {"uniqueid": call.uniqueid}, end_epoch=ended,
                          length_in_sec=ended - int(call.answered_at), **columns)  # fmt: skip

    def _hang_up(self, call: Call, now: float) -> None:
        call.phase, call.hung_up_at = Phase.ENDING, now
        self.schedule.at(now + self.timing.race_s, lambda due: self._fast_agi(call, due))
        self.lines.hung_up(call.call_id, now)

    def _fast_agi(self, call: Call, now: float) -> None:
        """FastAGI_log at the end of the customer's channel, with the rule that makes a DROP: VICIDIAL.md A4."""
        call.phase = Phase.OVER
        self.state.run("delete from vicidial_auto_calls where callerid = ?", call.call_id)
        log = self.log_of(call)
        seen_by_tick = log["comments"] == "REMOTE"
        reason = "CALLER" if seen_by_tick else "ABANDON"
        if log["status"] in OPEN_STATUSES and not seen_by_tick:
            self.state.update("vicidial_list", {"lead_id": call.lead_id}, status="DROP")
            self._close_log(call, call.hung_up_at, status="DROP", term_reason=reason)
        elif log["end_epoch"] is None:
            self._close_log(call, call.hung_up_at, term_reason=reason)
        else:
            self.state.update(call.log, {"uniqueid": call.uniqueid}, term_reason=reason)

    # Control by the API

    def is_active(self, call_id: str) -> bool:
        return self.state.one("select 1 from vicidial_auto_calls where callerid = ?", call_id) is not None

    def control(self, call_id: str, agent_user: str, stage: str, status: str, target: str, now: float) -> bool:
        """ra_call_control's work. False when the customer's hang-up won the race: SUCCESS is said, nothing is written.

        `target`: the extension or the in-group; "" for a hang-up.
        """
        call = self.calls[call_id]
        ending = call.phase is Phase.ENDING
        if ending and self._chance.random() < self.timing.race_lost_share:
            call.false_success = True
            self.state.insert("vicidial_manager", entry_date=now, callerid="HAPI", action="Hangup", channel="")
            return False
        call.control, call.control_at, call.moved_by = stage, now, agent_user
        if not ending:
            call.phase = Phase.CONTROLLED
        self._close_log(call, now, status=status, user=agent_user)
        self.state.update("vicidial_list", {"lead_id": call.lead_id}, status=status)
        self.state.run("delete from vicidial_auto_calls where callerid = ?", call_id)
        self.lines.free(call_id, now)
        self._command(call, target, now)
        return True

    def _command(self, call: Call, target: str, now: float) -> None:
        """The row for the manager, which a daemon carries out a moment later."""
        context, exten = ("", "") if not target else ("default", target)
        if call.control == "INGROUPTRANSFER":
            phone = self.state.value("select phone_number from vicidial_list where lead_id = ?", call.lead_id)
            exten = f"90009*{target}**{call.lead_id}**{phone}**{call.moved_by}**"
        name = ("XAPI" if target else "HAPI") + call.call_id[4:]
        action = "Redirect" if target else "Hangup"
        self.state.insert("vicidial_manager", entry_date=now, callerid=name, action=action, channel=call.channel,
                          context=context, exten=exten)  # fmt: skip

        def carry_out(due: float) -> None:
            if call.phase is not Phase.CONTROLLED:
                return
            if not target:
                call.phase = Phase.OVER
                self.commands.append(lambda: self.switch.hangup(call.channel))
                return
            self.commands.append(lambda: self.switch.redirect(call.channel, context, exten))
            if call.control == "INGROUPTRANSFER":
                self._enter_group(call, target, due)

        self.schedule.at(now + self.lines.span(self.timing.control_to_switch_s), carry_out)

    def _enter_group(self, call: Call, group: str, now: float) -> None:
        """The customer now is a new call of the in-group's, with an id of its own: Y, the new time, the same lead."""
        queued = self._begin("Y", call.lead_id, call.channel, group, "vicidial_closer_log", now)
        call.successor, queued.moved_by = queued.call_id, call.moved_by
        reached = call.control_at + self.lines.span(self.timing.transfer_to_closer_s)
        self.schedule.at(reached, lambda due: self._deliver(queued, due))
        self.schedule.at(now + self.timing.in_group_drop_s, lambda due: self._lose(queued, due))

    # Statistics

    def _statistics(self, now: float) -> None:
        """Today's figures, from the logs again and again; a past hour is counted once, so a late repair is not seen."""
        for campaign in self.state.all("select campaign_id from vicidial_campaigns"):
            self._count(campaign["campaign_id"], int(now // 3600))
        self.schedule.at(now + self.timing.statistics_s, self._statistics)

    def _count(self, campaign: str, this_hour: int) -> None:
        for row in self.state.all(
            "select start_epoch / 3600 as hour, count(*) as calls, sum(status = 'DROP') as drops from vicidial_log "
            "where campaign_id = ? group by hour",
            campaign,
        ):
            known = self.state.one(
                "select 1 from vicidial_campaign_hour_counts where campaign_id = ? and hour = ?", campaign, row["hour"]
            )
            if known is None or row["hour"] >= this_hour:
                self.state.upsert("vicidial_campaign_hour_counts", campaign_id=campaign, hour=row["hour"], calls=row["calls"],
                                  drops=row["drops"])  # fmt: skip
        total = self.state.one(
            "select coalesce(sum(calls), 0), coalesce(sum(drops), 0) from vicidial_campaign_hour_counts where campaign_id = ?",
            campaign,
        )
        assert total is not None
        self.state.update("vicidial_campaigns", {"campaign_id": campaign}, calls_today=total[0], drops_today=total[1])
