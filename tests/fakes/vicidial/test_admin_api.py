"""/vicidial/non_agent_api.php against VICIDIAL.md A6 and Part II section 6, byte for byte."""

from __future__ import annotations

import httpx
import pytest

from tests.fakes.vicidial import Dialect, Double, SteppedClock, password_of
from tests.fakes.vicidial.asker import ADMIN, Ask, Asker
from tests.fakes.vicidial.state import LEAD_COLUMNS, LEAST_PRIVILEGE

VERSION = "VERSION: 2.14-202|BUILD: 250720-1841|DATE: 2026-11-22 14:00:00|EPOCH: 1795356000|DST: 0|TZ: 0.00|TZNOW: 0.00|\n"


def answered(double: Double, lead_id: int = 36) -> str:
    call_id = double.call_answered(lead_id, "SIP/carrier-1")
    assert call_id is not None
    return call_id


@pytest.mark.parametrize(
    ("function", "params", "reply"),
    [
        ("", {}, "ERROR: NO FUNCTION SPECIFIED\n"),
        ("no_such_function", {}, "ERROR: NO FUNCTION SPECIFIED\n"),
        ("update_lead", {"source": "x"}, "ERROR: Invalid Source - x\nERROR: Invalid Source: |x|\n"),
        ("update_lead", {"source": ""}, "ERROR: Invalid Source - \nERROR: Invalid Source: ||\n"),
        ("agent_status", {"agent_user": "9002"}, "READY||0|TESTCAMP|0|Bot line 2|ADMIN|1|||||8371\n"),
        ("agent_status", {"agent_user": "9003"}, "ERROR: agent_status AGENT NOT LOGGED IN: apiuser|9003\n"),
        ("agent_status", {"agent_user": "nobody"}, "ERROR: agent_status AGENT NOT FOUND: apiuser|nobody\n"),
        ("agent_status", {}, "ERROR: agent_status INVALID SEARCH PARAMETERS: apiuser|\n"),
        ("callid_info", {"call_id": "V1221401430000000036"}, "ERROR: callid_info CALL NOT FOUND: apiuser|\n"),
        ("callid_info", {"call_id": "V123"}, "ERROR: callid_info INVALID SEARCH PARAMETERS: apiuser|V123\n"),
        ("lead_all_info", {"lead_id": "999999"}, "ERROR: lead_all_info LEAD NOT FOUND: apiuser|999999|\n"),
        ("lead_field_info", {"lead_id": "150", "field_name": "phone_number"}, "4155550143"),
        (
            "lead_field_info",
            {"lead_id": "150", "field_name": "nope"},
            "ERROR: lead_field_info LIST FIELD NOT FOUND: apiuser|150\n",
        ),
        (
            "lead_field_info",
            {"lead_id": "999999", "field_name": "city"},
            "ERROR: lead_field_info LEAD NOT FOUND: apiuser|999999\n",
        ),
        ("lead_callback_info", {"lead_id": "40"}, "ERROR: lead_callback_info CALLBACK NOT FOUND: apiuser|40|pipe|\n"),
        ("lead_callback_info", {"lead_id": "999999"}, "ERROR: lead_callback_info CALLBACK NOT FOUND: apiuser|999999|pipe|\n"),
        ("lead_callback_info", {}, "ERROR: lead_callback_info INVALID SEARCH PARAMETERS: apiuser|\n"),
        ("update_lead", {"lead_id": "150", "status": "NI"}, "SUCCESS: update_lead LEAD HAS BEEN UPDATED - apiuser|150|1|||\n"),
        ("update_lead", {"lead_id": "15", "status": "NEW"}, "SUCCESS: update_lead LEAD HAS BEEN UPDATED - apiuser|15|0|||\n"),
        ("update_lead", {"lead_id": "999999"}, "ERROR: update_lead NO MATCHES FOUND IN THE SYSTEM: |apiuser|999999||\n"),
        ("update_lead", {"status": "NI"}, "ERROR: update_lead NO VALID SEARCH METHOD - apiuser|LEAD_ID|||\n"),
        ("update_lead", {"lead_id": "150"}, ""),
        ("update_lead", {"lead_id": "150", "custom_fields": "Y", "no_such_field": "x"}, ""),
        (
            "update_log_entry",
            {"group": "NOGROUP", "call_id": "V1221401430000000036", "status": "NI"},
            "ERROR: update_log_entry GROUP NOT FOUND: apiuser|NOGROUP\n",
        ),
        (
            "update_log_entry",
            {"group": "TESTCAMP", "call_id": "V1221401430000000036", "status": "NI"},
            "ERROR: update_log_entry NO RECORDS FOUND: apiuser|TESTCAMP|V1221401430000000036|NI\n",
        ),
        (
            "update_log_entry",
            {"group": "TESTCAMP", "call_id": "1795356103.231", "status": "NI"},
            "ERROR: update_log_entry NO RECORDS FOUND: apiuser|TESTCAMP|1795356103231|NI\n",
        ),
        (
            "add_dnc_phone",
            {"phone_number": "4155550150", "campaign_id": "SYSTEM_INTERNAL"},
            "SUCCESS: add_dnc_phone DNC NUMBER HAS BEEN ADDED - apiuser|4155550150|SYSTEM_INTERNAL\n",
        ),
        (
            "add_dnc_phone",
            {"phone_number": "4155550150", "campaign_id": "NOCAMP"},
            "SUCCESS: add_dnc_phone DNC NUMBER HAS BEEN ADDED - apiuser|4155550150|NOCAMP\n",
        ),
        (
            "add_dnc_phone",
            {"phone_number": "123", "campaign_id": "SYSTEM_INTERNAL"},
            "ERROR: add_dnc_phone YOU MUST USE ALL REQUIRED FIELDS: |apiuser|123|SYSTEM_INTERNAL\n",
        ),
        (
            "add_dnc_phone",
            {"phone_number": "4155550150"},
            "ERROR: add_dnc_phone YOU MUST USE ALL REQUIRED FIELDS: |apiuser|4155550150|\n",
        ),
        (
            "update_remote_agent",
            {"agent_user": "9001", "status": "INACTIVE"},
            "SUCCESS: update_remote_agent REMOTE AGENT HAS BEEN UPDATED - apiuser|9001|\n",
        ),
        (
            "update_remote_agent",
            {"agent_user": "9001", "status": "ACTIVE"},
            "NOTICE: update_remote_agent REMOTE AGENT IS ALREADY ACTIVE: |apiuser|9001\n"
            "ERROR: update_remote_agent NO UPDATES DEFINED: |apiuser|\n",
        ),
        (
            "update_remote_agent",
            {"agent_user": "9002", "status": "ACTIVE"},
            "ERROR: update_remote_agent REMOTE AGENT DOES NOT EXIST: |apiuser|\n",
        ),
        (
            "update_remote_agent",
            {"agent_user": "9001", "number_of_lines": "0"},
            "ERROR: update_remote_agent YOU MUST USE A VALID NUMBER OF LINES, THIS IS AN OPTIONAL FIELD: |apiuser|0\n",
        ),
        (
            "add_lead",
            {"phone_number": "4155557777", "phone_code": "1", "list_id": "101"},
            "SUCCESS: add_lead LEAD HAS BEEN ADDED - 4155557777|101|188||apiuser\n",
        ),
        ("campaigns_list", {"campaign_id": "TESTCAMP"}, "TESTCAMP|Test Campaign|Y|---ALL---|RATIO|1|DOWN|NEW\n"),
        ("check_phone_number", {"phone_number": "4155550150"}, "AREACODE: 1|-5#PHONE: 4155550150|1||||\n"),
        ("check_phone_number", {"phone_number": "41"}, "ERROR: check_phone_number INVALID PHONE NUMBER LENGTH - 41|apiuser\n"),
    ],
)
def test_lines_without_a_call(admin: Ask, function: str, params: dict[str, str], reply: str) -> None:
    assert admin(function, **params) == reply
    assert admin("version") == VERSION


