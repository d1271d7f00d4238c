"""/vicidial/non_agent_api.php: log-in, permissions, remote agents, logs and lists. Leads have their own module."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable

from tests.fakes.vicidial import admin_leads
from tests.fakes.vicidial.dialect import REMOTE_AGENT_BUILD
from tests.fakes.vicidial.site import STATUS_WIDTH, Request, Site, identifier

Function = Callable[[Site, Request, sqlite3.Row, float], str]
CALL_ID = re.compile(r"^(Y|J|V|M|DC|S|LP|VH|XL)[0-9A-Za-z]{16,38}$")
NO_FUNCTION = "ERROR: NO FUNCTION SPECIFIED\n"


def answer(site: Site, request: Request, now: float) -> str:
    """The body of the reply; the HTTP status is always 200."""
    name = request.function
    if name == "version":
        return site.version("admin", now)
    login = site.login(request, now)
    user, password = request.get("user"), request.get("pass")
    if login.message == "LOCK":
        return site.dialect.error("", "Too many login attempts, try again in 15 minutes", f"|{user}|LOCK|")
    if login.user is None or login.message == "BAD":
        return site.dialect.error("", "Login incorrect, please try again", f"|{user}|{password}|BAD|")
    source = request.get("source")
    if len(source) < 2:
        return f"ERROR: Invalid Source - {source}\nERROR: Invalid Source: |{source}|\n"
    if name not in _FUNCTIONS or (name == "update_remote_agent" and site.build < REMOTE_AGENT_BUILD):
        return NO_FUNCTION
    if not site.may(login.user, name):
        return site.dialect.error("auth", "USER DOES NOT HAVE PERMISSION TO USE THIS FUNCTION", f"|{user}|{name}|")
    level, flag, purpose = _NEEDS[name]
    if login.user["user_level"] < level or (flag and not login.user[flag]):
        allowed = int(login.user["user_level"] >= level and bool(flag and login.user[flag]))
        return site.dialect.error(name, f"USER DOES NOT HAVE PERMISSION TO {purpose}", f"|{user}|{allowed}|")
    return _FUNCTIONS[name](site, request, login.user, now)


def _table(request: Request, columns: str, rows: list[str]) -> str:
    heading = [columns] if request.get("header") == "YES" else []
    return "".join(f"{line}\n" for line in (*heading, *rows))


def _campaigns_list(site: Site, request: Request, user: sqlite3.Row, now: float) -> str:
    wanted = identifier(request.get("campaign_id"))
    rows = [
        f"{row['campaign_id']}|{row['campaign_name']}|{row['active']}|---ALL---|{row['dial_method']}|1|DOWN|NEW"
        for row in site.state.all("select * from vicidial_campaigns order by campaign_id")
        if wanted in ("", row["campaign_id"])
    ]
    if not rows:
        return site.dialect.error("campaigns_list", "THIS USER HAS NO VIEWABLE CAMPAIGNS", f"|{user['user']}|")
    columns = "campaign_id|campaign_name|active|user_group|dial_method|dial_level|lead_order|dial_statuses"
    return _table(request, columns, rows)


def _sub_status(row: sqlite3.Row) -> str:
    return "DEAD" if row["status"] == "INCALL" and row["dead"] else ""


_LIVE = "select * from vicidial_live_agents join vicidial_users using (user)"


def _agent_status(site: Site, request: Request, user: sqlite3.Row, now: float) -> str:
    agent = identifier(request.get("agent_user"))
    if len(agent) < 2:
        return site.dialect.error("agent_status", "INVALID SEARCH PARAMETERS", f"{user['user']}|{agent}")
    if site.state.one("select 1 from vicidial_users where user = ?", agent) is None:
        return site.dialect.error("agent_status", "AGENT NOT FOUND", f"{user['user']}|{agent}")
    row = site.state.one(f"{_LIVE} where user = ?", agent)
    if row is None:
        return site.dialect.error("agent_status", "AGENT NOT LOGGED IN", f"{user['user']}|{agent}")
    lead = site.state.one("select * from vicidial_list where lead_id = ?", row["lead_id"])
    phone, code = (lead["phone_number"], lead["vendor_lead_code"]) if lead is not None else ("", "")
    columns = (
        f"status|{site.dialect.call_id_column}|lead_id|campaign_id|calls_today|full_name|user_group|user_level|pause_code|"
        "real_time_sub_status|phone_number|vendor_lead_code|session_id"
    )
    return _table(request, columns, [
        f"{row['status']}|{row['callerid']}|{row['lead_id']}|{row['campaign_id']}|{row['calls_today']}|{row['full_name']}|"
        f"{row['user_group']}|{row['user_level']}||{_sub_status(row)}|{phone}|{code}|{row['conf_exten']}"
    ])  # fmt: skip


def _logged_in_agents(site: Site, request: Request, user: sqlite3.Row, now: float) -> str:
    campaigns = {name for name in request.get("campaigns").split("|") if name}
    with_sub = request.get("show_sub_status") == "YES"
    columns = "user|campaign_id|session_id|status|lead_id|callerid|calls_today|full_name|user_group|user_level"
    rows = [
        f"{row['user']}|{row['campaign_id']}|{row['conf_exten']}|{row['status']}|{row['lead_id']}|{row['callerid']}|"
        f"{row['calls_today']}|{row['full_name']}|{row['user_group']}|{row['user_level']}"
        + (f"||{_sub_status(row)}" if with_sub else "")
        for row in site.state.all(f"{_LIVE} order by user")
        if not campaigns or row["campaign_id"] in campaigns
    ]
    if not rows:
        return "ERROR: logged_in_agents NO LOGGED IN AGENTS\n"
    return _table(request, columns + ("|pause_code|sub_status" if with_sub else ""), rows)


def _callid_info(site: Site, request: Request, user: sqlite3.Row, now: float) -> str:
    call_id = identifier(request.get("call_id"))
    if not CALL_ID.match(call_id):
        return site.dialect.error("callid_info", "INVALID SEARCH PARAMETERS", f"{user['user']}|{call_id}")
    call = site.model.calls.get(call_id)
    if call is None:
        return site.dialect.error("callid_info", "CALL NOT FOUND", f"{user['user']}|")
    log = site.model.log_of(call)
    values = {
        "call_id": call_id,
        "custtime": "0",  # seen so for every call of a remote agent
        "call_date": site.stamp(log["call_date"]),
        "phone": log["phone_number"],
        "call_type": "INBOUND" if call.inbound else "OUTBOUND_AUTO",
        "campaign_id": log["campaign_id"],
        "list_id": str(log["list_id"]),
        "status": log["status"],
        "user": log["user"],
    }
    columns = site.dialect.call_columns if request.get("detail") == "YES" else ("call_id", "custtime")
    return _table(request, "|".join(columns), ["|".join(values[column] for column in columns)])


def _update_log_entry(site: Site, request: Request, user: sqlite3.Row, now: float) -> str:
    name, me = "update_log_entry", user["user"]
    call_id, group, asked = identifier(request.get("call_id")), identifier(request.get("group")), request.get("status")
    if not asked:
        site.ledger.violations.append(f"{name} of {call_id} without a status: it blanks the log's")
    if len(asked) > STATUS_WIDTH or not call_id or not group:
        if len(asked) > STATUS_WIDTH:
            site.status(asked, f"{name} of {call_id}")
        return site.dialect.error(name, "INVALID SEARCH PARAMETERS", f"{me}|{group}|{call_id}|{asked}")
    is_campaign = site.state.one("select 1 from vicidial_campaigns where campaign_id = ?", group) is not None
    if not is_campaign and site.state.one("select 1 from vicidial_inbound_groups where group_id = ?", group) is None:
        return site.dialect.error(name, "GROUP NOT FOUND", f"{me}|{group}")
    log = _log_entry(site, call_id, group, is_campaign)
    if log is None:
        return site.dialect.error(name, "NO RECORDS FOUND", f"{me}|{group}|{call_id}|{asked}")
    status = site.status(asked, f"{name} of {call_id}") if asked else ""
    data = f"{group}|{call_id}|{status}|{log['status']}|{log['uniqueid']}"
    table = "vicidial_log" if is_campaign else "vicidial_closer_log"
    changed = bool(site.state.update(table, {"uniqueid": log["uniqueid"]}, status=status))
    site.wrote(now, name, f"{group} {call_id}", status, changed=changed, lead_id=log["lead_id"], call_id=call_id, repeats=False)
    if not changed:
        return site.dialect.error(name, "NO RECORDS UPDATED", f"{me}|{data}")
    return f"SUCCESS: {name} RECORD HAS BEEN UPDATED - {me}|{me}|{data}|\n"


def _log_entry(site: Site, call_id: str, group: str, is_campaign: bool) -> sqlite3.Row | None:
    """By the call's id; in an in-group by its lead too, so that the first call's id finds the transferred one's entry."""
    if not 18 <= len(call_id) <= 20 or not call_id[-10:].isdigit():
        return None
    if is_campaign:
        return site.state.one("select * from vicidial_log where caller_code = ? and campaign_id = ?", call_id, group)
    return site.state.one(
        "select * from vicidial_closer_log where lead_id = ? and campaign_id = ? order by call_date desc",
        int(call_id[-10:]),
        group,
    )


