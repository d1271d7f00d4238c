"""The tables of VICIdial that a remote agent's calls touch, in SQLite under their own names and columns, and the seed.

Times are seconds since 1970 here, and become local times where a reply prints them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Any

LEAD_COLUMNS = (
    "status user vendor_lead_code source_id list_id gmt_offset_now phone_code phone_number title first_name middle_initial "
    "last_name address1 address2 address3 city state province postal_code country_code gender date_of_birth alt_phone email "
    "security_phrase comments called_count last_local_call_time rank owner entry_list_id lead_id"
).split()
"""The 32 columns of lead_all_info, in its order."""

LEAD_WIDTHS = {
    "status": 6, "vendor_lead_code": 20, "source_id": 50, "phone_code": 10, "phone_number": 18, "title": 4, "first_name": 30,
    "middle_initial": 1, "last_name": 30, "address1": 100, "address2": 100, "address3": 100, "city": 50, "state": 2,
    "province": 50, "postal_code": 10, "country_code": 3, "gender": 1, "date_of_birth": 10, "alt_phone": 12, "email": 70,
    "security_phrase": 100, "comments": 255, "rank": 5, "owner": 20,
}  # fmt: skip
"""What update_lead can change, and where MySQL cuts each."""

LEAST_PRIVILEGE = (
    "campaigns_list callid_info agent_status logged_in_agents ra_call_control add_dnc_phone update_lead lead_callback_info "
    "update_log_entry update_remote_agent lead_all_info"
)
STATUSES = (
    "NEW QUEUE INCALL DROP XFER NA N NI NP A AA AM AL AFAX B AB DC ADC ADCT ADCCAR DAIR ADAIR DNC DNCL DNCC CALLBK CBHOLD SALE "
    "PDROP ERI PU PM RAXFER LRERR SRDROP SCRN AIQUAL AINQ AIHUMN AIWN AICU AIFAIL AIBUSY AIHU AIXFR AIEXT CPDSI CPDSV"
).split()
"""VICIdial's own that matter here, and those that a site adds for the box."""

FIRST_LEAD = 8
SEED_LEADS = 180
SEED_LINES = 2
CUSTOM_FIELDS = ("summary", "interest", "renewal", "owner_ok", "step")

