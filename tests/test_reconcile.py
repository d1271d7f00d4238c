"""Our journal against the dialer's log: the comparison by calling it, the commands against the double."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from appliance.calls.effects import Concluded
from appliance.calls.events import Incoming
from appliance.config.settings import Dialer, Paths
from appliance.dialers.protocol import EntryKind
from appliance.dialers.vicidial.answers import CallInfo
from appliance.dialers.vicidial.client import Client
from appliance.reconcile import PER_S, compared, expected_status, reconcile
from appliance.store.history import calls_since
from appliance.store.outbox import OutboxStore, outbox_path
from appliance.store.store import Store
from appliance.store.transcript import CallRecord
from tests.box import Box, eventually
from tests.doctor.site import settings, vicidial
from tests.fakes.vicidial.double import Double

ID = "V1221347110000000010"
USERS = ("9001", "9002")
RECORD = CallRecord(1, "c1", "2026-11-22T13:47:11.000Z", ID, "4155550003", "", "not_interested", dialer_call_id=ID, lead_id=10)
LOG = CallInfo(ID, "TESTCAMP", "NI", "9001")


def differences(record: CallRecord, found: CallInfo | None) -> list[tuple[str, str, str]]:
    expected = expected_status(record, Dialer())
    return [(d.what, d.ours, d.theirs) for d in compared(record, expected, found, campaign="TESTCAMP", users=USERS)]


def test_what_the_log_must_say() -> None:
    table = Dialer(dispositions={"not_interested": "NOINT"})
    assert expected_status(RECORD, table) == "NOINT"
    assert expected_status(CallRecord(1, "c", "", "", "", "", "completed", transferred=True), table) == "XFER"
    assert expected_status(CallRecord(1, "c", "", "", "", "", "not_interested", status="NI"), table) == "NI"  # as it was then


def test_a_call_that_agrees_differs_in_nothing() -> None:
    assert differences(RECORD, LOG) == []


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (None, [("missing", "NI", "")]),
        (CallInfo(ID, "TESTCAMP", "DROP", "VDAD"), [("status", "NI", "DROP")]),
        (CallInfo(ID, "TESTCAMP", "INCALL", "9001"), [("status", "NI", "INCALL")]),
        (CallInfo(ID, "OTHER", "NI", "9001"), [("campaign", "TESTCAMP", "OTHER")]),
        (CallInfo(ID, "TESTCAMP", "NI", "6666"), [("user", "9001, 9002", "6666")]),
        (CallInfo(ID, "TESTCAMP", "NI", "VDAD"), []),
        (CallInfo(ID, "OTHER", "XFER", "9001"), [("status", "NI", "XFER"), ("campaign", "TESTCAMP", "OTHER")]),
    ],
)
def test_each_difference_is_named(found: CallInfo | None, expected: list[tuple[str, str, str]]) -> None:
    assert differences(RECORD, found) == expected


def test_a_call_of_an_in_group_is_in_no_campaign() -> None:
    inbound = CallRecord(1, "c", "", "", "", "", "not_interested", dialer_call_id="Y" + ID[1:])
    assert differences(inbound, CallInfo("Y" + ID[1:], "SALESLINE", "NI", "9001")) == []


# Against the double ------------------------------------------------------------------------------------------------------


@pytest.fixture
def double() -> Iterator[Double]:
    with Double() as made:
        eventually(lambda: len(made.lines()) == 2, "the lines")
        yield made
        made.check()


def a_call(double: Double, status: str | None) -> str:
    """One that is over, with this status in the log; None: nobody gave it one, so that it is a DROP."""
    lead = double.next_lead()
    assert lead is not None
    call_id = double.call_answered(lead, "SIP/carrier-1")
    assert call_id is not None
    double.excuse_bye = True
    double.customer_hung_up(call_id)
    eventually(lambda: double.log(call_id)["status"] != "QUEUE", "the end in the log")
    if status is not None:
        double.state.update("vicidial_log", {"caller_code": call_id}, status=status, user="9001")
    eventually(lambda: any(line["status"] == "READY" for line in double.lines()), "a free line")
    return call_id


def journal(paths: Paths, *, shadow: bool = False) -> Store:
    store = Store(paths, recording=False, shadow=shadow)
    store.start()
    return store


def keep(store: Store, name: str, call_id: str | None, outcome: str, *, transferred: bool = False) -> None:
    store.call_started(Incoming(name, call_id or "Jane", "4155550003", "x"), datetime.now(UTC))
    if call_id is not None:
        store.correlated(name, call_id, int(call_id[10:]))
    store.concluded(Concluded(name, outcome, {}, 3.0, transferred=transferred)).result(5)


def paths_of(box: Box) -> Paths:
    return Paths(state=box.state, runtime=box.runtime, recordings=box.recordings)


@pytest.fixture
def box(double: Double, tmp_path: Path) -> Box:
    box = Box(tmp_path, capacity={"lines": 2})
    box.settings["dialer"] = {"kind": "vicidial", "vicidial": vicidial(double)}
    box.write()
    return box


def test_reconcile_lists_what_differs_and_counts_the_rest(box: Box, double: Double) -> None:
    right, wrong, owed = a_call(double, "NI"), a_call(double, None), a_call(double, None)
    moved = a_call(double, "XFER")
    store = journal(paths_of(box))
    for name, call_id in {"right": right, "wrong": wrong, "owed": owed, "strange": None}.items():
        keep(store, name, call_id, "not_interested")
    keep(store, "moved", moved, "completed", transferred=True)
    keep(store, "lost", "V1221347110000009999", "dnc")
    store.stop()
    listening = journal(paths_of(box), shadow=True)
    keep(listening, "listened", wrong[:10] + "0000000077", "not_interested")
    listening.stop()
    outbox = OutboxStore(outbox_path(paths_of(box)))
    outbox.add(EntryKind.SETTLE, owed, 1, {"status": "NI", "group": "TESTCAMP"}, 1.0)
    outbox.close()

    double.forbid_writes = True
    done = box.command("reconcile", "--json")
    assert done.returncode == 1, done.stderr
    found = json.loads(done.stdout)
    assert {key: found[key] for key in ("checked", "agreed", "unknown", "owed", "shadow")} == {
        "checked": 4, "agreed": 2, "unknown": 1, "owed": 1, "shadow": 1,
    }  # fmt: skip
    assert [(d["call_id"], d["what"], d["ours"], d["theirs"]) for d in found["differences"]] == [
        (wrong, "status", "NI", "DROP"),
        ("V1221347110000009999", "missing", "DNC", ""),
    ]
    assert all(d["todo"] for d in found["differences"])

    done = box.command("reconcile")
    assert done.returncode == 1
    assert wrong in done.stdout
    assert "2 of 4 calls agree" in done.stdout
    double.check(done.stdout, done.stderr)


def test_reconcile_without_a_difference_is_well(box: Box, double: Double) -> None:
    store = journal(paths_of(box))
    keep(store, "right", a_call(double, "NI"), "not_interested")
    store.stop()
    done = box.command("reconcile")
    assert (done.returncode, done.stdout) == (
        0,
        "1 of 1 calls agree; not compared: 0 still owed, 0 without the dialer's id, 0 of shadow mode\n",
    )


def test_shadow_counts_who_decided_what_and_writes_nothing(box: Box, double: Double) -> None:
    same, other, silent = a_call(double, "NI"), a_call(double, "SALE"), a_call(double, "NI")
    store = journal(paths_of(box), shadow=True)
    for name, (call_id, outcome) in {
        "same": (same, "not_interested"),
        "other": (other, "not_interested"),
        "silent": (silent, "hung_up"),
        "lost": ("V1221347110000009999", "dnc"),
    }.items():
        keep(store, name, call_id, outcome)
    store.stop()
    double.forbid_writes = True
    done = box.command("shadow", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    pairs = {(pair["ours"], pair["human"]): pair["calls"] for pair in found.pop("pairs")}
    assert pairs == {("NI", "NI"): 1, ("NI", "SALE"): 1, ("", "NI"): 1}
    assert found == {"calls": 3, "no_opinion": 1, "agreed": 1, "agreement": 0.5, "waiting": 1}
    done = box.command("shadow")
    assert "3 calls, 1 without an opinion: 50% agreement; 1 wait for a human's status" in done.stdout
    assert "no opinion" in done.stdout


@pytest.mark.parametrize("name", ["reconcile", "shadow"])
def test_a_dialer_that_does_not_answer_is_told_by_code_3(box: Box, double: Double, name: str) -> None:
    store = journal(paths_of(box), shadow=name == "shadow")
    keep(store, "right", ID, "not_interested")
    store.stop()
    double.go_down()
    done = box.command(name)
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith("error: callid_info: ")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["reconcile", "shadow"])
def test_where_the_dialer_keeps_no_log_there_is_nothing_to_compare(box: Box, name: str) -> None:
    box.settings["dialer"] = {"kind": "pbx"}
    box.write()
    done = box.command(name)
    assert done.returncode == 2
    assert "dialer.kind: " in done.stderr


def test_no_more_than_five_requests_a_second(double: Double, tmp_path: Path) -> None:
    site = settings(double, tmp_path)
    records = [
        CallRecord(n, f"c{n}", "", "", "", "", "dnc", dialer_call_id=f"V1221347110000009{n:03}", lead_id=9000 + n)
        for n in range(5)
    ]

    async def ask() -> float:
        assert site.dialer.vicidial is not None
        client = Client(site.dialer.vicidial, read_only=True)
        loop = asyncio.get_running_loop()
        began_at = loop.time()
        found = await reconcile(client, records, site.dialer, users=USERS, owed=())
        assert (found.checked, len(found.differences)) == (5, 5)
        await client.close()
        return loop.time() - began_at

    assert asyncio.run(ask()) >= 4 / PER_S - 0.01


def test_only_calls_of_the_asked_time_are_looked_at(box: Box) -> None:
    paths = paths_of(box)
    store = journal(paths)
    now = datetime.now(UTC)
    for name, hours in {"old": 30, "new": 1}.items():
        store.call_started(Incoming(name, "", "", "x"), now - timedelta(hours=hours))
        store.concluded(Concluded(name, "dnc", {}, 3.0)).result(5)
    store.call_started(Incoming("up", "", "", "x"), now)
    store.stop()
    assert [record.call for record in calls_since(paths.state / "sidetone.db", now - timedelta(hours=24))] == ["new"]
