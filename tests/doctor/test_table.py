from __future__ import annotations

import pytest

from appliance.config.settings import DISPOSITIONS, Dialer
from appliance.doctor.findings import Level
from appliance.doctor.table import DIALERS_OWN, STOCK_STATUSES, dispositions, extension, statuses
from tests.doctor.site import campaign

OURS = sorted(set(DISPOSITIONS.values()) - STOCK_STATUSES)


@pytest.mark.parametrize(
    "number",
    ["8300", "8309", "8320", "8331", "83310", "8331999", "8352", "8364", "8369", "8372", "8377"],
)
def test_vicidials_own_numbers_cannot_be_a_phones(number: str) -> None:
    finding = extension(number)
    assert finding.level is Level.FAIL
    assert number in finding.found
    assert finding.todo


@pytest.mark.parametrize("number", ["8371", "8600", "8299", "8310", "8330", "8363", "8370", "8378", "bot", "08300"[:4] + "x"])
def test_every_other_number_can(number: str) -> None:
    assert extension(number).level is Level.PASS


def test_the_defaults_cover_the_shipped_campaign() -> None:
    assert dispositions(Dialer(), campaign()).level is Level.PASS


def test_an_outcome_without_a_status_is_named_with_the_line_to_add() -> None:
    shipped = campaign()
    more = shipped.model_copy(update={"outcomes": [*shipped.outcomes, shipped.outcomes[0].model_copy(update={"id": "sold"})]})
    finding = dispositions(Dialer(), more)
    assert finding.level is Level.FAIL
    assert "sold" in finding.found
    assert 'sold = "..."' in finding.todo
    assert dispositions(Dialer(dispositions={"sold": "SALE"}), more).level is Level.PASS


@pytest.mark.parametrize("status", sorted(DIALERS_OWN))
def test_a_status_that_the_dialer_writes_itself_is_none_for_an_outcome(status: str) -> None:
    finding = dispositions(Dialer(dispositions={"no_input": status}), campaign())
    assert (finding.level, f"no_input = {status}" in finding.found) == (Level.FAIL, True)


def test_statuses_of_our_own_are_a_warning_till_they_are_confirmed() -> None:
    finding = statuses(Dialer(), campaign(), [])
    assert finding.level is Level.WARN
    for status in OURS:
        assert status in finding.found
    assert "DNC" not in finding.found.split(": ")[1].split(", ")
    assert f"--statuses {','.join(OURS)}" in finding.todo
    assert statuses(Dialer(), campaign(), OURS).level is Level.PASS


def test_what_says_nothing_of_the_person_is_not_human_answered() -> None:
    told = statuses(Dialer(), campaign(), []).todo
    assert "AIFAIL N" in told
    for status in set(OURS) - {"AIFAIL"}:
        assert f"{status} Y" in told
    shared = statuses(Dialer(dispositions={"hung_up": "AIFAIL"}), campaign(), []).todo
    assert "AIFAIL Y" in shared


def test_a_status_that_was_added_to_the_table_later_is_not_confirmed() -> None:
    finding = statuses(Dialer(dispositions={"no_input": "SILENT"}), campaign(), OURS)
    assert (finding.level, finding.found.split(": ")[1]) == (Level.WARN, "SILENT")