@pytest.mark.parametrize(
    ("functions", "level", "line"),
    [
        ("agent_status", 8, "ERROR: auth USER DOES NOT HAVE PERMISSION TO USE THIS FUNCTION: |apilow|update_lead|\n"),
        (
            "update_lead",
            8,
            "ERROR: update_lead USER DOES NOT HAVE PERMISSION TO UPDATE LEADS IN THE SYSTEM: |apilow|0|\n",
        ),
    ],
)
def test_a_user_who_may_not(double: Double, admin: Ask, functions: str, level: int, line: str) -> None:
    double.set_user("apilow", api_allowed_functions=functions, user_level=level)
    assert admin("update_lead", user="apilow", lead_id="150", status="NI") == line
    assert double.lead(150)["status"] == "NEW"


def test_a_user_of_too_low_a_level(admin: Ask) -> None:
    said = admin("agent_status", user="apilow", agent_user="9001")
    assert said == "ERROR: agent_status USER DOES NOT HAVE PERMISSION TO GET AGENT INFO: |apilow|0|\n"


@pytest.mark.parametrize("function", LEAST_PRIVILEGE.split())
def test_the_seed_s_user_may_do_all_that_a_box_needs_and_no_more(client: httpx.Client, function: str) -> None:
    with Double(clock=SteppedClock()) as double:
        admin = Asker(double, client, ADMIN)
        if function != "ra_call_control":
            assert "PERMISSION" not in admin(function, lead_id="10", agent_user="9001", campaign_id="TESTCAMP")
        assert "PERMISSION" in admin("add_lead", phone_number="4155557777")