TABLES = """
create table vicidial_users (
  user text primary key, pass text, full_name text, user_level int, user_group text default 'ADMIN',
  vdc_agent_api_access int default 0, view_reports int default 0, modify_leads int default 0, modify_lists int default 0,
  modify_remoteagents int default 0, api_allowed_functions text default '', failed_login_count int default 0,
  last_login_date real default 0);
create table vicidial_remote_agents (
  user_start text primary key, number_of_lines int default 1, conf_exten text, status text default 'INACTIVE',
  campaign_id text, closer_campaigns text default '');
create table vicidial_live_agents (
  user text primary key, ra_user text, status text, lead_id int default 0, uniqueid text default '', callerid text default '',
  channel text default '', campaign_id text, conf_exten text, comments text default 'REMOTE', calls_today int default 0,
  dead int default 0, routable int default 1, external_hangup text default '', external_status text default '',
  external_pause text default '');
create table vicidial_auto_calls (
  callerid text primary key, uniqueid text, lead_id int, phone_number text, campaign_id text, channel text, call_type text,
  status text, call_time real);
create table vicidial_log (
  uniqueid text primary key, lead_id int, caller_code text, list_id int, campaign_id text, call_date real, start_epoch int,
  end_epoch int, length_in_sec int, status text, phone_number text, user text, comments text, term_reason text default 'NONE');
create table vicidial_closer_log (
  uniqueid text primary key, lead_id int, caller_code text, list_id int, campaign_id text, call_date real, start_epoch int,
  end_epoch int, length_in_sec int, status text, phone_number text, user text, comments text, term_reason text default 'NONE');
create table vicidial_list (
  lead_id integer primary key autoincrement, status text default 'NEW', user text default '', vendor_lead_code text default '',
  source_id text default '', list_id int default 101, gmt_offset_now real default 0, phone_code text default '1',
  phone_number text, title text default '', first_name text default '', middle_initial text default '',
  last_name text default '', address1 text default '', address2 text default '', address3 text default '',
  city text default '', state text default '', province text default '', postal_code text default '',
  country_code text default 'USA', gender text default 'U', date_of_birth text default '0000-00-00',
  alt_phone text default '', email text default '', security_phrase text default '', comments text default '',
  called_count int default 0, last_local_call_time text default '0000-00-00 00:00:00', rank text default '0',
  owner text default '', entry_list_id int default 0);
create table vicidial_lists (list_id int primary key, campaign_id text);
create table vicidial_lists_fields (list_id int, field_label text, primary key (list_id, field_label));
create table custom_values (lead_id int, field_label text, value text, primary key (lead_id, field_label));
create table vicidial_callbacks (
  callback_id integer primary key autoincrement, lead_id int, list_id int, campaign_id text, status text, entry_time real,
  callback_time text, user text, recipient text, comments text, user_group text default '', lead_status text);
create table vicidial_dnc (phone_number text primary key);
create table vicidial_campaign_dnc (phone_number text, campaign_id text, primary key (phone_number, campaign_id));
create table vicidial_inbound_groups (group_id text primary key, active text);
create table vicidial_campaigns (
  campaign_id text primary key, campaign_name text, active text, dial_method text, default_xfer_group text,
  calls_today int default 0, drops_today int default 0);
create table vicidial_campaign_hour_counts (campaign_id text, hour int, calls int, drops int, primary key (campaign_id, hour));
create table vicidial_statuses (status text primary key);
create table vicidial_manager (
  man_id integer primary key autoincrement, entry_date real, callerid text, action text, channel text, context text,
  exten text);
create table system_settings (vdc_agent_api_active text default '1');
"""


class State:
    """The database: a file, or ":memory:". Not safe for threads; the double's lock guards it."""

    def __init__(self, path: str = ":memory:") -> None:
        self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._database.row_factory = sqlite3.Row
        self._database.execute("pragma synchronous = off")  # it need not survive the machine, only its own process
        self.is_new = self.one("select 1 from sqlite_master where name = 'vicidial_list'") is None
        if self.is_new:
            self._database.executescript(TABLES)

    def close(self) -> None:
        self._database.close()

    def all(self, sql: str, *values: object) -> list[sqlite3.Row]:
        return self._database.execute(sql, values).fetchall()

    def one(self, sql: str, *values: object) -> sqlite3.Row | None:
        row: sqlite3.Row | None = self._database.execute(sql, values).fetchone()
        return row

    def value(self, sql: str, *values: object) -> Any:
        """The first column of the first row; None without a row."""
        row = self.one(sql, *values)
        return None if row is None else row[0]

    def run(self, sql: str, *values: object) -> int:
        """How many rows it found."""
        return self._database.execute(sql, values).rowcount

    def insert(self, table: str, **columns: object) -> int:
        """The new row's id. Names of tables and columns come from this package alone, never from a request."""
        names, places = ", ".join(columns), ", ".join("?" * len(columns))
        made = self._database.execute(f"insert into {table} ({names}) values ({places})", tuple(columns.values()))  # noqa: S608
        return made.lastrowid or 0

    def update(self, table: str, where: dict[str, object], **columns: object) -> int:
        """How many rows are changed by it: as in MySQL, rows that have these values already do not count."""
        assignments = ", ".join(f"{name} = ?" for name in columns)
        found = " and ".join(f"{name} = ?" for name in where)
        differs = " or ".join(f"{name} is not ?" for name in columns)
        sql = f"update {table} set {assignments} where {found} and ({differs})"  # noqa: S608 names as in `insert`
        return self.run(sql, *columns.values(), *where.values(), *columns.values())

    def upsert(self, table: str, **columns: object) -> None:
        names, places = ", ".join(columns), ", ".join("?" * len(columns))
        self.run(f"replace into {table} ({names}) values ({places})", *columns.values())  # noqa: S608 names as in `insert`