def _update_remote_agent(site: Site, request: Request, user: sqlite3.Row, now: float) -> str:
    name, me, dialect = "update_remote_agent", user["user"], site.dialect
    agent, status = identifier(request.get("agent_user")), request.get("status")
    lines, campaign = request.get("number_of_lines"), identifier(request.get("campaign_id"))
    row = site.state.one("select * from vicidial_remote_agents where user_start = ?", agent)
    if len(agent) < 2:
        return dialect.error(name, "YOU MUST USE ALL REQUIRED FIELDS", f"|{me}|{agent}|")
    if row is None:
        return dialect.error(name, "REMOTE AGENT DOES NOT EXIST", f"|{me}|")
    changes: dict[str, object] = {}
    before = ""
    if lines:
        if not lines.isdigit() or not 1 <= int(lines) <= 255:
            return dialect.error(name, "YOU MUST USE A VALID NUMBER OF LINES, THIS IS AN OPTIONAL FIELD", f"|{me}|{lines}")
        changes["number_of_lines"] = int(lines)
    if campaign:
        if site.state.one("select 1 from vicidial_campaigns where campaign_id = ?", campaign) is None:
            return dialect.error(name, "YOU MUST USE A VALID CAMPAIGN ID, THIS IS AN OPTIONAL FIELD", f"|{me}|{campaign}|0")
        changes["campaign_id"] = campaign
    if status:
        if status not in ("ACTIVE", "INACTIVE"):
            reason = "STATUS MUST BE ACTIVE OR INACTIVE, THIS IS AN OPTIONAL FIELD"
            return dialect.error(name, reason, f"|{me}|{status}")
        if status == row["status"]:
            before = f"NOTICE: {name} REMOTE AGENT IS ALREADY {status}: |{me}|{agent}\n"
        else:
            changes["status"] = status
    if not changes:
        return before + dialect.error(name, "NO UPDATES DEFINED", f"|{me}|")
    changed = bool(site.state.update("vicidial_remote_agents", {"user_start": agent}, **changes))
    if changed:
        site.model.lines.changed(agent, now)
    value = " ".join(f"{key}={changes[key]}" for key in sorted(changes))
    site.wrote(now, name, agent, value, changed=changed, repeats=False)
    return f"{before}SUCCESS: {name} {dialect.remote_agent_updated} - {me}|{agent}|\n"


