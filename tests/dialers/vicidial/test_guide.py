"""docs/vicidial.md as it is written: its API user is made on the double, its settings are read."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from appliance.config.settings import Settings as BoxSettings
from appliance.dialers.vicidial.client import Callback, Client, Stage
from appliance.dialers.vicidial.fields import LeadChange, Status
from appliance.dialers.vicidial.wire import OPEN, Api, Function, Trouble, VicidialError
from tests.dialers.vicidial.conftest import Settings
from tests.dialers.vicidial.scripted import run
from tests.fakes.vicidial import Double
from tests.fakes.vicidial.state import LEAST_PRIVILEGE

GUIDE = Path(__file__).parents[3] / "docs" / "vicidial.md"
COLUMNS = {
    "User Level": "user_level",
    "Agent API Access": "vdc_agent_api_access",
    "View Reports": "view_reports",
    "Modify Leads": "modify_leads",
    "Modify Lists": "modify_lists",
    "Modify Remote Agents": "modify_remoteagents",
}
"""The guide's fields, by the columns of vicidial_users that the double has."""

NI = Status("NI")
GOOD_LEAD = 9


def section() -> str:
    found = re.search(r"^## \d+\. The API user\n(.*?)^## ", GUIDE.read_text(), re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


def values() -> dict[str, int]:
    rows = re.findall(r"^\| ([^|]+?) \| (\d+) \|", section(), re.MULTILINE)
    return {COLUMNS[name]: int(value) for name, value in rows if name in COLUMNS}


def functions() -> list[str]:
    block = re.search(r"^```\n(.*?)^```", section(), re.MULTILINE | re.DOTALL)
    assert block is not None
    return block[1].split()


def as_the_guide_says(site: Double) -> None:
    nothing = dict.fromkeys(COLUMNS.values(), 0)
    site.set_user("apiuser", password=None, **(nothing | values()), api_allowed_functions=" ".join(functions()))


def everything(client: Client, call: str, lead: int) -> list[Callable[[], Awaitable[object]]]:
    """Each function of `Function`, in an order in which each finds what it needs. The call is ended last."""
    callback = Callback("2026-11-25 16:00:00", "TESTCAMP")
    return [
        lambda: client.version(Api.ADMIN),
        lambda: client.version(Api.AGENT),
        lambda: client.agent_status("9001"),
        client.logged_in_agents,
        lambda: client.lead(lead, custom=True),
        lambda: client.call_info(call),
        client.campaigns,
        lambda: client.update_lead(GOOD_LEAD, status=Status("CALLBK"), change=LeadChange({"comments": "x"}), callback=callback),
        lambda: client.callbacks(GOOD_LEAD),
        lambda: client.add_dnc_phone("4155550199", "SYSTEM_INTERNAL"),
        lambda: client.update_remote_agent(lines=1),
        lambda: client.control(call, Stage.HANGUP, NI),
        lambda: client.update_log_entry("TESTCAMP", call, Status("DNC")),
    ]


def troubles(site: Double, settings: Settings) -> list[Trouble]:
    """Of everything that the client can ask for, with a call on the line."""
    lead = site.next_lead()
    assert lead is not None
    call = site.call_answered(lead, "SIP/carrier-1")
    assert call is not None

    async def ask() -> list[Trouble]:
        client, found = Client(settings()), []
        for request in everything(client, call, lead):
            try:
                await request()
            except VicidialError as error:
                found.append(error.trouble)
        await client.close()
        return found

    return run(ask())


def test_the_user_of_the_guide_may_do_all_that_the_client_ever_asks_for(site: Double, settings: Settings) -> None:
    as_the_guide_says(site)
    assert troubles(site, settings) == []
    asked = {(seen.api, seen.function) for seen in site.ledger.requests}
    assert asked == {(function.api.name.lower(), function.called) for function in Function}


@pytest.mark.parametrize("column", COLUMNS.values())
def test_no_value_of_the_guide_can_be_left_out(site: Double, settings: Settings, column: str) -> None:
    as_the_guide_says(site)
    site.set_user("apiuser", password=None, **{column: values()[column] - 1})
    assert troubles(site, settings)


def test_the_functions_of_the_guide_are_those_of_the_client_that_need_a_permission() -> None:
    needed = {function.called for function in Function if function not in OPEN}
    assert set(functions()) == needed
    assert set(LEAST_PRIVILEGE.split()) == needed
    assert len(functions()) == len(needed)


def test_the_settings_of_the_guide_are_good_ones() -> None:
    block = re.search(r"^```toml\n(.*?)^```", GUIDE.read_text(), re.MULTILINE | re.DOTALL)
    assert block is not None
    made = BoxSettings.model_validate({"campaign": "campaign.toml", **tomllib.loads(block[1])})
    assert made.dialer.vicidial is not None
    assert made.dialer.pauses_slowly
