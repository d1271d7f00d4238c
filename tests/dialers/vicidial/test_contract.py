"""That no line of the dialer's is left out, and what only shows in time: locks, drains, fewer lines."""

from __future__ import annotations

import asyncio
import logging

import pytest
from pydantic import SecretStr

from appliance.dialers.protocol import Control, Delivery, DialerCall, EntryKind
from appliance.dialers.vicidial.dialer import VicidialDialer
from appliance.dialers.vicidial.wire import VicidialError
from tests.dialers.vicidial import test_contract_admin as admin
from tests.dialers.vicidial import test_contract_agent as agent
from tests.dialers.vicidial.conftest import Settings
from tests.dialers.vicidial.contract import dashed, matches
from tests.dialers.vicidial.test_delivery import owed, settle
from tests.dialers.vicidial.test_dialer import ask, ringing
from tests.fakes.vicidial import Dialect, Double, FaultKind, password_of

AGENT_SAYS = """\
ERROR: Invalid Source - x
ERROR: Invalid Username/Password: |lockme|bad|0|1|BAD|0|api|SELECT count(*) from vicidial_users where user='lockme';|
ERROR: Invalid Username/Password: |lockme|lockpass|0|1|LOCK|
ERROR: Invalid Username/Password: |apilow|lowpass|1|0|GOOD|
ERROR: System API NOT ACTIVE
VERSION: 2.14-82|BUILD: 250122-1010|DATE: 2026-11-22 13:42:58|EPOCH: 1795354978

ERROR: ra_call_control not valid - |9001|HANGUP
ERROR: ra_call_control not valid - V1221343190000000008||HANGUP
ERROR: ra_call_control not valid - V1221343190000000008|9001|
ERROR: auth USER DOES NOT HAVE PERMISSION TO USE THIS FUNCTION - V1221343190000000008|apilow|ra_call_control|ADMIN
ERROR: agent_user is not logged in - 9999
ERROR: no user found - 9999
ERROR: no active call found - V1221343190000000008
SUCCESS: ra_call_control hungup - 9001|V1221347110000000010|HANGUP
ERROR: phone_number is not valid - $
ERROR: phone_number is not valid - 8
SUCCESS: ra_call_control transfer - 9002|V1221356170000000027|8379
SUCCESS: ra_call_control transfer - 9001|V1221401430000000036|
SUCCESS: ra_call_control transfer - 9002|V1221402060000000037|4155550000
SUCCESS: ra_call_control transferred - 6666|Y1221401470000000036|SALESLINE
ERROR: ingroup is not valid - $
ERROR: ingroup is not valid - OFFLINE
ERROR: ingroup is not valid - NOPE
ERROR: stage is not valid - hangup
SUCCESS: external_hangup function set - 1|9001
SUCCESS: external_status function set - A|9001
SUCCESS: external_pause function set - PAUSE|1795356234|9001
SUCCESS: transfer_conference function set - HANGUP_XFER|||NO|9001|V1221403420000000040|
SUCCESS: transfer_conference function set - BLIND_TRANSFER||8379|NO|9001|V1221403420000000040|
SUCCESS: transfer_conference function set - LOCAL_CLOSER|SALESLINE||NO|9001|V1221403420000000040|
ERROR: transfer_conference not valid - AXFER|9001
SUCCESS: park_call function set - PARK_CUSTOMER|9001
SUCCESS: send_dtmf function set - QQQQ1234SQQQQQ6654P|9001
SUCCESS: recording function sent - 9001|START||||10.10.10.15|8371|INCALL
NOTICE: not recording - 9001|||||10.10.10.15|8371|INCALL
SUCCESS: logout function set - LOGOUT|1795356235|9001
SUCCESS: calls_in_queue_count - 0
ERROR: agent_user is not paused - 9001
ERROR: no fields have been defined - 9001
ERROR: pause_code error - agent is not paused - 9001
ERROR: audio_playback error - entry is empty - PLAY|9001
ERROR: user is not allowed to change agent in-groups - apiuser
ERROR: external_hangup not valid - |9001
ERROR: agent_user does not have a lead on their screen - 9001
""".replace("$", "").splitlines()
"""The agent API, as it was seen and as it is documented; an empty line is an empty answer, "$" ends one with a blank."""

