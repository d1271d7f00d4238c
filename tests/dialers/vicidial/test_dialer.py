"""VICIdial as the box's dialer, against the double: whose call, control, capacity, health."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import pytest

from appliance.calls.events import Incoming
from appliance.dialers.protocol import ALREADY_SO, Control, Controlled, DialerCall
from appliance.dialers.vicidial.dialer import VicidialDialer, line_users
from tests.dialers.vicidial.conftest import Settings
from tests.dialers.vicidial.scripted import Fault, Scripted, run
from tests.fakes.vicidial import Double, FaultKind, SteppedClock

T = TypeVar("T")

UNKNOWN = DialerCall("V1221347110000000010", 10)


def ask(settings: Settings, work: Callable[[VicidialDialer], Awaitable[T]], *, shadow: bool = False, **changed: Any) -> T:
    async def scenario() -> T:
        dialer = VicidialDialer(settings(**changed), lines=2, shadow=shadow)
        try:
            return await work(dialer)
        finally:
            await dialer.close()

    return run(scenario())


def ringing(site: Double) -> DialerCall:
    lead_id = site.next_lead()
    assert lead_id is not None
    call_id = site.call_answered(lead_id, f"SIP/carrier-{lead_id}")
    assert call_id is not None
    return DialerCall(call_id, lead_id)


def incoming(number: str, *ids: str) -> Incoming:
    return Incoming("1", "a name", number, "x", ids=ids)


# Whose call -----------------------------------------------------------------------------------------------------------


def test_the_invite_itself_says_whose_call_it_is(site: Double, settings: Settings) -> None:
    call = ringing(site)

    async def work(dialer: VicidialDialer) -> DialerCall | None:
        return dialer.identify(incoming("4155550001", "Jane Roe", call.call_id))

    assert ask(settings, work) == call
    assert site.ledger.requests == []


@pytest.mark.parametrize("prefix", ["", "1", "+1"])
def test_a_call_is_found_by_its_number(site: Double, settings: Settings, prefix: str) -> None:
    ringing(site)
    call = ringing(site)
    number = prefix + str(site.lead(call.lead_id)["phone_number"])
    assert ask(settings, lambda dialer: dialer.find(incoming(number))) == call
    site.step(11)
    assert ask(settings, lambda dialer: dialer.find(incoming(number))) == call


@pytest.mark.parametrize("number", ["4155559999", "", "anonymous", "0001", "1' OR '1'='1", "9" * 10_000])
def test_an_unknown_number_finds_nothing(site: Double, settings: Settings, number: str) -> None:
    ringing(site)
    assert ask(settings, lambda dialer: dialer.find(incoming(number))) is None


def test_two_calls_with_the_number_are_nobodys(site: Double, settings: Settings) -> None:
    first, second = ringing(site), ringing(site)
    number = str(site.lead(first.lead_id)["phone_number"])
    site.rows("update vicidial_list set phone_number = ? where lead_id = ?", number, second.lead_id)
    assert ask(settings, lambda dialer: dialer.find(incoming(number))) is None


def test_the_lead_and_the_dialers_zone(site: Double, settings: Settings) -> None:
    call = ringing(site)

    async def work(dialer: VicidialDialer) -> None:
        lead = await dialer.lead(call)
        assert lead is not None
        assert (lead.lead_id, lead.phone, lead.first_name) == (call.lead_id, "4155550001", "First1")
        assert lead.gmt_offset_h == -5.0
        assert lead.fields["vendor_lead_code"] == "VLC0001"
        assert lead.fields["summary"] == ""
        assert dialer.health.utc_offset_h == 0.0
        assert dialer.health.build == "250720-1841"
        assert dialer.health.reachable

    ask(settings, work)


def test_no_such_lead_and_no_answer_in_time(site: Double, settings: Settings) -> None:
    assert ask(settings, lambda dialer: dialer.lead(DialerCall("V1221347110000999999", 999_999))) is None
    site.fault(FaultKind.SLOW, delay_s=30)

    async def work(dialer: VicidialDialer) -> None:
        async with asyncio.timeout(0.9):
            assert await dialer.lead(ringing(site)) is None
        assert dialer.health.reachable is False
        assert "no answer within 0.5 s" in dialer.health.detail

    ask(settings, work, timeout_s=0.5)


def test_the_zone_is_not_worth_a_lead(site: Double, settings: Settings) -> None:
    site.fault(FaultKind.HTML, "version")
    assert ask(settings, lambda dialer: dialer.lead(ringing(site))) is not None


# Control --------------------------------------------------------------------------------------------------------------


def test_the_end_is_told_before_the_bye(site: Double, settings: Settings) -> None:
    call = ringing(site)
    assert ask(settings, lambda dialer: dialer.release(call, "NI")) == Controlled(Control.DONE)
    site.step(5)
    assert site.log(call.call_id)["status"] == "NI"
    assert site.lead(call.lead_id)["status"] == "NI"
    assert site.log(call.call_id)["user"] == "9001"


def test_a_call_that_is_gone_is_a_normal_end(site: Double, settings: Settings) -> None:
    call = ringing(site)
    site.customer_hung_up(call.call_id)
    site.step(1)
    assert ask(settings, lambda dialer: dialer.release(call, "NI")) == Controlled(Control.GONE)
    assert ask(settings, lambda dialer: dialer.release(UNKNOWN, "NI")) == Controlled(Control.GONE)


@pytest.mark.parametrize("status", ["", "TOOLONG", "N|I"])
def test_a_status_that_cannot_be_is_not_sent(site: Double, settings: Settings, status: str) -> None:
    call = ringing(site)
    assert ask(settings, lambda dialer: dialer.release(call, status)).how is Control.FAILED
    assert site.ledger.requests == []
    site.customer_hung_up(call.call_id)


def test_no_line_of_ours_is_logged_in(site: Double, settings: Settings) -> None:
    call = ringing(site)
    done = ask(settings, lambda dialer: dialer.release(call, "NI"), agent_user="9009")
    assert done.how is Control.FAILED
    assert done.detail
    site.customer_hung_up(call.call_id)


@pytest.mark.parametrize(
    "fault", [FaultKind.CUT_AFTER, FaultKind.CUT_BEFORE, FaultKind.TRUNCATED, FaultKind.EMPTY, FaultKind.HTML]
)
def test_an_end_of_which_it_is_not_clear_whether_it_was_taken(site: Double, settings: Settings, fault: FaultKind) -> None:
    call = ringing(site)
    site.fault(fault, "ra_call_control", times=1)
    assert ask(settings, lambda dialer: dialer.release(call, "NI")) == Controlled(Control.DONE)
    assert site.log(call.call_id)["status"] == "NI"
    assert len(site.ledger.writes) == 1


def test_a_dialer_that_takes_30_s_does_not_keep_a_caller_waiting() -> None:
    async def scenario() -> None:
        async with Scripted({"ra_call_control": [Fault.SILENT]}) as site:
            dialer = VicidialDialer(site.settings(timeout_s=0.5), lines=2)
            async with asyncio.timeout(0.9):
                done = await dialer.release(UNKNOWN, "NI")
            assert done == Controlled(Control.FAILED, "unclear: ra_call_control: no answer within 0.5 s", unclear=True)
            assert len(site.asked) == 1
            await dialer.close()

    run(scenario())


def test_a_caller_goes_to_the_humans(site: Double, settings: Settings) -> None:
    call = ringing(site)
    assert ask(settings, lambda dialer: dialer.transfer(call, "SALESLINE", "XFER")) == Controlled(Control.DONE)
    site.step(3)
    assert [(pop.lead_id, pop.user) for pop in site.ledger.pops] == [(call.lead_id, "9101")]
    assert site.log(call.call_id)["status"] == "XFER"


def test_nobody_there_means_no_transfer(site: Double, settings: Settings) -> None:
    call = ringing(site)
    site.log_out("9101")
    assert ask(settings, lambda dialer: dialer.transfer(call, "SALESLINE", "XFER")) == Controlled(Control.FAILED, "nobody")
    assert site.ledger.writes == []
    site.rows("delete from vicidial_live_agents")
    assert ask(settings, lambda dialer: dialer.transfer(call, "SALESLINE", "XFER")).detail == "nobody"
    site.customer_hung_up(call.call_id)


@pytest.mark.parametrize(("status", "taken"), [("READY", True), ("INCALL", True), ("CLOSER", True), ("PAUSED", False)])
def test_a_human_is_somebody_who_works(site: Double, settings: Settings, status: str, taken: bool) -> None:
    call = ringing(site)
    site.rows("update vicidial_live_agents set status = ? where user = '9101'", status)
    done = ask(settings, lambda dialer: dialer.transfer(call, "SALESLINE", "XFER"))
    assert done == (Controlled(Control.DONE) if taken else Controlled(Control.FAILED, "nobody"))
    site.customer_hung_up(call.call_id)


def test_over_capacity_the_queue_will_do(site: Double, settings: Settings) -> None:
    call = ringing(site)
    site.log_out("9101")
    done = ask(settings, lambda dialer: dialer.transfer(call, "SALESLINE", "XFER", anybody=True))
    assert done == Controlled(Control.DONE)
    site.step(1)
    assert [made.group for made in site.calls()] == ["TESTCAMP", "SALESLINE"]


@pytest.mark.parametrize("group", ["", "OFFLINE", "NOPE"])
def test_an_in_group_that_takes_nobody(site: Double, settings: Settings, group: str) -> None:
    call = ringing(site)
    done = ask(settings, lambda dialer: dialer.transfer(call, group, "XFER"))
    assert done.how is Control.FAILED
    assert "in-group" in done.detail or "ingroup" in done.detail
    site.customer_hung_up(call.call_id)


def test_an_unknown_call_is_never_controlled(site: Double, settings: Settings) -> None:
    assert ask(settings, lambda dialer: dialer.transfer(None, "SALESLINE", "XFER")).how is Control.FAILED
    assert site.ledger.requests == []


@pytest.mark.parametrize("fault", [FaultKind.CUT_AFTER, FaultKind.CUT_BEFORE, FaultKind.TRUNCATED])
def test_a_transfer_of_which_it_is_not_clear_whether_it_was_taken(site: Double, settings: Settings, fault: FaultKind) -> None:
    call = ringing(site)
    site.fault(fault, "ra_call_control", times=1)
    assert ask(settings, lambda dialer: dialer.transfer(call, "SALESLINE", "XFER")) == Controlled(Control.DONE)
    site.step(3)
    assert [made.group for made in site.calls()] == ["TESTCAMP", "SALESLINE"]


@pytest.mark.parametrize("line", [0, 1])
@pytest.mark.parametrize("status", ["XFER", "AIXFR"])
@pytest.mark.parametrize("up_s", [3.0, 15.0])  # the dialer says XFER of every call that was up at its 10 s tick
def test_a_customer_who_hangs_up_during_an_unclear_transfer_is_with_nobody(
    site: Double, settings: Settings, up_s: float, status: str, line: int
) -> None:
    site.define_status("AIXFR")
    calls = [ringing(site), ringing(site)]
    call = calls[line]
    site.step(up_s)
    site.customer_hung_up(call.call_id)
    site.step(0.1)
    site.fault(FaultKind.CUT_BEFORE, "ra_call_control", times=1)
    done = ask(settings, lambda dialer: dialer.transfer(call, "SALESLINE", status, anybody=True))
    assert done == Controlled(Control.GONE)
    assert site.ledger.writes == []
    site.customer_hung_up(calls[1 - line].call_id)


def test_on_another_line_than_the_first_the_log_alone_tells(site: Double, settings: Settings) -> None:
    ended, call = ringing(site), ringing(site)
    site.step(15)
    site.customer_hung_up(call.call_id)
    site.step(5)
    assert site.log(call.call_id)["status"] == "XFER"
    site.fault(FaultKind.CUT_BEFORE, "ra_call_control", times=1)
    done = ask(settings, lambda dialer: dialer.transfer(call, "SALESLINE", "XFER", anybody=True))
    assert done == Controlled(Control.GONE)
    site.customer_hung_up(ended.call_id)


@pytest.mark.parametrize("fault", [FaultKind.STATUS_500, FaultKind.EMPTY, FaultKind.CUT_BEFORE])
@pytest.mark.parametrize("then", ["ra_call_control", "callid_info", "logged_in_agents"])
def test_a_transfer_that_happened_is_not_told_as_one_that_did_not(
    site: Double, settings: Settings, fault: FaultKind, then: str
) -> None:
    call = ringing(site)
    site.fault(FaultKind.CUT_AFTER, "ra_call_control", times=1)
    site.fault(fault, then)
    done = ask(settings, lambda dialer: dialer.transfer(call, "SALESLINE", "XFER", anybody=True))
    assert (done.how, done.unclear, done.detail.partition(":")[0]) == (Control.FAILED, True, "unclear")
    site.step(3)
    assert [pop.lead_id for pop in site.ledger.pops] == [call.lead_id]


def test_a_transfer_that_happened_and_is_refused_when_it_is_tried_again() -> None:
    async def scenario() -> Controlled:
        refused = "ERROR: agent_user is not logged in - 9001\n"
        async with Scripted({"ra_call_control": [Fault.CUT, refused]}) as site:
            dialer = VicidialDialer(site.settings(), lines=2)
            done = await dialer.transfer(UNKNOWN, "SALESLINE", "XFER", anybody=True)
            await dialer.close()
            return done

    assert run(scenario()) == Controlled(Control.FAILED, "unclear: ra_call_control: agent_user is not logged in", unclear=True)


def test_where_a_moved_call_is_must_be_said_in_time(site: Double, settings: Settings) -> None:
    call = ringing(site)
    site.fault(FaultKind.CUT_AFTER, "ra_call_control", times=1)
    for function in ("callid_info", "logged_in_agents"):
        site.fault(FaultKind.SLOW, function, delay_s=0.45)  # each in time, together not

    async def work(dialer: VicidialDialer) -> Controlled:
        async with asyncio.timeout(0.85):
            return await dialer.transfer(call, "SALESLINE", "XFER", anybody=True)

    done = ask(settings, work, timeout_s=0.5)
    assert (done.how, done.unclear) == (Control.FAILED, True)
    assert done.detail == "unclear: the dialer does not say in time where the call is"


def test_what_was_refused_at_once_is_clear(site: Double, settings: Settings) -> None:
    call = ringing(site)
    done = ask(settings, lambda dialer: dialer.transfer(call, "NOPE", "XFER", anybody=True))
    assert (done.how, done.unclear) == (Control.FAILED, False)
    site.customer_hung_up(call.call_id)


def test_who_is_logged_in_may_not_be_asked(site: Double, settings: Settings) -> None:
    site.set_user("apiuser", api_allowed_functions="ra_call_control")
    call = ringing(site)
    done = ask(settings, lambda dialer: dialer.transfer(call, "SALESLINE", "XFER"))
    assert done == Controlled(Control.FAILED, "logged_in_agents: the API user may not use it")
    site.customer_hung_up(call.call_id)


# Nobody in the mailbox ------------------------------------------------------------------------------------------------


def test_calls_on_our_lines_that_no_leg_has(site: Double, settings: Settings) -> None:
    first, second = ringing(site), ringing(site)

    async def work(dialer: VicidialDialer) -> None:
        assert await dialer.stranded(frozenset()) == [first, second]
        assert await dialer.stranded(frozenset([first.call_id])) == [second]
        site.step(11)
        assert await dialer.stranded(frozenset([first.call_id])) == [second]
        assert await dialer.rescue(second, "XFER") == Controlled(Control.DONE)
        assert await dialer.stranded(frozenset([first.call_id])) == []
        site.step(2)

    ask(settings, work)
    assert site.ledger.pops[0].lead_id == second.lead_id


def test_a_line_whose_customer_has_hung_up_strands_nobody(site: Double, settings: Settings) -> None:
    call = ringing(site)
    site.step(11)
    site.customer_hung_up(call.call_id)
    site.step(0.9)
    assert site.line("9001") is not None
    assert ask(settings, lambda dialer: dialer.stranded(frozenset())) == []


def test_a_closers_call_is_not_ours(site: Double, settings: Settings) -> None:
    call = ringing(site)
    ask(settings, lambda dialer: dialer.transfer(call, "SALESLINE", "XFER"))
    site.step(3)
    assert site.line("9101")["callerid"] != ""  # type: ignore[index]
    assert ask(settings, lambda dialer: dialer.stranded(frozenset())) == []


def test_rescue_has_an_in_group_of_its_own_and_needs_one(site: Double, settings: Settings) -> None:
    call = ringing(site)
    done = ask(settings, lambda dialer: dialer.rescue(call, "XFER"), transfer_to="")
    assert done.how is Control.FAILED
    assert ask(settings, lambda dialer: dialer.rescue(call, "XFER"), transfer_to="", rescue_to="SALESLINE").how is Control.DONE


def test_an_api_that_is_down_strands_nobody(site: Double, settings: Settings) -> None:
    site.go_down()
    assert ask(settings, lambda dialer: dialer.stranded(frozenset())) == []
    site.come_up()


# Capacity -------------------------------------------------------------------------------------------------------------


def test_lines_follow(site: Double, settings: Settings) -> None:
    async def work(dialer: VicidialDialer) -> None:
        assert await dialer.capacity(1) == Controlled(Control.DONE)
        assert site.remote_agent()["number_of_lines"] == 1
        assert await dialer.capacity(0) == Controlled(Control.DONE)
        assert site.remote_agent()["status"] == "INACTIVE"
        assert await dialer.capacity(0) == Controlled(Control.DONE, ALREADY_SO)
        assert await dialer.capacity(3) == Controlled(Control.DONE)
        assert (site.remote_agent()["status"], site.remote_agent()["number_of_lines"]) == ("INACTIVE", 3)
        assert await dialer.capacity(3, resume=True) == Controlled(Control.DONE)
        assert site.remote_agent()["status"] == "ACTIVE"
        assert await dialer.capacity(3, resume=True) == Controlled(Control.DONE)

    ask(settings, work)
    assert len(site.ledger.of("version")) == 1


def test_an_unknown_remote_agent(site: Double, settings: Settings) -> None:
    done = ask(settings, lambda dialer: dialer.capacity(2), agent_user="9002")
    assert done == Controlled(Control.FAILED, "the dialer has no remote agent with the User Start 9002")


def test_lines_that_an_operator_manages(site: Double, settings: Settings) -> None:
    assert ask(settings, lambda dialer: dialer.capacity(2), manage_lines=False) == Controlled(Control.LEG)
    assert site.ledger.requests == []


def test_a_dialer_too_old_for_it(settings: Settings) -> None:
    old = "VERSION: 2.14-180|BUILD: 240101-0900|DATE: 2026-11-22 13:42:58|EPOCH: 1795354978|DST: 0|TZ: 0.00|TZNOW: 0.00|\n"
    new = old.replace("240101-0900", "240703-1657")
    unknown = "ERROR: NO FUNCTION SPECIFIED\n"

    async def scenario(version: str) -> tuple[Controlled, list[str]]:
        async with Scripted({"version": [version], "update_remote_agent": [unknown]}) as site:
            dialer = VicidialDialer(site.settings(), lines=2)
            done = await dialer.capacity(0)
            await dialer.close()
            return done, site.functions

    done, asked = run(scenario(old))
    assert done.how is Control.LEG
    assert "set it INACTIVE" in done.detail
    assert "240101-0900" in done.detail
    assert asked == ["version"]
    done, asked = run(scenario(new))
    assert done.how is Control.LEG
    assert asked == ["version", "update_remote_agent"]


# As a whole -----------------------------------------------------------------------------------------------------------


def test_shadow_mode_changes_nothing(site: Double, settings: Settings) -> None:
    site.forbid_writes = True
    call = ringing(site)

    async def work(dialer: VicidialDialer) -> None:
        assert await dialer.lead(call) is not None
        for done in (
            await dialer.release(call, "NI"),
            await dialer.transfer(call, "SALESLINE", "XFER"),
            await dialer.rescue(call, "XFER"),
            await dialer.capacity(0),
        ):
            assert done.how is Control.LEG
            assert "shadow" in done.detail

    ask(settings, work, shadow=True)
    assert site.ledger.writes == []
    site.customer_hung_up(call.call_id)


def test_a_refused_password_stops_everything_until_an_operator_says_so(site: Double, settings: Settings) -> None:
    right = settings().password
    site.set_user("apiuser", password="changed-on-the-dialer")
    call = ringing(site)

    async def work(dialer: VicidialDialer) -> None:
        for _ in range(15):
            assert (await dialer.release(call, "NI")).how is Control.FAILED
            assert await dialer.lead(call) is None
        assert dialer.health.locked
        assert len([seen for seen in site.ledger.requests if seen.function != "version"]) == 1
        site.set_user("apiuser", password=right.get_secret_value())
        dialer.unlock()
        assert (await dialer.release(call, "NI")).how is Control.DONE
        assert not dialer.health.locked

    ask(settings, work, password=right)


def test_transfers_need_an_in_group(site: Double, settings: Settings) -> None:
    async def can(dialer: VicidialDialer) -> bool:
        return dialer.can_transfer

    assert ask(settings, can)
    assert not ask(settings, can, transfer_to="")


@pytest.mark.parametrize(
    ("first", "lines", "users"),
    [
        ("9001", 3, ("9001", "9002", "9003")),
        ("9009", 2, ("9009", "9010")),
        ("bot08", 3, ("bot08", "bot09", "bot10")),
        ("0099", 2, ("0099", "0100")),
        ("bot", 3, ("bot",)),
    ],
)
def test_the_users_of_our_lines(first: str, lines: int, users: tuple[str, ...]) -> None:
    assert line_users(first, lines) == users


def test_an_old_build_of_the_double_is_told_so_too() -> None:
    with Double(clock=SteppedClock(), build="240101-0900") as site:

        async def scenario() -> Controlled:
            async with Scripted({}) as nobody:
                settings = nobody.settings()
            dialer = VicidialDialer(settings.model_copy(update={"url": site.url}), lines=2)
            done = await dialer.capacity(4)
            await dialer.close()
            return done

        assert run(scenario()).how is Control.LEG
        assert site.ledger.writes == []


def test_a_dialer_that_is_away_is_known_without_a_call(site: Double, settings: Settings) -> None:
    async def work(dialer: VicidialDialer) -> list[bool | None]:
        seen = [dialer.health.reachable]
        changes: tuple[Callable[[], object], ...] = (list, site.go_down, site.come_up)
        for change in changes:
            change()
            await dialer.probe()
            seen.append(dialer.health.reachable)
        return seen

    assert ask(settings, work) == [None, True, False, True]
    assert {seen.function for seen in site.ledger.requests} == {"version"}