def test_agent_status_on_a_call(double: Double, admin: Ask) -> None:
    call_id = answered(double, 10)
    tail = f"|{call_id}|10|TESTCAMP|1|Bot line 1|ADMIN|1|||4155550003|VLC0003|8371\n"
    assert admin("agent_status", agent_user="9001") == "QUEUE" + tail
    double.step(5.01)
    heading = (
        "status|callerid|lead_id|campaign_id|calls_today|full_name|user_group|user_level|pause_code|real_time_sub_status|"
        "phone_number|vendor_lead_code|session_id\n"
    )
    assert admin("agent_status", agent_user="9001", header="YES") == heading + "INCALL" + tail


def test_callid_info(double: Double, admin: Ask) -> None:
    call_id = answered(double)
    double.step(5.01)
    assert admin("callid_info", call_id=call_id) == f"{call_id}|0\n"
    heading = "call_id|custtime|call_date|phone|call_type|campaign_id|list_id|status|user\n"
    row = f"{call_id}|0|2026-11-22 14:00:00|4155550029|OUTBOUND_AUTO|TESTCAMP|101|XFER|9001\n"
    assert admin("callid_info", call_id=call_id, detail="YES", header="YES") == heading + row
    double.customer_hung_up(call_id)
    double.step(3)
    assert admin("callid_info", call_id=call_id, detail="YES") == row


def test_update_log_entry(double: Double, admin: Ask) -> None:
    call_id = answered(double, 24)
    double.customer_hung_up(call_id)
    double.step(1)
    entry = double.log(call_id)["uniqueid"]
    name = "update_log_entry"
    data = f"apiuser|TESTCAMP|{call_id}|NI"
    ask = {"group": "TESTCAMP", "call_id": call_id, "status": "NI"}
    assert admin(name, **ask) == f"SUCCESS: {name} RECORD HAS BEEN UPDATED - apiuser|{data}|DROP|{entry}|\n"
    assert admin(name, **ask) == f"ERROR: {name} NO RECORDS UPDATED: {data}|NI|{entry}\n"
    assert (double.log(call_id)["status"], double.log(call_id)["term_reason"], double.log(call_id)["user"]) == (
        "NI",
        "ABANDON",
        "VDAD",
    )
    double.check()
    assert admin(name, **{**ask, "status": "TOOLONGXX"}).startswith(f"ERROR: {name} INVALID SEARCH PARAMETERS: ")
    assert double.log(call_id)["status"] == "NI"


def test_update_log_entry_without_a_status_blanks_it_and_is_a_violation(double: Double, admin: Ask) -> None:
    call_id = answered(double)
    assert admin("update_log_entry", group="TESTCAMP", call_id=call_id).startswith("SUCCESS")
    assert double.log(call_id)["status"] == ""
    assert double.violations == [f"update_log_entry of {call_id} without a status: it blanks the log's"]


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("O'Brien & Söhne | 100%", "O'Brien & Söhne | 100%"),
        ('say "yes" # 1; \\ end', "say yes  1  end"),
        ("1+1", "1 1"),
        ("one\ntwo", "one!Ntwo"),
        ("x" * 300, "x" * 255),
        ("--BLANK--", ""),
    ],
)
def test_what_is_kept_of_a_text(double: Double, admin: Ask, sent: str, kept: str) -> None:
    admin("update_lead", lead_id="150", comments="before")
    admin("update_lead", lead_id="150", comments=sent)
    assert double.lead(150)["comments"] == kept