ADMIN_SAYS = """\
VERSION: 2.14-202|BUILD: 250720-1841|DATE: 2026-11-22 13:42:58|EPOCH: 1795354978|DST: 0|TZ: 0.00|TZNOW: 0.00|

ERROR: Invalid Source - x
ERROR: Invalid Source: |x|
ERROR: Invalid Source - $
ERROR: Invalid Source: ||
ERROR: Login incorrect, please try again: |||BAD|
ERROR: Login incorrect, please try again: |lockme|wrong1|BAD|
ERROR: Too many login attempts, try again in 15 minutes: |lockme|LOCK|
ERROR: Your IP Address is not allowed
ERROR: auth USER DOES NOT HAVE PERMISSION TO USE THIS FUNCTION: |apilow|update_lead|
ERROR: NO FUNCTION SPECIFIED
SUCCESS: update_lead LEAD HAS BEEN UPDATED - apiuser|150|1|||
SUCCESS: update_lead LEAD HAS BEEN UPDATED - apiuser|15|0|||
ERROR: update_lead NO MATCHES FOUND IN THE SYSTEM: |apiuser|999999||
ERROR: update_lead NO VALID SEARCH METHOD - apiuser|LEAD_ID|||
ERROR: update_lead NO VALID SEARCH METHOD - apiuser|LEAD_ID||
ERROR: update_lead USER DOES NOT HAVE PERMISSION TO UPDATE LEADS IN THE SYSTEM: |apiuser|0|
NOTICE: update_lead CUSTOM FIELDS VALUES UPDATED - |160|101|0|101|1
NOTICE: update_lead CUSTOM FIELDS NOT ADDED, NO CUSTOM FIELDS DEFINED FOR THIS LIST - |160|101
NOTICE: update_lead SCHEDULED CALLBACK ADDED - 151|TESTCAMP|2026-11-25 16:00:00|ANYONE||CALLBK
NOTICE: update_lead SCHEDULED CALLBACK ADDED - 151|TESTCAMP|0000-00-00 00:00:00|ANYONE||CALLBK
NOTICE: update_lead SCHEDULED CALLBACK UPDATED - 150|TESTCAMP|2026-11-25 16:00:00|ANYONE||CALLBK
NOTICE: update_lead SCHEDULED CALLBACK NOT ADDED, CAMPAIGN NOT VALID - 151|NOCAMP
NOTICE: update_lead SCHEDULED CALLBACK NOT ADDED, CAMPAIGN NOT VALID - 151|
NOTICE: update_lead SCHEDULED CALLBACK DELETED - apiuser|150|1|1
150|CURRENT|ANYONE|ACTIVE|CALLBK|2026-11-25 16:00:00|2026-11-22 14:00:00||101|TESTCAMP||||prefers afternoon
ERROR: lead_callback_info CALLBACK NOT FOUND: apiuser|40|pipe|
ERROR: lead_callback_info INVALID SEARCH PARAMETERS: apiuser|
ERROR: lead_callback_info LEAD NOT FOUND: apiuser|40
ERROR: lead_all_info LEAD NOT FOUND: apiuser|999999|
ERROR: lead_field_info LIST FIELD NOT FOUND: apiuser|150
ERROR: lead_field_info LEAD NOT FOUND: apiuser|150
ERROR: lead_field_info LIST NOT FOUND: apiuser|150
V1221401430000000036|0|2026-11-22 14:01:44|4155550029|OUTBOUND_AUTO|TESTCAMP|101|XFER|9001
ERROR: callid_info CALL NOT FOUND: apiuser|
ERROR: callid_info CALL LOG NOT FOUND: apiuser|V1221401430000000036
ERROR: callid_info INVALID SEARCH PARAMETERS: apiuser|V123
QUEUE|V1221347110000000010|10|TESTCAMP|1|Bot line 1|ADMIN|1|||4155550003|VLC0003|8371
INCALL|V1221347110000000010|10|TESTCAMP|1|Bot line 1|ADMIN|1|||4155550003|VLC0003|8371
INCALL|V1221347110000000010|10|TESTCAMP|1|Bot line 1|ADMIN|1||DEAD|4155550003|VLC0003|8371
READY||0|TESTCAMP|0|Bot line 2|ADMIN|1|||||8371
ERROR: agent_status AGENT NOT LOGGED IN: apiuser|9003
ERROR: agent_status AGENT NOT FOUND: apiuser|nobody
ERROR: agent_status INVALID SEARCH PARAMETERS: apiuser|
ERROR: agent_status USER DOES NOT HAVE PERMISSION TO GET AGENT INFO: |apilow|0|
SUCCESS: update_log_entry RECORD HAS BEEN UPDATED - apiuser|apiuser|TESTCAMP|V1221401430000000024|NI|DROP|1795355716.113|
ERROR: update_log_entry NO RECORDS UPDATED: apiuser|TESTCAMP|V1221401430000000024|NI|NI|1795355716.113
ERROR: update_log_entry NO RECORDS FOUND: apiuser|TESTCAMP|V1221401430000000024|NI
ERROR: update_log_entry NO RECORDS FOUND: apiuser|TESTCAMP|1795356103231|NI
ERROR: update_log_entry GROUP NOT FOUND: apiuser|NOGROUP
ERROR: update_log_entry INVALID SEARCH PARAMETERS: apiuser||V1221401430000000024|NI
SUCCESS: add_dnc_phone DNC NUMBER HAS BEEN ADDED - apiuser|4155550150|SYSTEM_INTERNAL
SUCCESS: add_dnc_phone DNC NUMBER HAS BEEN ADDED - apiuser|4155550150|NOCAMP
ERROR: add_dnc_phone DNC NUMBER ALREADY EXISTS: |apiuser|4155550150|SYSTEM_INTERNAL
ERROR: add_dnc_phone YOU MUST USE ALL REQUIRED FIELDS: |apiuser|123|SYSTEM_INTERNAL
SUCCESS: update_remote_agent REMOTE AGENT HAS BEEN UPDATED - apiuser|9001|
SUCCESS: update_remote_agent USER HAS BEEN UPDATED - apiuser|9001|
NOTICE: update_remote_agent REMOTE AGENT IS ALREADY ACTIVE: |apiuser|9001
ERROR: update_remote_agent NO UPDATES DEFINED: |apiuser|
ERROR: update_remote_agent REMOTE AGENT DOES NOT EXIST: |apiuser|
ERROR: update_remote_agent YOU MUST USE A VALID NUMBER OF LINES, THIS IS AN OPTIONAL FIELD: |apiuser|0
SUCCESS: add_lead LEAD HAS BEEN ADDED - 4155557777|101|188||apiuser
ERROR: add_lead PHONE NUMBER IN DNC - 4155550150|apiuser
ERROR: add_lead DUPLICATE PHONE NUMBER IN LIST - 4155550150|apiuser|101|8
ERROR: logged_in_agents NO LOGGED IN AGENTS
""".replace("$", "").splitlines()
"""The non-agent API. A refusal of an own function ends like that of agent_status: USER DOES NOT HAVE PERMISSION TO ..."""

