"""/agc/api.php: ra_call_control, and the functions that answer SUCCESS and do nothing for a remote agent."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from tests.fakes.vicidial.dialect import Dialect
from tests.fakes.vicidial.site import LOCK_S, LOCK_TRIES, Login, Request, Site, identifier

TRANSFERS = frozenset(
    "HANGUP_XFER HANGUP_BOTH BLIND_TRANSFER LEAVE_VM LOCAL_CLOSER DIAL_WITH_CUSTOMER PARK_CUSTOMER_DIAL LEAVE_3WAY_CALL".split()
)
SERVER_IP = "10.10.10.15"


def answer(site: Site, request: Request, now: float) -> str:
    """The body of the reply; the HTTP status is always 200."""
    function = request.function
    if function == "version":
        return site.version("agent", now)
    login = site.login(request, now)
    if login.user is None or login.message != "GOOD" or not login.user["vdc_agent_api_access"]:
        return _refused(request, login, now)
    if len(request.get("source")) < 2:
        return f"ERROR: Invalid Source - {request.get('source')}\n"
    if site.state.value("select vdc_agent_api_active from system_settings") != "1":
        return "ERROR: System API NOT ACTIVE\n"
    if function == "ra_call_control":
        return _ra_call_control(site, request, login.user, now)
    if function in _INERT:
        return _inert(site, request, login.user, now)
    return ""


def _refused(request: Request, login: Login, now: float) -> str:
    """It prints the password that was sent, and after a wrong one the query with the password in it."""
    user, password = request.get("user"), request.get("pass")
    access = login.user["vdc_agent_api_access"] if login.user is not None else 0
    good = int(login.message == "GOOD")
    head = f"ERROR: Invalid Username/Password: |{user}|{password}|{good}|{access}|{login.message}|"
    if login.message != "BAD":
        return head + "\n"
    query = f"SELECT count(*) from vicidial_users where user='{user}' and pass='{password}' and user_level > 0 and "  # noqa: S608 text
    over = int(now - LOCK_S)
    tail = f"active='Y' and ( (failed_login_count < {LOCK_TRIES}) or (UNIX_TIMESTAMP(last_login_date) < {over}) );"
    return f"{head}0|api|{query}{tail}|\n"


def _ra_call_control(site: Site, request: Request, user: sqlite3.Row, now: float) -> str:
    """The ten rows of VICIDIAL.md A5, in their order."""
    value, agent, stage = identifier(request.value), identifier(request.get("agent_user")), identifier(request.get("stage"))
    if not (value and agent and stage):
        return f"ERROR: ra_call_control not valid - {value}|{agent}|{stage}\n"
    if not site.may(user, "ra_call_control"):
        data = f"{value}|{user['user']}|ra_call_control|{user['user_group']}"
        return f"ERROR: auth USER DOES NOT HAVE PERMISSION TO USE THIS FUNCTION - {data}\n"
    if site.state.one("select 1 from vicidial_live_agents where user = ?", agent) is None:
        return f"ERROR: {'no user found' if site.dialect is Dialect.DOCS else 'agent_user is not logged in'} - {agent}\n"
    if not site.model.is_active(value):
        return f"ERROR: no active call found - {value}\n"
    call = site.model.calls[value]
    phone = identifier(request.get("phone_number"))
    target = ""
    if stage == "EXTENSIONTRANSFER":
        if len(phone) < 2:
            return f"ERROR: phone_number is not valid - {phone}\n"
        target = phone
    elif stage == "INGROUPTRANSFER":
        target = _in_group(site, request.get("ingroup_choices"))
        if not target:
            return f"ERROR: ingroup is not valid - {identifier(request.get('ingroup_choices'))}\n"
    elif stage != "HANGUP":
        return f"ERROR: stage is not valid - {stage}\n"
    asked = request.get("status")
    status = site.status(asked, f"ra_call_control of {value}") if asked else "RAXFER"
    changed = site.model.control(value, agent, stage, status, target, now)
    site.wrote(now, "ra_call_control", value, f"{stage} {status} {target}".strip(), changed=changed, lead_id=call.lead_id,
               call_id=value)  # fmt: skip
    if stage == "HANGUP":
        return f"SUCCESS: ra_call_control hungup - {agent}|{value}|HANGUP\n"
    last = target if site.dialect is Dialect.DOCS else phone
    return f"SUCCESS: ra_call_control {site.dialect.transferred} - {agent}|{value}|{last}\n"


def _in_group(site: Site, choice: str) -> str:
    """The id of an active in-group; "" for any other."""
    group = identifier(choice)
    if group == "DEFAULTINGROUP":
        group = site.state.value("select default_xfer_group from vicidial_campaigns where campaign_id = 'TESTCAMP'")
    found = site.state.one("select 1 from vicidial_inbound_groups where group_id = ? and active = 'Y'", group)
    return group if found else ""


def _inert(site: Site, request: Request, user: sqlite3.Row, now: float) -> str:
    """Columns that only the browser's agent screen reads are all that changes."""
    function, agent = request.function, identifier(request.get("agent_user"))
    value = request.value
    if not site.may(user, function):
        data = f"{value}|{user['user']}|{function}|{user['user_group']}"
        return f"ERROR: auth USER DOES NOT HAVE PERMISSION TO USE THIS FUNCTION - {data}\n"
    if not agent or (not value and function not in _WITHOUT_VALUE):
        return f"ERROR: {function} not valid - {value}|{agent}\n"
    line = site.state.one("select * from vicidial_live_agents where user = ?", agent)
    if line is None:
        return f"ERROR: {'no user found' if site.dialect is Dialect.DOCS else 'agent_user is not logged in'} - {agent}\n"
    return _INERT[function](site, request, line, now)