def _add_dnc_phone(site: Site, request: Request, user: sqlite3.Row, now: float) -> str:
    name = "add_dnc_phone"
    phone, scope = re.sub(r"\D", "", request.get("phone_number")), identifier(request.get("campaign_id"))
    data = f"{user['user']}|{phone}|{scope}"
    if not 6 <= len(phone) <= 18 or not scope:
        return site.dialect.error(name, "YOU MUST USE ALL REQUIRED FIELDS", f"|{data}")
    table, columns = "vicidial_campaign_dnc", {"phone_number": phone, "campaign_id": scope}
    if scope == "SYSTEM_INTERNAL":
        table, columns = "vicidial_dnc", {"phone_number": phone}
    known = {
        "vicidial_dnc": "select 1 from vicidial_dnc where phone_number = ?",
        "vicidial_campaign_dnc": "select 1 from vicidial_campaign_dnc where phone_number = ? and campaign_id = ?",
    }
    exists = site.state.one(known[table], *columns.values()) is not None
    # A second try is told so and changes nothing: this function is its own look-up.
    site.wrote(now, name, phone, scope, changed=not exists, repeats=False)
    if exists:
        return site.dialect.error(name, "DNC NUMBER ALREADY EXISTS", f"|{data}")
    site.state.insert(table, **columns)
    return f"SUCCESS: {name} DNC NUMBER HAS BEEN ADDED - {data}\n"


