"""Every line of the non-agent API, provoked on the double in both wordings, and what the client makes of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, cast

import httpx
import pytest
from pydantic import SecretStr

from appliance.dialers.vicidial import wire
from appliance.dialers.vicidial.answers import Agent, AgentStatus, CallbackInfo, CallInfo, Version
from appliance.dialers.vicidial.client import Callback, Client, Told
from appliance.dialers.vicidial.fields import Status, lead_change
from appliance.dialers.vicidial.replies import Reply, Word, parse
from appliance.dialers.vicidial.wire import Api, Function, Trouble
from tests.dialers.vicidial.conftest import Settings
from tests.dialers.vicidial.contract import NI, Line, Says, Scene, dashed, lock_out, play
from tests.dialers.vicidial.scripted import Scripted, run
from tests.fakes.vicidial import Dialect, Double, FaultKind, SteppedClock
from tests.fakes.vicidial.asker import ADMIN, Asker

NO_LEAD = 999_999
NO_CALL = "V1221401430000000036"
AT = "2026-11-25 16:00:00"
CALLBK = Status("CALLBK")
UPDATED = "SUCCESS: update_lead LEAD HAS BEEN UPDATED - <>|<>|1|||"
CUSTOM = "NOTICE: update_lead CUSTOM FIELDS VALUES UPDATED - |<>|101|<>|101|1"
BOOKED = "NOTICE: update_lead SCHEDULED CALLBACK"
LEAD_COLUMNS = (
    "status|user|vendor_lead_code|source_id|list_id|gmt_offset_now|phone_code|phone_number|title|first_name|middle_initial|"
    "last_name|address1|address2|address3|city|state|province|postal_code|country_code|gender|date_of_birth|alt_phone|email|"
    "security_phrase|comments|called_count|last_local_call_time|rank|owner|entry_list_id|lead_id"
)
CALLBACK_COLUMNS = (
    "lead_id|callback_type|recipient|callback_status|lead_status|callback_date|entry_date|user|list_id|campaign_id|user_group|"
    "customer_timezone|customer_time|comments"
)
STATUS_COLUMNS = (
    "status|callerid|lead_id|campaign_id|calls_today|full_name|user_group|user_level|pause_code|real_time_sub_status|"
    "phone_number|vendor_lead_code|session_id"
)
CALL_COLUMNS = "call_id|custtime|call_date|phone|call_type|campaign_id|list_id|status|user"
DOCS_CALL_COLUMNS = "call_id|custtime|call_date|campaign_id|list_id|status|user|phone"
AGENT_COLUMNS = (
    "user|campaign_id|session_id|status|lead_id|callerid|calls_today|full_name|user_group|user_level|pause_code|sub_status"
)


def error(said: str, ask: Callable[[Scene], Awaitable[object]], came: object, **more: Any) -> Line:
    """A line whose data the documentation has behind a dash."""
    return Line(said, ask, came, docs=dashed(said), **more)


def change(scene: Scene, **data: str) -> Awaitable[Told]:
    custom = {name.replace("custom_", "custom:"): value for name, value in data.items()}
    return scene.client.update_lead(scene.lead, change=lead_change(custom))


def status_of_lead(scene: Scene) -> Awaitable[Told]:
    return scene.client.update_lead(scene.lead, status=NI)


def book(scene: Scene, at: str = AT, campaign: str = "TESTCAMP") -> Awaitable[Told]:
    return scene.client.update_lead(scene.lead, status=CALLBK, callback=Callback(at, campaign, "prefers afternoon"))


async def booked_twice(scene: Scene) -> Told:
    await book(scene)
    return await scene.client.update_lead(scene.lead, callback=Callback("2026-11-26 16:00:00", "TESTCAMP"))


async def booked_and_removed(scene: Scene) -> Reply:
    await book(scene)
    return await scene.wire.write(Function.UPDATE_LEAD, {"lead_id": str(scene.lead), "callback": "REMOVE"}, lambda reply: reply)


async def booked_and_read(scene: Scene) -> list[CallbackInfo]:
    await book(scene)
    return await scene.client.callbacks(scene.lead)


async def booked_for_nonsense(scene: Scene) -> list[CallbackInfo]:
    await book(scene, "NOW+2HOURS")
    return await scene.client.callbacks(scene.lead)


def me(scene: Scene) -> Awaitable[AgentStatus | None]:
    return scene.client.agent_status("9001")


def on_line(status: str, sub_status: str = "") -> Callable[[object], bool]:
    def asked(came: object) -> bool:
        return isinstance(came, AgentStatus) and (came.status, came.sub_status, len(came.call_id)) == (status, sub_status, 20)

    return asked


def hung_up(scene: Scene, after_s: float = 0.9) -> None:
    scene.site.customer_hung_up(scene.call)
    scene.site.step(after_s)


def dead(scene: Scene) -> None:
    scene.site.step(11)
    hung_up(scene)


def correct(scene: Scene, group: str = "TESTCAMP", call: str = "") -> Awaitable[Told]:
    return scene.client.update_log_entry(group, call or scene.call, NI)


async def corrected_twice(scene: Scene) -> list[Told]:
    return [await correct(scene), await correct(scene)]


def no_more_calls(scene: Scene, phone: str = "4155550150", scope: str = "SYSTEM_INTERNAL") -> Awaitable[Told]:
    return scene.client.add_dnc_phone(phone, scope)


async def no_more_calls_twice(scene: Scene) -> list[Told]:
    return [await no_more_calls(scene), await no_more_calls(scene)]


def logged(came: object) -> bool:
    return isinstance(came, CallInfo) and (came.campaign, came.status, came.user) == ("TESTCAMP", "QUEUE", "VDAD")


def agents(came: object) -> bool:
    return isinstance(came, list) and [agent.user for agent in came if isinstance(agent, Agent)] == ["9001", "9002", "9101"]


def is_version(came: object) -> bool:
    return isinstance(came, Version) and (came.version, came.build, came.utc_offset_h) == ("2.14-202", "250720-1841", 0.0)


def has_32_columns(came: object) -> bool:
    return isinstance(came, dict) and len(came) == 32 and came["gmt_offset_now"] == "-5.00"


def has_custom_ones(came: object) -> bool:
    return isinstance(came, dict) and len(came) == 37 and came["summary"] == ""


def may(**columns: Any) -> Callable[[Scene], object]:
    return lambda scene: scene.site.set_user("apiuser", **columns)


def everybody_leaves(scene: Scene) -> None:
    for user in ("9001", "9002", "9101"):
        scene.site.log_out(user)


LINES = [
    # The log-in, and what stands before every function.
    Line(
        "VERSION: <>|BUILD: <>|DATE: <>|EPOCH: <>|DST: 0|TZ: 0.00|TZNOW: 0.00|",
        lambda scene: scene.client.version(Api.ADMIN),
        is_version,
    ),
    Line(
        "VERSION: <>|BUILD: <>|DATE: <>|EPOCH: <>|DST: 0|TZ: 0.00|TZNOW: 0.00|",
        lambda scene: scene.client.version(Api.ADMIN),
        is_version,
        given=lock_out,
    ),
    error(
        "ERROR: Login incorrect, please try again: |<>|<>|BAD|",
        me,
        Trouble.LOCKED,
        settings={"password": SecretStr("wrong-one")},
    ),
    error("ERROR: Too many login attempts, try again in 15 minutes: |<>|LOCK|", me, Trouble.LOCKED, given=lock_out),
    error(
        "ERROR: auth USER DOES NOT HAVE PERMISSION TO USE THIS FUNCTION: |<>|update_lead|",
        status_of_lead,
        Trouble.FORBIDDEN,
        given=may(api_allowed_functions="agent_status"),
    ),
    # update_lead
    Line(UPDATED, status_of_lead, Told.DONE),
    Line(
        "SUCCESS: update_lead LEAD HAS BEEN UPDATED - <>|<>|0|||",
        lambda scene: scene.client.update_lead(scene.lead, status=Status(str(scene.site.lead(scene.lead)["status"]))),
        Told.DONE,
    ),
    error(
        "ERROR: update_lead NO MATCHES FOUND IN THE SYSTEM: |<>|<>||",
        lambda scene: scene.client.update_lead(NO_LEAD, status=NI),
        Told.GONE,
    ),
    Line(
        "ERROR: update_lead NO VALID SEARCH METHOD - <>|LEAD_ID|||",
        lambda scene: scene.client.update_lead(0, status=NI),
        Trouble.REFUSED,
        docs="ERROR: update_lead NO VALID SEARCH METHOD - <>|LEAD_ID||",
    ),
    error(
        "ERROR: update_lead USER DOES NOT HAVE PERMISSION TO UPDATE LEADS IN THE SYSTEM: |<>|0|",
        status_of_lead,
        Trouble.FORBIDDEN,
        given=may(modify_leads=0),
    ),
    Line("", lambda scene: scene.client.update_lead(scene.lead), Trouble.UNCLEAR),
    Line("", lambda scene: change(scene, custom_nosuchfield="x"), Trouble.UNCLEAR),
    Line(CUSTOM, lambda scene: change(scene, custom_summary="wants a quote"), Told.DONE),
    Line(CUSTOM, lambda scene: change(scene, custom_summary="wants a quote", comments="x"), Told.DONE),
    Line(UPDATED, lambda scene: change(scene, custom_summary="wants a quote", comments="x"), Told.DONE),
    Line(UPDATED, lambda scene: change(scene, custom_nosuchfield="x", comments="x"), Told.PARTLY),
    Line(
        "NOTICE: update_lead CUSTOM FIELDS NOT ADDED, NO CUSTOM FIELDS DEFINED FOR THIS LIST - |<>|101",
        lambda scene: change(scene, custom_summary="x"),
        Told.PARTLY,
        given=lambda scene: scene.site.rows("delete from vicidial_lists_fields"),
    ),
    Line(f"{BOOKED} ADDED - <>|TESTCAMP|{AT}|ANYONE||CALLBK", book, Told.DONE),
    Line(f"{BOOKED} UPDATED - <>|TESTCAMP|<>|ANYONE||CALLBK", booked_twice, Told.DONE),
    Line(f"{BOOKED} NOT ADDED, CAMPAIGN NOT VALID - <>|NOCAMP", lambda scene: book(scene, campaign="NOCAMP"), Told.PARTLY),
    Line(f"{BOOKED} NOT ADDED, CAMPAIGN NOT VALID - <>|", lambda scene: book(scene, campaign=""), Told.PARTLY),
    Line(f"{BOOKED} DELETED - <>|<>|1|1", booked_and_removed, Says(Word.NOTICE, "CALLBACK DELETED")),
    Line(
        f"{BOOKED} ADDED - <>|TESTCAMP|0000-00-00 00:00:00|ANYONE||CALLBK",
        booked_for_nonsense,
        [CallbackInfo("0000-00-00 00:00:00", "TESTCAMP", "ACTIVE")],
    ),
    # lead_callback_info
    Line(CALLBACK_COLUMNS, booked_and_read, [CallbackInfo(AT, "TESTCAMP", "ACTIVE")]),
    Line(
        f"<>|CURRENT|ANYONE|ACTIVE|CALLBK|{AT}|<>|<>|101|TESTCAMP||||prefers afternoon",
        booked_and_read,
        [CallbackInfo(AT, "TESTCAMP", "ACTIVE")],
    ),
    error("ERROR: lead_callback_info CALLBACK NOT FOUND: <>|<>|pipe|", lambda scene: scene.client.callbacks(scene.lead), []),
    error("ERROR: lead_callback_info CALLBACK NOT FOUND: <>|<>|pipe|", lambda scene: scene.client.callbacks(NO_LEAD), []),
    error(
        "ERROR: lead_callback_info INVALID SEARCH PARAMETERS: <>|",
        lambda scene: scene.client.callbacks(0),
        Trouble.REFUSED,
    ),
    # lead_all_info
    Line(LEAD_COLUMNS, lambda scene: scene.client.lead(scene.lead), has_32_columns),
    Line(
        f"{LEAD_COLUMNS}|summary|interest|renewal|owner_ok|step",
        lambda scene: scene.client.lead(scene.lead, custom=True),
        has_custom_ones,
    ),
    error("ERROR: lead_all_info LEAD NOT FOUND: <>|<>|", lambda scene: scene.client.lead(NO_LEAD), None),
    # callid_info
    Line(CALL_COLUMNS, lambda scene: scene.client.call_info(scene.call), logged, docs=DOCS_CALL_COLUMNS),
    Line(
        "<>|0|<>|<>|OUTBOUND_AUTO|TESTCAMP|101|<>|<>",
        lambda scene: scene.client.call_info(scene.call),
        logged,
        docs="<>|0|<>|TESTCAMP|101|<>|<>|<>",
    ),
    error("ERROR: callid_info CALL NOT FOUND: <>|", lambda scene: scene.client.call_info(NO_CALL), None),
    error("ERROR: callid_info INVALID SEARCH PARAMETERS: <>|V123", lambda s: s.client.call_info("V123"), Trouble.REFUSED),
    # agent_status
    Line(STATUS_COLUMNS, me, on_line("QUEUE"), docs=STATUS_COLUMNS.replace("callerid", "call_id")),
    Line("QUEUE|<>|<>|TESTCAMP|1|Bot line 1|ADMIN|1|||<>|<>|8371", me, on_line("QUEUE")),
    Line(
        "INCALL|<>|<>|TESTCAMP|1|Bot line 1|ADMIN|1|||<>|<>|8371",
        me,
        on_line("INCALL"),
        given=lambda scene: scene.site.step(11),
    ),
    Line(
        "INCALL|<>|<>|TESTCAMP|1|Bot line 1|ADMIN|1||DEAD|<>|<>|8371",
        me,
        on_line("INCALL", "DEAD"),
        given=dead,
    ),
    Line(
        "READY||0|TESTCAMP|0|Bot line 2|ADMIN|1|||||8371",
        lambda scene: scene.client.agent_status("9002"),
        AgentStatus("9002", "READY", "", "", ""),
    ),
    error("ERROR: agent_status AGENT NOT LOGGED IN: <>|9003", lambda scene: scene.client.agent_status("9003"), None),
    error("ERROR: agent_status AGENT NOT FOUND: <>|nobody", lambda scene: scene.client.agent_status("nobody"), None),
    error("ERROR: agent_status INVALID SEARCH PARAMETERS: <>|", lambda scene: scene.client.agent_status(""), Trouble.REFUSED),
    error(
        "ERROR: agent_status USER DOES NOT HAVE PERMISSION TO GET AGENT INFO: |<>|0|",
        me,
        Trouble.FORBIDDEN,
        settings={"user": "apilow"},
    ),
    # update_log_entry
    Line(
        "SUCCESS: update_log_entry RECORD HAS BEEN UPDATED - <>|<>|TESTCAMP|<>|NI|DROP|<>|",
        correct,
        Told.DONE,
        given=lambda scene: hung_up(scene, 3),
    ),
    error("ERROR: update_log_entry NO RECORDS UPDATED: <>|TESTCAMP|<>|NI|NI|<>", corrected_twice, [Told.DONE, Told.ALREADY]),
    error("ERROR: update_log_entry GROUP NOT FOUND: <>|NOGROUP", lambda scene: correct(scene, "NOGROUP"), Told.GONE),
    error("ERROR: update_log_entry GROUP NOT FOUND: <>|NOGROUP", lambda scene: scene.client.has_group("NOGROUP"), False),
    error(
        "ERROR: update_log_entry NO RECORDS FOUND: <>|TESTCAMP|<>|NI",
        lambda scene: correct(scene, call="V1221401430000000036"),
        Told.GONE,
    ),
    error(
        "ERROR: update_log_entry NO RECORDS FOUND: <>|TESTCAMP|1795356103231|NI",
        lambda scene: correct(scene, call="1795356103.231"),
        Told.GONE,
    ),
    error(
        "ERROR: update_log_entry NO RECORDS FOUND: <>|TESTCAMP|<>|NI", lambda scene: scene.client.has_group("TESTCAMP"), True
    ),
    error(
        "ERROR: update_log_entry INVALID SEARCH PARAMETERS: <>||<>|NI",
        lambda scene: scene.client.update_log_entry("", scene.call, NI),
        Trouble.REFUSED,
    ),
    # add_dnc_phone
    Line("SUCCESS: add_dnc_phone DNC NUMBER HAS BEEN ADDED - <>|4155550150|SYSTEM_INTERNAL", no_more_calls, Told.DONE),
    Line(
        "SUCCESS: add_dnc_phone DNC NUMBER HAS BEEN ADDED - <>|<>|NOCAMP", lambda s: no_more_calls(s, scope="NOCAMP"), Told.DONE
    ),
    error(
        "ERROR: add_dnc_phone DNC NUMBER ALREADY EXISTS: |<>|4155550150|SYSTEM_INTERNAL",
        no_more_calls_twice,
        [Told.DONE, Told.ALREADY],
    ),
    error(
        "ERROR: add_dnc_phone YOU MUST USE ALL REQUIRED FIELDS: |<>|123|SYSTEM_INTERNAL",
        lambda scene: no_more_calls(scene, "123"),
        Trouble.REFUSED,
    ),
    # update_remote_agent
    Line(
        "SUCCESS: update_remote_agent REMOTE AGENT HAS BEEN UPDATED - <>|9001|",
        lambda scene: scene.client.update_remote_agent(lines=1),
        Told.DONE,
        docs="SUCCESS: update_remote_agent USER HAS BEEN UPDATED - <>|9001|",
    ),
    Line(
        "NOTICE: update_remote_agent REMOTE AGENT IS ALREADY ACTIVE: |<>|9001",
        lambda scene: scene.client.update_remote_agent(active=True),
        Told.ALREADY,
    ),
    error(
        "ERROR: update_remote_agent NO UPDATES DEFINED: |<>|",
        lambda scene: scene.client.update_remote_agent(active=True),
        Told.ALREADY,
    ),
    Line(
        "SUCCESS: update_remote_agent REMOTE AGENT HAS BEEN UPDATED - <>|9001|",
        lambda scene: scene.client.update_remote_agent(active=True, lines=1),
        Told.DONE,
        docs="SUCCESS: update_remote_agent USER HAS BEEN UPDATED - <>|9001|",
    ),
    error(
        "ERROR: update_remote_agent REMOTE AGENT DOES NOT EXIST: |<>|",
        lambda scene: scene.client.update_remote_agent(lines=1),
        Told.GONE,
        settings={"agent_user": "9002"},
    ),
    error(
        "ERROR: update_remote_agent YOU MUST USE A VALID NUMBER OF LINES, THIS IS AN OPTIONAL FIELD: |<>|0",
        lambda scene: scene.client.update_remote_agent(lines=0),
        Trouble.REFUSED,
    ),
    # Who is there, and what there is.
    Line(AGENT_COLUMNS, lambda scene: scene.client.logged_in_agents(), agents),
    Line(
        "ERROR: logged_in_agents NO LOGGED IN AGENTS", lambda scene: scene.client.logged_in_agents(), [], given=everybody_leaves
    ),
    Line("TESTCAMP|Test Campaign|Y|<>|RATIO|<>|<>|<>", lambda scene: scene.client.campaigns(), lambda rows: len(rows) == 2),
    # Whatever is asked.
    Line("", me, Trouble.UNCLEAR, given=lambda scene: scene.site.fault(FaultKind.EMPTY, "agent_status")),
]


SOURCES = ["ERROR: Invalid Source - <>", "ERROR: Invalid Source: |<>|"]
OLD_BUILD = Line("ERROR: NO FUNCTION SPECIFIED", lambda scene: scene.client.update_remote_agent(lines=2), Trouble.TOO_OLD)


@pytest.mark.parametrize("line", LINES, ids=lambda line: line.said[:70])
def test_the_client_knows_what_each_line_means(site: Double, settings: Settings, line: Line) -> None:
    play(site, settings, line)


@pytest.mark.parametrize("said", SOURCES)
def test_a_source_that_the_dialer_does_not_take(
    site: Double, settings: Settings, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    monkeypatch.setattr(wire, "SOURCE", "x")
    play(site, settings, Line(said, me, Trouble.SHUT))


def test_an_unknown_function_is_told_as_an_old_build(site: Double, settings: Settings) -> None:
    site.site = dataclasses.replace(site.site, build="240516-2149")
    play(site, settings, OLD_BUILD)


# What the double cannot say -------------------------------------------------------------------------------------------


def calls(client: Client) -> Awaitable[object]:
    return client.call_info(NO_CALL)


def callbacks(client: Client) -> Awaitable[object]:
    return client.callbacks(10)


UNSEEN: list[tuple[str, str, Callable[[Client], Awaitable[object]], object]] = [
    ("ERROR: Your IP Address is not allowed", "callid_info", calls, Trouble.SHUT),
    ("ERROR: callid_info CALL LOG NOT FOUND: <>|<>", "callid_info", calls, None),
    ("ERROR: lead_callback_info LEAD NOT FOUND: <>|<>", "lead_callback_info", callbacks, []),
]
"""In the documents, and never seen on the running dialer."""


@pytest.mark.parametrize("dialect", list(Dialect))
@pytest.mark.parametrize(("said", "function", "ask", "came"), UNSEEN, ids=[line[0] for line in UNSEEN])
def test_lines_that_nobody_has_seen(
    dialect: Dialect, said: str, function: str, ask: Callable[[Client], Awaitable[object]], came: object
) -> None:
    async def scenario() -> object:
        async with Scripted({function: [(dashed(said) if dialect is Dialect.DOCS else said).replace("<>", "9")]}) as web:
            client = Client(web.settings())
            try:
                return await ask(client)
            except wire.VicidialError as refused:
                return refused.trouble
            finally:
                await client.close()

    assert run(scenario()) == came


# What the box never asks ----------------------------------------------------------------------------------------------

FOREIGN: list[tuple[str, dict[str, str], str]] = [
    ("add_lead", {"phone_number": "4155557777"}, "SUCCESS: add_lead LEAD HAS BEEN ADDED - 4155557777|<>|<>||<>"),
    ("add_lead", {"phone_number": "4155550150", "dnc_check": "Y"}, "ERROR: add_lead PHONE NUMBER IN DNC - 4155550150|<>"),
    (
        "add_lead",
        {"phone_number": "4155550001", "list_id": "101", "duplicate_check": "DUPLIST"},
        "ERROR: add_lead DUPLICATE PHONE NUMBER IN LIST - <>|<>|101|<>",
    ),
    ("lead_field_info", {"lead_id": "8", "field_name": "nope"}, "ERROR: lead_field_info LIST FIELD NOT FOUND: <>|<>"),
    ("lead_field_info", {"lead_id": "999999", "field_name": "city"}, "ERROR: lead_field_info LEAD NOT FOUND: <>|<>"),
    (
        "lead_field_info",
        {"lead_id": "9", "field_name": "step", "custom_fields": "Y"},
        "ERROR: lead_field_info LIST NOT FOUND: <>|<>",
    ),
]


@pytest.fixture(scope="module", params=list(Dialect))
def strange(request: pytest.FixtureRequest) -> Iterator[Asker]:
    """Asks a site with a list that has no custom fields, and one number on the list of those who want no calls."""
    with (
        Double(clock=SteppedClock(), dialect=cast(Dialect, request.param), leads=2) as double,
        httpx.Client(verify=False) as client,  # noqa: S501 there is no TLS here, and the context takes long
    ):
        double.set_user("apiuser", api_allowed_functions="ALL_FUNCTIONS")
        double.rows("update vicidial_list set list_id = 102 where lead_id = 9")
        asker = Asker(double, client, ADMIN)
        asker("add_dnc_phone", phone_number="4155550150", campaign_id="SYSTEM_INTERNAL")
        yield asker


@pytest.mark.parametrize(("function", "params", "said"), FOREIGN, ids=lambda value: value if isinstance(value, str) else "")
def test_what_the_box_has_no_use_for_is_read_and_cannot_be_asked(
    strange: Asker, function: str, params: dict[str, str], said: str
) -> None:
    [line] = parse(strange(function, **params), function).lines
    words = said.removeprefix("ERROR: ").removeprefix("SUCCESS: ").removeprefix(f"{function} ")
    assert words.startswith(line.reason)
    assert said.startswith(line.word.value)
    assert function not in {known.called for known in Function}


def test_a_bare_value_is_one_row(strange: Asker) -> None:
    assert parse(strange("lead_field_info", lead_id="8", field_name="city"), "lead_field_info").rows == (("Testville",),)