PLAYED = {
    "agent": [
        *(line.wording(dialect) for line in (*agent.LINES, agent.SOURCE) for dialect in Dialect),
        *(said for _, _, said in agent.INERT),
        agent.WAITING,
    ],
    "admin": [
        *(line.wording(dialect) for line in (*admin.LINES, admin.OLD_BUILD) for dialect in Dialect),
        *admin.SOURCES,
        *(said for said, *_ in admin.UNSEEN),
        *(said for _, _, said in admin.FOREIGN),
    ],
}


@pytest.mark.parametrize(
    ("api", "line"),
    [*(("agent", line) for line in AGENT_SAYS), *(("admin", line) for line in ADMIN_SAYS)],
)
def test_each_line_of_the_dialer_s_is_played_to_the_client(api: str, line: str) -> None:
    assert any(matches(wording, line) for wording in PLAYED[api])


@pytest.mark.parametrize(("api", "known"), [("agent", AGENT_SAYS), ("admin", ADMIN_SAYS)])
def test_nothing_is_played_that_the_dialer_does_not_say(api: str, known: list[str]) -> None:
    said = [*known, *map(dashed, known)]
    played = [wording for wording in PLAYED[api] if wording.startswith(("SUCCESS", "NOTICE", "ERROR"))]
    assert [wording for wording in played if not any(matches(wording, line) for line in said)] == []


# The lock -------------------------------------------------------------------------------------------------------------