def test_custom_fields(double: Double, admin: Ask) -> None:
    name, ask = "NOTICE: update_lead CUSTOM FIELDS VALUES UPDATED", {"lead_id": "160", "custom_fields": "Y"}
    assert admin("update_lead", **ask, summary="a#1") == f"{name} - |160|101|0|101|1\n"
    assert admin("update_lead", **ask, summary="b") == f"{name} - |160|101|101|101|1\n"
    both = admin("update_lead", **ask, city="Here", interest="hot")
    assert both == f"SUCCESS: update_lead LEAD HAS BEEN UPDATED - apiuser|160|1|||\n{name} - |160|101|101|101|1\n"
    assert double.custom(160) == {"summary": "b", "interest": "hot"}
    row = admin("lead_all_info", lead_id="160", header="YES", custom_fields="Y")
    assert row.splitlines()[0] == "|".join([*LEAD_COLUMNS, "summary", "interest", "renewal", "owner_ok", "step"])
    assert row.endswith("|101|160|b|hot|||\n")
    assert admin("lead_field_info", lead_id="160", field_name="interest", custom_fields="Y") == "hot"


def test_a_custom_field_in_the_first_place_is_lost(double: Double, client: httpx.Client) -> None:
    rest = {"source": "test", "user": "apiuser", "pass": password_of(double, "apiuser"), "function": "update_lead"}
    sent = {"summary": "x", **rest, "lead_id": "160", "custom_fields": "Y"}
    assert client.post(double.url + ADMIN, data=sent).text == ""
    assert client.get(double.url + ADMIN, params=sent).text == ""
    assert double.custom(160) == {}
    assert client.get(
        double.url + ADMIN, params={**rest, "lead_id": "160", "custom_fields": "Y", "summary": "x"}
    ).text.startswith("NOTICE")


def test_lead_all_info_has_the_32_columns(admin: Ask) -> None:
    heading, row = admin("lead_all_info", lead_id="10", header="YES").splitlines()
    assert heading == (
        "status|user|vendor_lead_code|source_id|list_id|gmt_offset_now|phone_code|phone_number|title|first_name|middle_initial|"
        "last_name|address1|address2|address3|city|state|province|postal_code|country_code|gender|date_of_birth|alt_phone|email|"
        "security_phrase|comments|called_count|last_local_call_time|rank|owner|entry_list_id|lead_id"
    )
    found = dict(zip(heading.split("|"), row.split("|"), strict=True))
    assert (len(found), found["phone_number"], found["gmt_offset_now"], found["lead_id"]) == (32, "4155550003", "-5.00", "10")
    assert admin("lead_all_info", lead_id="10", stage="json") == row + "\n"
    assert admin("lead_all_info", phone_number="4155550003") == row + "\n"


CALLBACK = {
    "lead_id": "150", "callback": "Y", "callback_status": "CALLBK", "callback_datetime": "2026-11-25 16:00:00",
    "callback_type": "USERONLY", "callback_user": "9001", "callback_comments": "prefers afternoon", "campaign_id": "TESTCAMP",
}  # fmt: skip


def test_callbacks(double: Double, admin: Ask) -> None:
    head = "NOTICE: update_lead SCHEDULED CALLBACK"
    data = "150|TESTCAMP|2026-11-25 16:00:00|USERONLY|9001|CALLBK"
    assert admin("update_lead", **CALLBACK) == f"{head} ADDED - {data}\n"
    assert admin("update_lead", **CALLBACK) == f"{head} UPDATED - {data}\n"
    assert double.lead(150)["status"] == "NEW"
    rows = admin("lead_callback_info", lead_id="150", header="YES")
    assert rows == (
        "lead_id|callback_type|recipient|callback_status|lead_status|callback_date|entry_date|user|list_id|campaign_id|user_group|"
        "customer_timezone|customer_time|comments\n"
        "150|CURRENT|USERONLY|ACTIVE|CALLBK|2026-11-25 16:00:00|2026-11-22 14:00:00|9001|101|TESTCAMP||||prefers afternoon\n"
    )
    assert admin("update_lead", lead_id="150", callback="REMOVE") == f"{head} DELETED - apiuser|150|1|1\n"
    assert double.callbacks(150) == []


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("2026-11-25+16:00:00", "2026-11-25 16:00:00"),
        ("NOW", "2026-11-22 14:00:00"),
        ("2DAYS", "2026-11-24 14:00:00"),
        ("NOW+2HOURS", "0000-00-00 00:00:00"),
        ("next tuesday", "0000-00-00 00:00:00"),
        ("2026-02-30 10:00:00", "0000-00-00 00:00:00"),
    ],
)
def test_a_callback_s_time_that_cannot_be_read_is_kept_as_zeros(admin: Ask, given: str, kept: str) -> None:
    said = admin("update_lead", lead_id="151", callback="Y", callback_datetime=given, campaign_id="TESTCAMP")
    assert said == f"NOTICE: update_lead SCHEDULED CALLBACK ADDED - 151|TESTCAMP|{kept}|ANYONE||CALLBK\n"


