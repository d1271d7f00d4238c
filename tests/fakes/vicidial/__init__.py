"""A double of VICIdial for tests: both API scripts over HTTP, the tables behind them, and the daemons' timing.

    from tests.fakes.vicidial import Double, FaultKind, SteppedClock, password_of

    with Double() as double:                        # real clock; Double(clock=SteppedClock()) moves by double.step(s)
        double.url                                  # "http://127.0.0.1:PORT": /agc/api.php, /vicidial/non_agent_api.php
        password_of(double, "apiuser")              # level 8, the least-privilege functions; "6666" has ALL_FUNCTIONS
        call_id = double.call_answered(double.next_lead(), "SIP/carrier-1")   # a line has it: ring 8371, From name call_id
        double.customer_hung_up(call_id)            # or: leg_ended(call_id, by_box=True) when the phone sent BYE
        double.lead(36)["status"], double.log(call_id)["status"], double.line("9001")["status"]
        double.fault(FaultKind.CUT_AFTER, "update_lead", times=1); double.go_down(); double.come_up()
        double.check(log_text)                      # AssertionError: violations, passwords in it

The site: remote agent 9001 (2 lines: users 9001, 9002, phone 8371) ACTIVE in campaign TESTCAMP; list 101 with leads 8 to
187, phones 4155550001 ..., custom fields `summary interest renewal owner_ok step`; in-groups SALESLINE (active) and OFFLINE
(not); the closer is remote agent 9101 on phone 8379. Users apiuser, apilow, lockme, 6666. Options of `Double`: dialect
(`Dialect.SOURCE`, `Dialect.DOCS`), build, timing (`Timing`), switch (`Switch`: hangup, redirect, deliver on real channels),
path of the database, leads, lines (up to 20), zone, port.

Violations, also found by the fixture `vicidial` of plugin.py: an inert function called, a BYE of the box before any control,
update_log_entry without a status, a status longer than 6 or not defined (`define_status`), a write while `forbid_writes`.
Questions: `wrong_status` (after `expect`), `left_as_drop`, `unsettled`, `lines_stuck`, `delivered_twice`, `out_of_order`,
`leaks(text)`, `drops_today`; `ledger.requests`, `.writes`, `.pops` (what a human's screen showed), `.inert_calls`.
"""

from __future__ import annotations

from tests.fakes.vicidial.clock import RealClock, SteppedClock
from tests.fakes.vicidial.dialect import Dialect
from tests.fakes.vicidial.double import Double, password_of
from tests.fakes.vicidial.faults import FaultKind
from tests.fakes.vicidial.lines import Timing
from tests.fakes.vicidial.model import Switch

__all__ = ["Dialect", "Double", "FaultKind", "RealClock", "SteppedClock", "Switch", "Timing", "password_of"]
