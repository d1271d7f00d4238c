"""The web server and its faults, on the machine's clock."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.fakes.vicidial import Double, FaultKind
from tests.fakes.vicidial.asker import ADMIN, AGENT, Asker

WAIT_S = 5.0


@pytest.fixture
def running() -> Iterator[Double]:
    with Double() as made:
        yield made


@pytest.fixture
def admin(running: Double, client: httpx.Client) -> Asker:
    return Asker(running, client, ADMIN)


@pytest.mark.parametrize(
    ("kind", "written", "status", "body"),
    [
        (FaultKind.STATUS_500, False, 500, ""),
        (FaultKind.HTML, False, 200, "<!DOCTYPE html>"),
        (FaultKind.EMPTY, False, 200, ""),
        (FaultKind.TRUNCATED, True, 200, "SUCCESS: update_lead"),
    ],
)
def test_replies_that_are_none(
    running: Double, client: httpx.Client, kind: FaultKind, written: bool, status: int, body: str
) -> None:
    running.set_user("apiuser", password="secret")
    running.fault(kind, "update_lead", times=1)
    ask = {"source": "test", "user": "apiuser", "pass": "secret", "function": "update_lead", "lead_id": "150", "status": "NI"}
    reply = client.post(running.url + ADMIN, data=ask)
    assert (reply.status_code, reply.text[: len(body)], len(reply.text) > 60) == (status, body, kind is FaultKind.HTML)
    assert (running.lead(150)["status"] == "NI") is written
    assert [seen.fault for seen in running.ledger.of("update_lead")] == [kind.value]
    assert client.post(running.url + ADMIN, data=ask).text.startswith("SUCCESS: ")


@pytest.mark.parametrize(("kind", "written"), [(FaultKind.CUT_BEFORE, False), (FaultKind.CUT_AFTER, True)])
def test_a_connection_that_is_cut(running: Double, admin: Asker, kind: FaultKind, written: bool) -> None:
    running.fault(kind, times=1)
    with pytest.raises(httpx.RemoteProtocolError):
        admin("update_lead", lead_id="150", status="NI")
    assert (running.lead(150)["status"] == "NI") is written
    assert admin("update_lead", lead_id="150", status="NI").startswith("SUCCESS")
    assert (running.delivered_twice() != []) is written


def test_a_slow_reply_is_of_a_write_that_is_done(running: Double, client: httpx.Client) -> None:
    running.set_user("apiuser", password="secret")
    running.fault(FaultKind.SLOW, delay_s=30)
    ask = {"source": "test", "user": "apiuser", "pass": "secret", "function": "update_lead", "lead_id": "150", "status": "NI"}
    with pytest.raises(httpx.ReadTimeout):
        client.post(running.url + ADMIN, data=ask, timeout=0.1)
    assert running.lead(150)["status"] == "NI"


def test_a_slow_one_does_not_hold_up_the_others(running: Double, admin: Asker) -> None:
    running.fault(FaultKind.SLOW, "update_lead", delay_s=0.4)
    began = time.monotonic()
    took: list[float] = []

    def slowly() -> None:
        with httpx.Client() as client:
            Asker(running, client, ADMIN)("update_lead", lead_id="150", status="NI")
        took.append(time.monotonic() - began)

    thread = threading.Thread(target=slowly)
    thread.start()
    while not running.ledger.of("update_lead"):
        assert time.monotonic() - began < WAIT_S
    assert admin("version").startswith("VERSION")
    assert took == []
    thread.join()
    assert took[0] >= 0.4


def test_a_fault_for_a_time_and_for_one_function(running: Double, admin: Asker) -> None:
    running.fault(FaultKind.EMPTY, "agent_status", for_s=0.05)
    assert admin("agent_status", agent_user="9001") == ""
    assert admin("version") != ""
    deadline = time.monotonic() + WAIT_S
    while admin("agent_status", agent_user="9001") == "":
        assert time.monotonic() < deadline
    running.fault(FaultKind.EMPTY)
    assert admin("version") == ""
    running.clear_faults()
    assert admin("version") != ""


def test_down_refuses_connections_and_up_has_the_same_address(running: Double, admin: Asker) -> None:
    url = running.url
    assert admin("version").startswith("VERSION")
    running.go_down()
    with pytest.raises(httpx.ConnectError):
        admin("version")
    running.come_up()
    assert (running.url, admin("version")[:7]) == (url, "VERSION")


def test_other_paths_are_not_there(running: Double, client: httpx.Client) -> None:
    assert client.get(running.url + "/").status_code == 404
    assert client.get(running.url + AGENT, params={"function": "version"}).status_code == 200


def test_bytes_that_are_no_text_are_a_request_all_the_same(running: Double, client: httpx.Client) -> None:
    sent = b"function=version&x=%ff%fe\xff\x00&=&&%%%"
    assert client.post(running.url + ADMIN, content=sent).text.startswith("VERSION")


def test_the_daemons_go_by_themselves_and_the_switch_is_told(client: httpx.Client) -> None:
    told = threading.Event()

    class Switch:
        def hangup(self, channel: str) -> None:
            running.customer_hung_up(call_id)  # it may call back: the lock is free
            told.set()

        def redirect(self, channel: str, context: str, exten: str) -> None: ...

        def deliver(self, channel: str, call_id: str, exten: str) -> None: ...

    with Double(switch=Switch()) as running:
        call_id = running.call_answered(36, "SIP/c-1") or ""
        agent = Asker(running, client, AGENT)
        agent("ra_call_control", value=call_id, agent_user="9001", stage="HANGUP", status="NI")
        assert told.wait(WAIT_S)
        running.check()


def test_a_switch_that_fails_fails_the_test_and_not_the_daemons(client: httpx.Client) -> None:
    class Broken:
        def hangup(self, channel: str) -> None:
            raise OSError("no such channel")

        def redirect(self, channel: str, context: str, exten: str) -> None: ...

        def deliver(self, channel: str, call_id: str, exten: str) -> None: ...

    with Double(switch=Broken()) as running:
        call_id = running.call_answered(36, "SIP/c-1") or ""
        Asker(running, client, AGENT)("ra_call_control", value=call_id, agent_user="9001", stage="HANGUP", status="NI")
        deadline = time.monotonic() + WAIT_S
        while not running.violations:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert running.violations == ["the switch failed: OSError('no such channel')"]
        assert running.call_answered(37, "SIP/c-2") is not None


def test_it_runs_by_itself(client: httpx.Client, tmp_path: Path) -> None:
    command = (sys.executable, "-m", "tests.fakes.vicidial", "0", str(tmp_path / "dialer.db"))
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[3]) as process:
        assert process.stdout is not None
        url = re.match(r"dialer +(http://127\.0\.0\.1:\d+)", process.stdout.readline())
        assert url is not None
        assert client.get(url[1] + AGENT, params={"function": "version"}).text.startswith("VERSION")
        process.send_signal(signal.SIGINT)
        assert process.wait(WAIT_S) == 0


def test_calls_from_many_threads(client: httpx.Client) -> None:
    with Double(lines=20) as running:
        ids = [running.call_answered(lead_id, f"SIP/c-{lead_id}") or "" for lead_id in range(36, 56)]
        agent = Asker(running, client, AGENT)
        said: list[str] = []

        def end(call_id: str) -> None:
            said.append(agent("ra_call_control", value=call_id, agent_user="9001", stage="HANGUP", status="NI"))

        threads = [threading.Thread(target=end, args=(call_id,)) for call_id in ids * 2]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(line.split(":")[0] for line in said) == ["ERROR"] * 20 + ["SUCCESS"] * 20
        assert {running.log(call_id)["status"] for call_id in ids} == {"NI"}
        assert {row["status"] for row in running.lines()} == {"READY"}