def test_a_wrong_password_is_one_try_of_ten_whatever_is_asked_meanwhile(
    site: Double, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    call = ringing(site)

    async def work(dialer: VicidialDialer) -> None:
        asked = [dialer.release(call, "NI"), *(dialer.stranded(frozenset()) for _ in range(20)), dialer.capacity(1)]
        await asyncio.gather(*asked)
        assert dialer.health.locked
        site.set_user("apiuser", password="second-wrong-one")
        dialer.unlock()
        await dialer.lead(call)

    with caplog.at_level(logging.DEBUG):
        ask(settings, work, password=SecretStr("first-wrong-one"))
    failed = site.rows("select failed_login_count from vicidial_users where user = 'apiuser'")[0]["failed_login_count"]
    assert failed == 2
    assert "wrong-one" not in caplog.text


def test_after_the_lock_an_operator_s_word_is_enough(site: Double, settings: Settings) -> None:
    call = ringing(site)
    right = password_of(site, "apiuser")
    site.set_user("apiuser", failed_login_count=10)

    async def work(dialer: VicidialDialer) -> None:
        assert (await dialer.release(call, "NI")).how is Control.FAILED
        assert dialer.health.locked
        site.step(15 * 60 + 1)
        site.customer_hung_up(call.call_id)
        newer = ringing(site)
        assert (await dialer.release(newer, "NI")).how is Control.FAILED
        dialer.unlock()
        assert (await dialer.release(newer, "NI")).how is Control.DONE

    ask(settings, work, password=SecretStr(right))
    assert [seen.function for seen in site.ledger.requests].count("ra_call_control") == 2


# Lines come and go in the dialer's own time ---------------------------------------------------------------------------


def test_calls_that_come_after_a_pause_are_ended_like_any_other(site: Double, settings: Settings) -> None:
    async def work(dialer: VicidialDialer) -> None:
        early = ringing(site)
        assert (await dialer.capacity(0)).how is Control.DONE
        site.step(15)
        late = ringing(site)
        assert (await dialer.release(early, "NI")).how is Control.DONE
        site.step(10)
        assert (await dialer.release(late, "NI")).how is Control.DONE
        site.step(40)
        assert site.lines() == []
        assert (await dialer.capacity(2)).how is Control.DONE
        site.step(4)
        assert site.lines() == []  # a pause stays one
        assert (await dialer.capacity(2, resume=True)).how is Control.DONE
        site.step(4)
        assert [line["status"] for line in site.lines()] == ["READY", "READY"]

    ask(settings, work)


def test_a_call_whose_line_is_gone_is_ended_by_the_first_line_s_user(site: Double, settings: Settings) -> None:
    async def work(dialer: VicidialDialer) -> DialerCall:
        ringing(site)
        second = ringing(site)
        assert (await dialer.capacity(1)).how is Control.DONE
        site.step(50)
        assert site.line("9002") is None
        assert (await dialer.release(second, "NI")).how is Control.DONE
        return second

    second = ask(settings, work)
    assert (site.log(second.call_id)["status"], site.log(second.call_id)["user"]) == ("NI", "9001")


def test_the_call_of_a_transferred_lead_is_no_longer_ours(site: Double, settings: Settings) -> None:
    """The closer's leg has an id of its own, with the same lead; ours finds no call any more."""

    async def work(dialer: VicidialDialer) -> None:
        call = ringing(site)
        assert (await dialer.transfer(call, "SALESLINE", "XFER")).how is Control.DONE
        assert (await dialer.release(call, "NI")).how is Control.GONE
        site.step(3)
        assert (await dialer.release(call, "NI")).how is Control.GONE
        [closers] = [each for each in site.calls() if each.call_id.startswith("Y")]
        assert closers.lead_id == call.lead_id
        assert site.log(call.call_id)["status"] == "XFER"

    ask(settings, work)


# Whether it serves ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [FaultKind.EMPTY, FaultKind.TRUNCATED, FaultKind.HTML, FaultKind.STATUS_500])
def test_an_api_that_says_nothing_sensible_is_told_as_down_until_it_does(
    site: Double, settings: Settings, kind: FaultKind
) -> None:
    async def work(dialer: VicidialDialer) -> list[bool | None]:
        site.fault(kind)
        await dialer.stranded(frozenset())
        seen = [dialer.health.reachable]
        with pytest.raises(VicidialError):
            await dialer.client.update_remote_agent(lines=1)
        seen.append(dialer.health.reachable)
        site.clear_faults()
        await dialer.stranded(frozenset())
        return [*seen, dialer.health.reachable]

    assert ask(settings, work) == [False, False, True]


def test_an_empty_answer_to_what_the_list_has_not_is_no_outage(site: Double, settings: Settings) -> None:
    call = ringing(site)

    async def work(dialer: VicidialDialer) -> tuple[Delivery, bool | None]:
        await dialer.stranded(frozenset())
        done = await dialer.deliver(owed(EntryKind.LEAD, call, **{"custom:nosuchfield": "x"}))
        return done.what, dialer.health.reachable

    assert ask(settings, work) == (Delivery.LATER, True)


def test_the_agent_api_is_known_to_serve_again_before_the_next_call_s_end(site: Double, settings: Settings) -> None:
    call = ringing(site)

    async def work(dialer: VicidialDialer) -> list[bool | None]:
        site.fault(FaultKind.CUT_BEFORE, "ra_call_control")
        assert (await dialer.release(call, "NI")).how is Control.FAILED
        seen = [dialer.health.reachable]
        site.clear_faults()
        site.customer_hung_up(call.call_id)
        site.step(3)
        assert (await dialer.deliver(settle(call, "NI"))).what is Delivery.DONE
        return [*seen, dialer.health.reachable]

    assert ask(settings, work) == [False, True]