def seed(state: State, now: float, leads: int = SEED_LEADS, lines: int = SEED_LINES) -> None:
    """The site of VICIDIAL.md. Passwords are nobody's words, so that finding one in a text means that it leaked."""
    state.run("begin")
    api = {"vdc_agent_api_access": 1, "view_reports": 1, "modify_leads": 1, "modify_lists": 1, "modify_remoteagents": 1}
    people: Iterable[dict[str, object]] = (
        {"user": "apiuser", "pass": "Hq7vD2pW9x", "full_name": "API", "user_level": 8, **api,
         "api_allowed_functions": LEAST_PRIVILEGE},
        {"user": "apilow", "pass": "Lw3kT8nR5b", "full_name": "API low", "user_level": 1,
         "api_allowed_functions": "agent_status"},
        {"user": "lockme", "pass": "Zc6yM4jS1g", "full_name": "Lock me", "user_level": 8, **api,
         "api_allowed_functions": "ALL_FUNCTIONS"},
        {"user": "6666", "pass": "Vb9tF3qK7h", "full_name": "Admin", "user_level": 9, **api,
         "api_allowed_functions": "ALL_FUNCTIONS"},
        *({"user": str(9100 + line), "pass": f"Rx{line:02}C8wN2e", "full_name": f"Closer {line}", "user_level": 1}
          for line in range(1, 11)),
    )  # fmt: skip
    for person in people:
        state.insert("vicidial_users", last_login_date=now, **person)
    for line in range(1, 21):
        # A level and a group as in agent_status of VICIDIAL.md.
        state.insert("vicidial_users", user=str(9000 + line), **{"pass": f"Gd{line:02}uJ4sA8"}, full_name=f"Bot line {line}",
                     user_level=1, last_login_date=now)  # fmt: skip
    state.insert("vicidial_remote_agents", user_start="9001", number_of_lines=lines, conf_exten="8371", status="ACTIVE",
                 campaign_id="TESTCAMP")  # fmt: skip
    state.insert("vicidial_remote_agents", user_start="9101", number_of_lines=1, conf_exten="8379", status="ACTIVE",
                 campaign_id="CLOSER", closer_campaigns=" SALESLINE - ")  # fmt: skip
    state.insert("vicidial_campaigns", campaign_id="TESTCAMP", campaign_name="Test Campaign", active="Y", dial_method="RATIO",
                 default_xfer_group="SALESLINE")  # fmt: skip
    state.insert("vicidial_campaigns", campaign_id="CLOSER", campaign_name="Closers", active="Y", dial_method="MANUAL",
                 default_xfer_group="")  # fmt: skip
    state.insert("vicidial_inbound_groups", group_id="SALESLINE", active="Y")
    state.insert("vicidial_inbound_groups", group_id="OFFLINE", active="N")
    state.insert("vicidial_lists", list_id=101, campaign_id="TESTCAMP")
    state.insert("system_settings", vdc_agent_api_active="1")
    for field in CUSTOM_FIELDS:
        state.insert("vicidial_lists_fields", list_id=101, field_label=field)
    for status in STATUSES:
        state.insert("vicidial_statuses", status=status)
    for number in range(1, leads + 1):
        state.insert("vicidial_list", lead_id=FIRST_LEAD - 1 + number, vendor_lead_code=f"VLC{number:04}", gmt_offset_now=-5.0,
                     phone_number=f"415555{number:04}", first_name=f"First{number}", last_name=f"Last{number}",
                     city="Testville", state="NY")  # fmt: skip
    state.run("commit")
