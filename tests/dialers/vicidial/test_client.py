"""The client against a real web server that says what VICIdial says, and breaks where it is told to."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence

import pytest
from pydantic import HttpUrl

from appliance.dialers.vicidial.answers import AgentStatus, CallInfo, Version
from appliance.dialers.vicidial.client import Callback, Client, Stage, Told
from appliance.dialers.vicidial.fields import Status, lead_change
from appliance.dialers.vicidial.wire import OPEN, Api, Function, Trouble, VicidialError
from tests.dialers.vicidial.scripted import PAGE, PASSWORD, Answer, Fault, Scripted, run

CALL = "V1221347110000000010"
NI = Status("NI")
VERSION = "VERSION: 2.14-202|BUILD: 250720-1841|DATE: 2026-11-22 13:42:58|EPOCH: 1795354978|DST: 0|TZ: 0.00|TZNOW: -5.00|\n"
BAD = f"ERROR: Login incorrect, please try again: |apiuser|{PASSWORD}|BAD|\n"
LOCK = "ERROR: Too many login attempts, try again in 15 minutes: |apiuser|LOCK|\n"
AGENT_BAD = f"ERROR: Invalid Username/Password: |apiuser|{PASSWORD}|0|1|BAD|0|api|SELECT 1 where pass='{PASSWORD}' and 1;|\n"
CALL_HEAD = "call_id|custtime|call_date|phone|call_type|campaign_id|list_id|status|user\n"
CALL_ROW = f"{CALL}|0|2026-11-22 14:01:44|4155550029|OUTBOUND_AUTO|TESTCAMP|101|XFER|9001\n"
INFO = CallInfo(CALL, "TESTCAMP", "XFER", "9001")
LEAD_HEAD = (
    "status|user|vendor_lead_code|source_id|list_id|gmt_offset_now|phone_code|phone_number|title|first_name|middle_initial|"
    "last_name|address1|address2|address3|city|state|province|postal_code|country_code|gender|date_of_birth|alt_phone|email|"
    "security_phrase|comments|called_count|last_local_call_time|rank|owner|entry_list_id|lead_id"
)


def lead_row(comments: str = "", status: str = "NI", lead_id: int = 10) -> str:
    values = {"status": status, "gmt_offset_now": "-5.00", "phone_number": "4155550003", "comments": comments}
    values["lead_id"] = str(lead_id)
    return "|".join(values.get(name, "") for name in LEAD_HEAD.split("|"))


async def asked(answers: dict[str, Sequence[Answer]], ask: Callable[[Client], Awaitable[object]]) -> tuple[object, Scripted]:
    """What the client made of the answers: its own, or the trouble."""
    async with Scripted(answers) as site:
        client = Client(site.settings())
        try:
            return await ask(client), site
        except VicidialError as error:
            told = f"{error!s} {error!r} {error.__cause__!r}"
            return ("leak" if PASSWORD in told else error.trouble), site
        finally:
            await client.close()


def control(client: Client) -> Awaitable[Told]:
    return client.control(CALL, Stage.HANGUP, NI)


def to_sales(client: Client) -> Awaitable[Told]:
    return client.control(CALL, Stage.IN_GROUP, NI, "SALESLINE")


@pytest.mark.parametrize(
    ("line", "ask", "came"),
    [
        (f"SUCCESS: ra_call_control hungup - 9001|{CALL}|HANGUP\n", control, Told.DONE),
        (f"SUCCESS: ra_call_control transfer - 9001|{CALL}|\n", to_sales, Told.DONE),
        (f"SUCCESS: ra_call_control transferred - 9001|{CALL}|SALESLINE\n", to_sales, Told.DONE),
        (f"ERROR: no active call found - {CALL}\n", control, Told.GONE),
        (f"ERROR: ra_call_control not valid - {CALL}|9001|\n", control, Trouble.REFUSED),
        ("ERROR: agent_user is not logged in - 9001\n", control, Trouble.REFUSED),
        ("ERROR: no user found - 9001\n", control, Trouble.REFUSED),
        ("ERROR: phone_number is not valid - \n", control, Trouble.REFUSED),
        ("ERROR: ingroup is not valid - NOPE\n", to_sales, Trouble.REFUSED),
        ("ERROR: stage is not valid - hangup\n", control, Trouble.REFUSED),
        ("ERROR: Invalid Source - x\n", control, Trouble.SHUT),
        ("ERROR: System API NOT ACTIVE\n", control, Trouble.SHUT),
        ("ERROR: Your IP Address is not allowed\n", control, Trouble.SHUT),
        (
            f"ERROR: auth USER DOES NOT HAVE PERMISSION TO USE THIS FUNCTION - {CALL}|apilow|ra_call_control|ADMIN\n",
            control,
            Trouble.FORBIDDEN,
        ),
        ("ERROR: Invalid Username/Password: |apilow|lowpass|1|0|GOOD|\n", control, Trouble.FORBIDDEN),
        (AGENT_BAD, control, Trouble.LOCKED),
        (f"ERROR: Invalid Username/Password: |apiuser|{PASSWORD}|0|1|LOCK|\n", control, Trouble.LOCKED),
        ("", control, Trouble.UNCLEAR),
        ("SUCCESS: ra_call_co", control, Trouble.UNCLEAR),
        ("SUCC", control, Trouble.UNCLEAR),
        (PAGE, control, Trouble.UNCLEAR),
        (Fault.HALF, control, Trouble.UNCLEAR),
        (Fault.CUT, control, Trouble.UNCLEAR),
        (Fault.SILENT, control, Trouble.UNCLEAR),
        (Fault.ERROR_500, control, Trouble.UNCLEAR),
        (Fault.ENDLESS, control, Trouble.UNCLEAR),
        (Fault.NOT_FOUND, control, Trouble.SHUT),
        (Fault.MOVED, control, Trouble.SHUT),
    ],
)
def test_every_line_of_ra_call_control_asked_once(
    line: Answer, ask: Callable[[Client], Awaitable[Told]], came: Told | Trouble
) -> None:
    what, site = run(asked({"ra_call_control": [line]}, ask))
    assert what is came
    assert len(site.asked) == 1
    assert site.lines == ["POST /agc/api.php HTTP/1.1"]


@pytest.mark.parametrize(
    ("lines", "came"),
    [
        ("SUCCESS: update_lead LEAD HAS BEEN UPDATED - apiuser|150|1|||\n", Told.DONE),
        ("SUCCESS: update_lead LEAD HAS BEEN UPDATED - apiuser|15|0|||\n", Told.DONE),
        ("ERROR: update_lead NO MATCHES FOUND IN THE SYSTEM: |apiuser|999999||\n", Told.GONE),
        ("ERROR: update_lead NO MATCHES FOUND IN THE SYSTEM - apiuser|999999||\n", Told.GONE),
        ("ERROR: update_lead NO VALID SEARCH METHOD - apiuser|LEAD_ID|||\n", Trouble.REFUSED),
        ("ERROR: update_lead USER DOES NOT HAVE PERMISSION TO UPDATE LEADS IN THE SYSTEM: |u|0|\n", Trouble.FORBIDDEN),
        ("ERROR: NO FUNCTION SPECIFIED\n", Trouble.TOO_OLD),
        ("", Trouble.UNCLEAR),
    ],
)
def test_every_line_of_update_lead(lines: str, came: Told | Trouble) -> None:
    what, _ = run(asked({"update_lead": [lines]}, lambda client: client.update_lead(10, status=NI)))
    assert what is came


UPDATED = "SUCCESS: update_lead LEAD HAS BEEN UPDATED - apiuser|150|1|||\n"
CUSTOM = "NOTICE: update_lead CUSTOM FIELDS VALUES UPDATED - |160|101|0|101|1\n"
NO_CUSTOM = "NOTICE: update_lead CUSTOM FIELDS NOT ADDED, NO CUSTOM FIELDS DEFINED FOR THIS LIST - |160|101|0|101\n"


@pytest.mark.parametrize(
    ("lines", "data", "came"),
    [
        (UPDATED + CUSTOM, {"comments": "x", "custom:goal": "y"}, Told.DONE),
        (CUSTOM, {"custom:goal": "y"}, Told.DONE),
        (UPDATED, {"comments": "x", "custom:goal": "y"}, Told.PARTLY),
        (UPDATED + NO_CUSTOM, {"comments": "x", "custom:goal": "y"}, Told.PARTLY),
        (NO_CUSTOM, {"custom:goal": "y"}, Told.PARTLY),
        (CUSTOM, {"comments": "x", "custom:goal": "y"}, Trouble.UNCLEAR),
    ],
)
def test_custom_fields_answer_with_a_notice(lines: str, data: dict[str, str], came: Told | Trouble) -> None:
    what, site = run(asked({"update_lead": [lines]}, lambda client: client.update_lead(10, change=lead_change(data))))
    assert what is came
    assert site.bodies[0].endswith("&custom_fields=Y&goal=y")


@pytest.mark.parametrize(
    ("line", "came"),
    [
        ("NOTICE: update_lead SCHEDULED CALLBACK ADDED - 151|TESTCAMP|x|ANYONE||CALLBK", Told.DONE),
        ("NOTICE: update_lead SCHEDULED CALLBACK UPDATED - 150|TESTCAMP|x|USERONLY|9001|CALLBK", Told.DONE),
        ("NOTICE: update_lead SCHEDULED CALLBACK NOT ADDED, CAMPAIGN NOT VALID - 151|NOCAMP", Told.PARTLY),
        ("NOTICE: update_lead SCHEDULED CALL", Trouble.UNCLEAR),
    ],
)
def test_every_line_of_a_callback(line: str, came: Told | Trouble) -> None:
    callback = Callback("2026-11-25 16:00:00", "TESTCAMP", 'after "lunch"')
    what, site = run(
        asked({"update_lead": [UPDATED + line]}, lambda c: c.update_lead(10, status=Status("CALLBK"), callback=callback))
    )
    assert what is came
    assert site.asked[0]["callback_datetime"] == "2026-11-25 16:00:00"
    assert site.asked[0]["callback_comments"] == "after lunch"


@pytest.mark.parametrize(
    ("line", "came"),
    [
        (f"SUCCESS: update_log_entry RECORD HAS BEEN UPDATED - a|a|TESTCAMP|{CALL}|NI|DROP|1795355716.113|\n", Told.DONE),
        (f"ERROR: update_log_entry NO RECORDS UPDATED: apiuser|TESTCAMP|{CALL}|NI|NI|1795355716.113\n", Told.ALREADY),
        (f"ERROR: update_log_entry NO RECORDS FOUND: apiuser|TESTCAMP|{CALL}|NI\n", Told.GONE),
        ("ERROR: update_log_entry GROUP NOT FOUND: apiuser|NOGROUP\n", Told.GONE),
        (f"ERROR: update_log_entry INVALID SEARCH PARAMETERS: apiuser|TESTCAMP|{CALL}|NI\n", Trouble.REFUSED),
    ],
)
def test_every_line_of_update_log_entry(line: str, came: Told | Trouble) -> None:
    what, _ = run(asked({"update_log_entry": [line]}, lambda client: client.update_log_entry("TESTCAMP", CALL, NI)))
    assert what is came


@pytest.mark.parametrize(
    ("line", "came"),
    [
        ("SUCCESS: add_dnc_phone DNC NUMBER HAS BEEN ADDED - apiuser|4155550150|SYSTEM_INTERNAL\n", Told.DONE),
        ("ERROR: add_dnc_phone DNC NUMBER ALREADY EXISTS: |apiuser|4155550150|SYSTEM_INTERNAL\n", Told.ALREADY),
        ("ERROR: add_dnc_phone YOU MUST USE ALL REQUIRED FIELDS: |apiuser|123|SYSTEM_INTERNAL\n", Trouble.REFUSED),
    ],
)
def test_every_line_of_add_dnc_phone(line: str, came: Told | Trouble) -> None:
    what, _ = run(asked({"add_dnc_phone": [line]}, lambda client: client.add_dnc_phone("4155550150", "SYSTEM_INTERNAL")))
    assert what is came


@pytest.mark.parametrize(
    ("lines", "came"),
    [
        ("SUCCESS: update_remote_agent REMOTE AGENT HAS BEEN UPDATED - apiuser|9001|\n", Told.DONE),
        ("SUCCESS: update_remote_agent USER HAS BEEN UPDATED - apiuser|9001\n", Told.DONE),
        (
            "NOTICE: update_remote_agent REMOTE AGENT IS ALREADY ACTIVE: |apiuser|9001\n"
            "ERROR: update_remote_agent NO UPDATES DEFINED: |apiuser|\n",
            Told.ALREADY,
        ),
        ("ERROR: update_remote_agent REMOTE AGENT DOES NOT EXIST: |apiuser|\n", Told.GONE),
        (
            "ERROR: update_remote_agent YOU MUST USE A VALID NUMBER OF LINES, THIS IS AN OPTIONAL FIELD: |apiuser|0\n",
            Trouble.REFUSED,
        ),
    ],
)
def test_every_line_of_update_remote_agent(lines: str, came: Told | Trouble) -> None:
    what, _ = run(asked({"update_remote_agent": [lines]}, lambda client: client.update_remote_agent(active=True, lines=2)))
    assert what is came


@pytest.mark.parametrize(
    ("answer", "came"),
    [
        (CALL_HEAD + CALL_ROW, INFO),
        (CALL_ROW, INFO),
        (
            "call_id|custtime|call_date|campaign_id|list_id|status|user|phone\n"
            f"{CALL}|0|2026-11-22 14:01:44|TESTCAMP|101|XFER|9001|4155550029\n",
            INFO,
        ),
        ("ERROR: callid_info CALL NOT FOUND: apiuser|\n", None),
        ("ERROR: callid_info CALL LOG NOT FOUND - apiuser\n", None),
        ("ERROR: callid_info INVALID SEARCH PARAMETERS: apiuser|V123\n", Trouble.REFUSED),
        (CALL_HEAD, Trouble.UNCLEAR),
        (CALL_HEAD + CALL_ROW[:40], Trouble.UNCLEAR),
        (CALL_ROW.replace(CALL, "V1221347110000000011"), Trouble.UNCLEAR),
    ],
)
def test_callid_info(answer: str, came: object) -> None:
    what, _ = run(asked({"callid_info": [answer]}, lambda client: client.call_info(CALL)))
    assert what == came


@pytest.mark.parametrize(
    ("answer", "came"),
    [
        (
            f"INCALL|{CALL}|10|TESTCAMP|1|Bot line 1|ADMIN|1||DEAD|4155550003|VLC0003|8371\n",
            AgentStatus("9001", "INCALL", CALL, "DEAD", "4155550003"),
        ),
        ("READY||0|TESTCAMP|11|Bot|line 1|ADMIN|1|||||8371\n", AgentStatus("9001", "READY", "", "", "")),
        ("ERROR: agent_status AGENT NOT LOGGED IN: apiuser|9001\n", None),
        ("ERROR: agent_status AGENT NOT FOUND - apiuser|nobody\n", None),
        ("ERROR: agent_status INVALID SEARCH PARAMETERS: apiuser|\n", Trouble.REFUSED),
        ("ERROR: agent_status USER DOES NOT HAVE PERMISSION TO GET AGENT INFO: |apilow|0|\n", Trouble.FORBIDDEN),
        ("READY||0|TEST", Trouble.UNCLEAR),
    ],
)
def test_agent_status(answer: str, came: object) -> None:
    what, _ = run(asked({"agent_status": [answer]}, lambda client: client.agent_status("9001")))
    assert what == came


@pytest.mark.parametrize(
    ("answer", "comments"),
    [
        (f"{LEAD_HEAD}\n{lead_row('likes tea')}\n", "likes tea"),
        (f"{lead_row('likes tea')}\n", "likes tea"),
        (f"{LEAD_HEAD}|goal\n{lead_row('a|b|c')}|to sell\n", "a|b|c"),
        (f"{LEAD_HEAD}\n" + lead_row("one\ntwo"), "one two"),
        (f"{LEAD_HEAD}\n{lead_row(lead_id=11)}\n", Trouble.UNCLEAR),
        (f"{LEAD_HEAD}\n{lead_row()[:-3]}\n", Trouble.UNCLEAR),
        ("ERROR: lead_all_info LEAD NOT FOUND: apiuser|999999|\n", None),
    ],
)
def test_a_lead_whole_or_not_at_all(answer: str, comments: object) -> None:
    what, _ = run(asked({"lead_all_info": [answer]}, lambda client: client.lead(10, custom=True)))
    assert (what["comments"] if isinstance(what, dict) else what) == comments


def test_version_needs_no_login() -> None:
    what, site = run(asked({"version": [VERSION]}, lambda client: client.version(Api.ADMIN)))
    assert what == Version("2.14-202", "250720-1841", -5.0, 1795354978)
    assert PASSWORD not in site.bodies[0]


def test_campaigns_and_agents() -> None:
    row = f"9101|TESTCAMP|8600051|READY|0|{CALL}|3|Ann|ADMIN|1|LUNCH|DEAD"
    head = (
        "user|campaign_id|session_id|status|lead_id|callerid|calls_today|full_name|user_group|user_level|pause_code|sub_status"
    )
    what, _ = run(asked({"logged_in_agents": [f"{head}\n{row}\n"]}, lambda client: client.logged_in_agents()))
    assert isinstance(what, list)
    assert (what[0].user, what[0].status, what[0].call_id, what[0].sub_status) == ("9101", "READY", CALL, "DEAD")
    none, _ = run(
        asked({"logged_in_agents": ["ERROR: logged_in_agents NO LOGGED IN AGENTS: apiuser|\n"]}, Client.logged_in_agents)
    )
    assert none == []
    listed, _ = run(asked({"campaigns_list": ["TESTCAMP|Test|Y\n"]}, Client.campaigns))
    assert listed == (("TESTCAMP", "Test", "Y"),)


@pytest.mark.parametrize("first", [Fault.CUT, Fault.HALF, Fault.ERROR_500, PAGE, "", CALL_HEAD])
def test_a_read_is_tried_again(first: Answer) -> None:
    what, site = run(asked({"callid_info": [first, CALL_ROW]}, lambda client: client.call_info(CALL)))
    assert what == INFO
    assert len(site.asked) == 2


def test_a_read_gives_up() -> None:
    what, site = run(asked({"callid_info": [Fault.CUT]}, lambda client: client.call_info(CALL)))
    assert what is Trouble.UNCLEAR
    assert len(site.asked) == 3


def test_a_refusal_is_not_tried_again() -> None:
    line = "ERROR: callid_info INVALID SEARCH PARAMETERS: apiuser|V123"
    _, site = run(asked({"callid_info": [line]}, lambda client: client.call_info(CALL)))
    assert len(site.asked) == 1


@pytest.mark.parametrize("answer", [BAD, LOCK])
def test_a_wrong_password_is_tried_once_by_many_at_once(answer: str, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        good = f"SUCCESS: ra_call_control hungup - 9001|{CALL}|HANGUP\n"
        async with Scripted({"callid_info": [answer, CALL_ROW], "ra_call_control": [good]}) as site:
            client = Client(site.settings())
            asked = [client.call_info(CALL) for _ in range(20)]
            troubles = await asyncio.gather(*asked, return_exceptions=True)
            assert {t.trouble for t in troubles if isinstance(t, VicidialError)} == {Trouble.LOCKED}
            with pytest.raises(VicidialError) as refused:
                await control(client)
            assert refused.value.trouble is Trouble.LOCKED
            assert "restart the box; if it was corrected on the dialer: sidetone outbox retry" in refused.value.hint
            assert len(site.asked) == 1
            assert client.health.locked
            client.unlock()
            assert not client.health.locked
            assert await client.call_info(CALL) == INFO
            await client.close()

    with caplog.at_level(logging.DEBUG):
        run(scenario())
    assert PASSWORD not in caplog.text
    assert [record.levelname for record in caplog.records if record.name.startswith("appliance")] == ["ERROR", "INFO"]


def test_one_forbidden_function_locks_nothing_and_is_told() -> None:
    async def scenario() -> None:
        no = "ERROR: auth USER DOES NOT HAVE PERMISSION TO USE THIS FUNCTION: |apiuser|add_dnc_phone|\n"
        done = "SUCCESS: add_dnc_phone DNC NUMBER HAS BEEN ADDED - apiuser|4155550150|SYSTEM_INTERNAL\n"
        async with Scripted({"add_dnc_phone": [no, done], "callid_info": [CALL_ROW]}) as site:
            client = Client(site.settings())
            with pytest.raises(VicidialError, match="may not use it"):
                await client.add_dnc_phone("4155550150", "SYSTEM_INTERNAL")
            assert await client.call_info(CALL) == INFO
            assert not client.health.locked
            assert client.health.detail == "not permitted: add_dnc_phone"
            await client.add_dnc_phone("4155550150", "SYSTEM_INTERNAL")
            assert client.health.detail == ""
            await client.close()

    run(scenario())


def test_the_log_has_the_changes_alone(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        async with Scripted({"callid_info": [*[Fault.CUT] * 6, CALL_ROW]}) as site:
            client = Client(site.settings())
            assert client.health.reachable is None
            for _ in range(2):
                with pytest.raises(VicidialError):
                    await client.call_info(CALL)
            assert client.health.reachable is False
            assert "non-agent API" in client.health.detail
            for _ in range(3):
                await client.call_info(CALL)
            assert client.health.reachable is True
            await client.close()

    with caplog.at_level(logging.DEBUG):
        run(scenario())
    ours = [record for record in caplog.records if record.name.startswith("appliance")]
    assert [record.levelname for record in ours] == ["WARNING", "INFO"]
    assert not [record for record in caplog.records if record.name.startswith("http")]


def test_a_silent_dialer_costs_the_time_out_and_no_more() -> None:
    async def scenario() -> None:
        async with Scripted({"ra_call_control": [Fault.SILENT], "callid_info": [Fault.SILENT]}) as site:
            client = Client(site.settings())
            began = time.monotonic()
            with pytest.raises(VicidialError, match=r"no answer within 0\.5 s"):
                await control(client)
            assert 0.4 < time.monotonic() - began < 1.0
            with pytest.raises(VicidialError):
                await client.call_info(CALL)
            assert time.monotonic() - began < 2.5
            await client.close()

    run(scenario())


def test_nobody_listens() -> None:
    async def scenario() -> None:
        async with Scripted({}) as site:
            settings = site.settings()
        client = Client(settings)
        with pytest.raises(VicidialError) as lost:
            await control(client)
        assert lost.value.trouble is Trouble.UNREACHABLE
        assert f"{settings.url}agc/api.php: " in lost.value.message
        assert f"{settings.url}agc/api.php: " in client.health.detail
        await client.close()

    run(scenario())


def test_a_name_that_is_none() -> None:
    async def scenario() -> None:
        async with Scripted({}) as site:
            client = Client(site.settings(url=HttpUrl("http://dialer.invalid")))
        with pytest.raises(VicidialError) as lost:
            await client.call_info(CALL)
        assert lost.value.trouble in (Trouble.UNREACHABLE, Trouble.UNCLEAR)
        await client.close()

    run(scenario())


def test_shadow_mode_sends_no_write() -> None:
    async def scenario() -> None:
        async with Scripted({"callid_info": [CALL_ROW]}) as site:
            client = Client(site.settings(), read_only=True)
            writes: list[Awaitable[object]] = [
                control(client),
                client.update_lead(10, status=NI),
                client.update_log_entry("TESTCAMP", CALL, NI),
                client.add_dnc_phone("4155550150", "SYSTEM_INTERNAL"),
                client.update_remote_agent(active=False),
            ]
            for write in writes:
                with pytest.raises(VicidialError) as refused:
                    await write
                assert refused.value.trouble is Trouble.READ_ONLY
            assert site.asked == []
            assert await client.call_info(CALL) == INFO
            await client.close()

    run(scenario())


def test_only_what_works_for_a_remote_agent_can_be_asked() -> None:
    inert = set(
        "external_hangup external_status external_pause external_dial transfer_conference park_call send_dtmf recording "
        "audio_playback change_ingroups logout pause_code update_fields calls_in_queue_count".split()
    )
    assert not inert & {function.called for function in Function}
    assert {function for function in Function if function.api is Api.AGENT} == {
        Function.AGENT_VERSION,
        Function.RA_CALL_CONTROL,
    }
    assert {function.called for function in OPEN} == {"version"}


def test_an_end_does_not_wait_behind_paperwork() -> None:
    async def scenario() -> None:
        done = f"SUCCESS: ra_call_control hungup - 9001|{CALL}|HANGUP\n"
        async with Scripted({"callid_info": [CALL_ROW, Fault.SILENT], "ra_call_control": [done]}) as site:
            client = Client(site.settings())
            await client.call_info(CALL)
            paperwork = asyncio.gather(*(client.call_info(CALL) for _ in range(20)), return_exceptions=True)
            await asyncio.sleep(0.05)
            async with asyncio.timeout(0.2):
                assert await control(client) is Told.DONE
            assert len(site.asked) < 10
            paperwork.cancel()
            await asyncio.gather(paperwork, return_exceptions=True)
            await client.close()

    run(scenario())