@pytest.mark.parametrize("campaign", ["NOCAMP", ""])
def test_a_callback_needs_a_campaign(double: Double, admin: Ask, campaign: str) -> None:
    said = admin("update_lead", lead_id="151", callback="Y", callback_datetime="NOW", campaign_id=campaign)
    assert said == f"NOTICE: update_lead SCHEDULED CALLBACK NOT ADDED, CAMPAIGN NOT VALID - 151|{campaign}\n"
    assert double.callbacks(151) == []


def test_dnc_twice_is_told_and_keeps_leads_from_the_hopper_and_the_list(double: Double, admin: Ask) -> None:
    ask = {"phone_number": "4155550001", "campaign_id": "SYSTEM_INTERNAL"}
    admin("add_dnc_phone", **ask)
    said = admin("add_dnc_phone", **ask)
    assert said == "ERROR: add_dnc_phone DNC NUMBER ALREADY EXISTS: |apiuser|4155550001|SYSTEM_INTERNAL\n"
    assert double.dnc() == {"4155550001"}
    assert double.next_lead() == 9
    said = admin("add_lead", phone_number="4155550001", list_id="101", dnc_check="Y")
    assert said == "ERROR: add_lead PHONE NUMBER IN DNC - 4155550001|apiuser\n"
    assert double.delivered_twice() == []


def test_logged_in_agents_lists_remote_agents(double: Double, admin: Ask) -> None:
    heading = "user|campaign_id|session_id|status|lead_id|callerid|calls_today|full_name|user_group|user_level"
    rows = admin("logged_in_agents", header="YES", show_sub_status="YES").splitlines()
    assert rows == [
        f"{heading}|pause_code|sub_status",
        "9001|TESTCAMP|8371|READY|0||0|Bot line 1|ADMIN|1||",
        "9002|TESTCAMP|8371|READY|0||0|Bot line 2|ADMIN|1||",
        "9101|CLOSER|8379|READY|0||0|Closer 1|ADMIN|1||",
    ]
    double.log_out("9101")
    assert admin("logged_in_agents", campaigns="CLOSER") == "ERROR: logged_in_agents NO LOGGED IN AGENTS\n"


@pytest.mark.parametrize(("build", "known"), [("250720-1841", True), ("240703-1657", True), ("240516-2149", False)])
def test_update_remote_agent_is_unknown_to_old_builds(client: httpx.Client, build: str, known: bool) -> None:
    with Double(clock=SteppedClock(), build=build) as double:
        said = Asker(double, client, ADMIN)("update_remote_agent", agent_user="9001", status="INACTIVE")
        assert (said != "ERROR: NO FUNCTION SPECIFIED\n") is known
        assert f"BUILD: {build}|" in client.get(double.url + ADMIN, params={"function": "version"}).text


@pytest.mark.parametrize(
    ("function", "params", "reply"),
    [
        ("agent_status", {"agent_user": "9003"}, "ERROR: agent_status AGENT NOT LOGGED IN - apiuser|9003\n"),
        ("update_lead", {"lead_id": "999999"}, "ERROR: update_lead NO MATCHES FOUND IN THE SYSTEM - apiuser|999999|\n"),
        (
            "update_remote_agent",
            {"agent_user": "9001", "number_of_lines": "3"},
            "SUCCESS: update_remote_agent USER HAS BEEN UPDATED - apiuser|9001|\n",
        ),
        (
            "add_dnc_phone",
            {"phone_number": "123", "campaign_id": "TESTCAMP"},
            "ERROR: add_dnc_phone YOU MUST USE ALL REQUIRED FIELDS - apiuser|123|TESTCAMP\n",
        ),
        (
            "callid_info",
            {"call_id": "{id}", "detail": "YES", "header": "YES"},
            "call_id|custtime|call_date|campaign_id|list_id|status|user|phone\n"
            "{id}|0|2026-11-22 14:00:00|TESTCAMP|101|QUEUE|VDAD|4155550029\n",
        ),
    ],
)
def test_the_documentation_s_words(client: httpx.Client, function: str, params: dict[str, str], reply: str) -> None:
    with Double(clock=SteppedClock(), dialect=Dialect.DOCS) as double:
        call_id = answered(double)
        ask = {name: value.format(id=call_id) for name, value in params.items()}
        assert Asker(double, client, ADMIN)(function, **ask) == reply.format(id=call_id)