def _check_phone_number(site: Site, request: Request, user: sqlite3.Row, now: float) -> str:
    name, phone = "check_phone_number", re.sub(r"\D", "", request.get("phone_number"))
    if not 6 <= len(phone) <= 16:
        return site.dialect.error(name, "INVALID PHONE NUMBER LENGTH", f"{phone}|{user['user']}", dash=True)
    if request.get("dnc_check") == "Y" and site.state.one("select 1 from vicidial_dnc where phone_number = ?", phone):
        return site.dialect.error(name, "PHONE NUMBER IN DNC", f"{phone}|{user['user']}", dash=True)
    code = request.get("phone_code") or "1"
    return f"AREACODE: 1|-5#PHONE: {phone}|{code}|{request.get('postal_code')}|{request.get('state')}|{request.get('owner')}|\n"


_FUNCTIONS: dict[str, Function] = {
    "campaigns_list": _campaigns_list,
    "agent_status": _agent_status,
    "logged_in_agents": _logged_in_agents,
    "callid_info": _callid_info,
    "update_log_entry": _update_log_entry,
    "update_remote_agent": _update_remote_agent,
    "add_dnc_phone": _add_dnc_phone,
    "check_phone_number": _check_phone_number,
    "update_lead": admin_leads.update_lead,
    "add_lead": admin_leads.add_lead,
    "lead_all_info": admin_leads.lead_all_info,
    "lead_field_info": admin_leads.lead_field_info,
    "lead_callback_info": admin_leads.lead_callback_info,
}
_NEEDS: dict[str, tuple[int, str, str]] = {
    "campaigns_list": (7, "", "GET CAMPAIGN INFO"),
    "agent_status": (7, "view_reports", "GET AGENT INFO"),
    "logged_in_agents": (7, "view_reports", "GET AGENT INFO"),
    "callid_info": (7, "view_reports", "GET CALL INFO"),
    "update_log_entry": (8, "modify_leads", "UPDATE LOGS"),
    "update_remote_agent": (8, "modify_remoteagents", "UPDATE REMOTE AGENTS"),
    "add_dnc_phone": (8, "modify_lists", "ADD DNC NUMBERS"),
    "check_phone_number": (8, "", "CHECK PHONE NUMBERS"),
    "update_lead": (8, "modify_leads", "UPDATE LEADS IN THE SYSTEM"),
    "add_lead": (8, "modify_leads", "ADD LEADS TO THE SYSTEM"),
    "lead_all_info": (7, "modify_leads", "GET LEAD INFO"),
    "lead_field_info": (7, "modify_leads", "GET LEAD INFO"),
    "lead_callback_info": (7, "view_reports", "GET LEAD INFO"),
}
"""Least level, flag of the user, and what the refusal calls it."""