def _set(column: str) -> Callable[[Site, Request, sqlite3.Row, float], str]:
    def done(site: Site, request: Request, line: sqlite3.Row, now: float) -> str:
        site.state.update("vicidial_live_agents", {"user": line["user"]}, **{column: request.value})
        return f"SUCCESS: {request.function} function set - {request.value}|{line['user']}\n"

    return done


def _set_with_time(site: Site, request: Request, line: sqlite3.Row, now: float) -> str:
    site.state.update("vicidial_live_agents", {"user": line["user"]}, external_pause=request.value)
    return f"SUCCESS: {request.function} function set - {request.value}|{int(now)}|{line['user']}\n"


def _only_said(site: Site, request: Request, line: sqlite3.Row, now: float) -> str:
    return f"SUCCESS: {request.function} function set - {request.value}|{line['user']}\n"


def _logout(site: Site, request: Request, line: sqlite3.Row, now: float) -> str:
    site.state.update("vicidial_live_agents", {"user": line["user"]}, external_pause="LOGOUT")
    return f"SUCCESS: logout function set - LOGOUT|{int(now)}|{line['user']}\n"


def _with_lead(site: Site, request: Request, line: sqlite3.Row, now: float) -> str:
    if not line["lead_id"]:
        return f"ERROR: agent_user does not have a lead on their screen - {line['user']}\n"
    return f"SUCCESS: {request.function} function set - {request.value}|{line['user']}\n"


def _transfer_conference(site: Site, request: Request, line: sqlite3.Row, now: float) -> str:
    if request.value not in TRANSFERS:
        return f"ERROR: transfer_conference not valid - {request.value}|{line['user']}\n"
    if not line["lead_id"]:
        return f"ERROR: agent_user does not have a lead on their screen - {line['user']}\n"
    consultative = request.get("consultative") or "NO"
    data = f"{request.value}|{request.get('ingroup_choices')}|{request.get('phone_number')}|{consultative}"
    return f"SUCCESS: transfer_conference function set - {data}|{line['user']}|{line['callerid']}|\n"


def _recording(site: Site, request: Request, line: sqlite3.Row, now: float) -> str:
    where = f"{SERVER_IP}|{line['conf_exten']}|{line['status']}"
    if request.value == "START":
        return f"SUCCESS: recording function sent - {line['user']}|START||||{where}\n"
    return f"NOTICE: not recording - {line['user']}|||||{where}\n"


def _external_dial(site: Site, request: Request, line: sqlite3.Row, now: float) -> str:
    if line["status"] != "PAUSED":
        return f"ERROR: agent_user is not paused - {line['user']}\n"
    return f"SUCCESS: external_dial function set - {request.value}|{line['user']}\n"


def _says(text: str) -> Callable[[Site, Request, sqlite3.Row, float], str]:
    def done(site: Site, request: Request, line: sqlite3.Row, now: float) -> str:
        return text.format(user=line["user"], api_user=request.get("user"), value=request.value)

    return done


_WITHOUT_VALUE = frozenset({"logout", "update_fields", "calls_in_queue_count"})
_INERT: dict[str, Callable[[Site, Request, sqlite3.Row, float], str]] = {
    "external_hangup": _set("external_hangup"),
    "external_status": _set("external_status"),
    "external_pause": _set_with_time,
    "external_dial": _external_dial,
    "transfer_conference": _transfer_conference,
    "park_call": _with_lead,
    "send_dtmf": _only_said,
    "recording": _recording,
    "logout": _logout,
    "calls_in_queue_count": _says("SUCCESS: calls_in_queue_count - 0"),
    "update_fields": _says("ERROR: no fields have been defined - {user}\n"),
    "pause_code": _says("ERROR: pause_code error - agent is not paused - {user}\n"),
    "audio_playback": _says("ERROR: audio_playback error - entry is empty - {value}|{user}\n"),
    "change_ingroups": _says("ERROR: user is not allowed to change agent in-groups - {api_user}\n"),
}
