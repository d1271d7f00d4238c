"""What the world does to a running appliance: real processes, real sockets, a real disk that fills up."""

from __future__ import annotations

import itertools
import json
import os
import random
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from appliance.bench import peer
from appliance.bench.peer import Caller
from tests.box import PASSWORD, Box, eventually
from tests.integration.wire_dialer import WireDialer
from tests.lab.asterisk.server import Asterisk
from tests.lab.processes import HOST, free_ports

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: a real Asterisk, a file system of its own")
LOG_LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} (DEBUG|INFO|WARNING|ERROR) [\w.]+: ")


@pytest.fixture
def dialer() -> Iterator[WireDialer]:
    with WireDialer(3) as started:
        yield started


@pytest.fixture
def box(tmp_path: Path, dialer: WireDialer) -> Iterator[Box]:
    with Box(tmp_path, registrar=dialer.address) as made:
        yield made


def own_lines(box: Box, part: str) -> list[str]:
    return [line for line in box.log.splitlines() if part in line]


def assert_unharmed(caller: Caller, since: int) -> None:
    """The appliance's audio goes on as if nothing were: no packet is missing, every next one is the next 20 ms."""
    stamps = caller.packets.rtp_samples[since:]
    assert len(stamps) > 20
    assert {(b - a) & 0xFFFFFFFF for a, b in itertools.pairwise(stamps)} == {160}


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


# It does not start ---------------------------------------------------------------------------------------------------


def fails(box: Box, code: int = 1) -> str:
    """Its log up to a start that ends with `code` and no traceback; nothing of it is left running."""
    box.begin()
    assert box.ended(20) == code, box.log
    assert "Traceback" not in box.log
    return box.log


def test_a_sip_port_in_use(box: Box) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind((HOST, box.sip_port))
        log = fails(box)
    assert f"error: cannot listen on udp {HOST}:{box.sip_port}: the port is in use\n  hint: another program uses" in log


def test_a_second_daemon_on_the_same_folder(box: Box, tmp_path: Path) -> None:
    box.start()
    (tmp_path / "second").mkdir()
    with Box(tmp_path / "second") as second:
        second.settings["paths"]["runtime"] = str(box.runtime)
        second.write()
        log = fails(second)
        assert f"api.sock: another sidetone runs here (process {box.process.pid})\n  hint: stop it first" in log
        second.settings["paths"]["runtime"] = str(second.runtime)
        second.settings["paths"]["state"] = str(box.state)
        second.write()
        assert f"{box.state}: another sidetone keeps its journal here\n  hint: stop it first" in fails(second)
    assert box.running


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("recordings", "recordings cannot be written: "),
        ("state", "sidetone.db: cannot be written: "),
        ("runtime", "api.sock: cannot listen: "),
    ],
)
def test_a_folder_that_cannot_be_written(box: Box, key: str, said: str) -> None:
    (box.folder / "file").write_text("not a folder")
    box.settings["paths"][key] = str(box.folder / "file" / key)
    box.write()
    log = fails(box)
    assert said in log
    assert log.count("hint: ") == 1


def test_a_damaged_journal_is_told_with_the_way_out(box: Box) -> None:
    box.state.mkdir()
    (box.state / "sidetone.db").write_bytes(b"no database " * 1000)
    assert "sidetone.db: file is not a database\n  hint: the file is damaged; keep it aside" in fails(box)
    (box.state / "sidetone.db").rename(box.state / "sidetone.db.damaged")
    box.start()


def test_a_voice_whose_library_is_broken(box: Box) -> None:
    (box.folder / "libflite.so.1").write_bytes(b"")
    box.settings["engines"]["voice"] = "flite"
    box.write()
    box.begin({"LD_LIBRARY_PATH": str(box.folder)})
    assert box.ended(20) == 2
    assert "error: voice flite: " in box.log
    assert "hint: install flite's library: apt install libflite1" in box.log
    assert "Traceback" not in box.log


# The registrar -------------------------------------------------------------------------------------------------------


def test_a_registrar_that_is_not_there_is_told_once_and_awaited(box: Box, dialer: WireDialer) -> None:
    dialer.deaf = True
    box.start()
    eventually(lambda: "does not answer" in box.log, "the loss")
    done = box.command("status")
    assert done.returncode == 2
    assert done.stdout.startswith(f"CRITICAL: not registered: {dialer.address} does not answer; trying on\n")
    lines, ignored = len(box.log.splitlines()), dialer.ignored
    eventually(lambda: dialer.ignored >= ignored + 4, "further tries")
    assert len(box.log.splitlines()) == lines
    dialer.deaf = False
    eventually(lambda: box.command("status").returncode == 0, "a registration", within_s=10)
    assert len(own_lines(box, "does not answer")) == 1
    assert len(own_lines(box, "registered 8371")) == 1


@as_root
@pytest.mark.timeout(90)
def test_a_wrong_password_is_told_once_and_no_retry_storm_follows(tmp_path: Path) -> None:
    with Asterisk(free_ports()) as asterisk, Box(tmp_path, registrar=asterisk.address) as box:
        asterisk.cli("sip set debug on")
        box.start()
        eventually(lambda: "refuses" in box.log, "the refusal")
        refused_at = time.monotonic()
        status = box.status()
        assert status["registration"]["state"] == "refused"
        assert status["health"]["level"] == "critical"
        done = box.command("status")
        assert done.returncode == 2
        assert "sip.password (on VICIdial the phone's Registration Password)" in done.stdout
        command_lines = [Path(f"/proc/{pid}/cmdline").read_text() for pid in [box.process.pid, *box.children]]
        time.sleep(max(0.0, 20 - (time.monotonic() - refused_at)))  # the storm would come now
        registers = asterisk.log().count("REGISTER sip:")
        assert 1 <= registers <= 3, registers
        assert len(own_lines(box, "refuses")) == 1
        assert PASSWORD not in "".join([box.log, str(status), done.stdout, *command_lines])
        assert box.running


# A call goes on ------------------------------------------------------------------------------------------------------


def garbage(seed: int) -> list[bytes]:
    """What should never come to a SIP port."""
    dice = random.Random(seed)
    good = (
        f"INVITE sip:8371@{HOST} SIP/2.0\r\nVia: SIP/2.0/UDP {HOST}:9;branch=z9hG4bKx{seed}\r\nFrom: <sip:a@b>;tag=1\r\n"
        f"To: <sip:8371@{HOST}>\r\nCall-ID: g{seed}\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n"
    ).encode()
    torn = bytearray(good)
    for _ in range(8):
        torn[dice.randrange(len(torn))] = dice.randrange(256)
    return [
        dice.randbytes(dice.randrange(1, 1400)),
        good[: dice.randrange(len(good))],
        bytes(torn),
        good.replace(b"CSeq: 1 INVITE", b"CSeq: 99999999999999999999 INVITE"),
        good.replace(b"Content-Length: 0", b"Content-Length: -5"),
        good.replace(b"From: <sip:a@b>;tag=1", b'From: "' + b"A" * 5000),
        b"BYE sip:8371 SIP/2.0\r\n\r\n",
        b"SIP/2.0 200 OK\r\n\r\n",
        b"\r\n\r\n\x00\x00",
        b"",
    ]


def test_garbage_on_the_sip_port_and_on_the_rtp_port_harms_no_call(box: Box, dialer: WireDialer) -> None:
    box.start()
    caller = dialer.place()
    assert caller.remote_rtp is not None
    began = len(caller.packets.rtp_samples)
    dice = random.Random(1)
    for seed in range(60):
        for data in garbage(seed):
            dialer.throw(data, (HOST, box.sip_port), sip=seed % 2 == 0)
        for data in (dice.randbytes(172), b"\x80", b"", b"\x80\x00" + dice.randbytes(10), dice.randbytes(1400)):
            dialer.throw(data, caller.remote_rtp, sip=False)
            dialer.throw(data, (HOST, caller.remote_rtp[1] + 1), sip=False)
        time.sleep(0.01)
    eventually(lambda: len(caller.packets.rtp_samples) > began + 100, "the call's audio")
    assert_unharmed(caller, began)
    status = box.status()
    assert [call["caller_number"] for call in status["calls"]] == ["0"]
    assert status["health"]["level"] == "ok"
    assert "Traceback" not in box.log
    dialer.place(1)


def test_a_caller_whose_name_is_no_text_is_answered(box: Box, dialer: WireDialer) -> None:
    box.start()
    dialer.from_name = b"V1\xff\xfe [red]\x1b[31m"
    dialer.place()
    assert [call["caller_name"] for call in box.status()["calls"]] == ["V1?? [red]\x1b[31m"]
    assert "\x1b" not in box.command("status").stdout
    assert "Traceback" not in box.log


def test_a_speech_worker_that_hangs_is_replaced(box: Box, dialer: WireDialer) -> None:
    box.start()
    dialer.place()
    [hung] = [pid for pid in box.children if "speech_worker" in Path(f"/proc/{pid}/cmdline").read_text()]
    ears = [pid for pid in box.children if "engines.ear" in Path(f"/proc/{pid}/cmdline").read_text()]
    os.kill(hung, signal.SIGSTOP)
    eventually(lambda: "the speech worker is back" in box.log, "the worker's return", within_s=8)
    assert len(own_lines(box, "the speech worker hangs")) == 1
    assert len(box.status()["calls"]) == 1
    eventually(lambda: not any(alive(pid) for pid in [hung, *ears]), "the end of the old worker", within_s=4)


def test_a_mind_worker_that_hangs_is_replaced(box: Box, dialer: WireDialer) -> None:
    box.start()
    [hung] = [pid for pid in box.children if "mind_worker" in Path(f"/proc/{pid}/cmdline").read_text()]
    os.kill(hung, signal.SIGSTOP)
    dialer.place()
    eventually(lambda: "the mind worker is back" in box.log, "the worker's return", within_s=10)
    assert len(own_lines(box, "the mind worker hangs")) == 1
    assert len(box.status()["calls"]) == 1
    assert not alive(hung)


class SmallDisk:
    """A file system of 1 MiB."""

    def __init__(self, at: Path) -> None:
        self.at = at
        at.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", at], check=True)

    def fill(self) -> None:
        with (self.at / "ballast").open("ab", buffering=0) as ballast:
            for size in (65536, 4096):
                try:
                    while ballast.write(bytes(size)) == size:
                        pass
                except OSError:
                    pass

    def empty(self) -> None:
        (self.at / "ballast").unlink()

    def close(self) -> None:
        subprocess.run(["umount", "--lazy", self.at], check=True)


@as_root
def test_a_full_disk_harms_no_call_and_is_over_when_it_is_over(box: Box, dialer: WireDialer) -> None:
    with closing(SmallDisk(box.folder / "disk")) as disk:
        box.settings["paths"] |= {"state": str(disk.at / "state"), "recordings": str(disk.at / "recordings")}
        box.write()
        box.start()
        caller = dialer.place()
        began = len(caller.packets.rtp_samples)
        disk.fill()
        eventually(lambda: not box.status()["store"]["healthy"], "a store that says it fails")
        done = box.command("status")
        assert done.returncode == 1
        assert done.stdout.startswith("WARNING: calls are not kept: ")
        assert str(disk.at) in done.stdout.splitlines()[0]
        dialer.hang_up()
        second = dialer.place(1)
        assert_unharmed(caller, began)
        disk.empty()
        dialer.place(2)
        eventually(lambda: box.status()["health"]["level"] == "ok", "a store that writes again")
        dialer.hang_up(1)
        dialer.hang_up(2)
        eventually(lambda: not box.status()["calls"], "the end of the calls")
        eventually(lambda: [call["outcome"] for call in box.calls()] == ["hung_up"] * 3, "all calls in the journal")
        assert_unharmed(second, 0)
        box.signal(signal.SIGTERM)
        assert box.ended(8) == 0
        assert "Traceback" not in box.log


# It ends -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_without_calls_is_quick_and_leaves_nothing(box: Box, dialer: WireDialer, number: signal.Signals) -> None:
    box.start()
    eventually(lambda: dialer.registers, "a registration")
    workers = box.children
    asked_at = time.monotonic()
    box.signal(number)
    assert box.ended(5) == 0
    assert time.monotonic() - asked_at < 5
    assert not [pid for pid in workers if alive(pid)]
    assert "Expires: 0" in dialer.registers[-1] or "expires=0" in dialer.registers[-1]
    assert not (box.runtime / "api.sock").exists()
    assert "ERROR" not in box.log
    assert all(LOG_LINE.match(line) for line in own_lines(box, "sidetone"))


def test_a_stop_while_starting_is_obeyed(box: Box) -> None:
    box.begin()
    eventually(lambda: box.children, "workers")
    workers = box.children
    box.signal(signal.SIGTERM)
    assert box.ended(5) == 0
    assert "ready for" not in box.log
    assert not [pid for pid in workers if alive(pid)]
    assert "Traceback" not in box.log


def test_sigterm_lets_calls_go_on_then_says_goodbye(box: Box, dialer: WireDialer) -> None:
    box.settings["limits"]["drain_s"] = 1.0
    box.write()
    box.start()
    caller = dialer.place()
    began = len(caller.packets.rtp_samples)
    box.signal(signal.SIGTERM)
    eventually(lambda: "unregistered" in box.log, "unregistering at once", within_s=0.9)
    assert not dialer.ended_by_us
    done = box.command("status")
    assert done.returncode == 1
    assert done.stdout.startswith("WARNING: draining: the box stops when the running calls have ended\n")
    eventually(lambda: dialer.ended_by_us, "a BYE after the goodbye")
    assert box.ended(5) == 0
    assert_unharmed(caller, began)
    assert [call["outcome"] for call in box.calls()] == ["cut_short"]
    assert [Path(call["transcript"]).exists() for call in box.calls()] == [True]


def test_sigterm_with_a_call_that_ends_by_itself_ends_with_it(box: Box, dialer: WireDialer) -> None:
    box.start()
    dialer.place()
    box.signal(signal.SIGTERM)
    eventually(lambda: "draining" in box.log, "the drain")
    dialer.hang_up()
    assert box.ended(5) == 0
    assert [call["outcome"] for call in box.calls()] == ["hung_up"]


def test_a_second_sigterm_cuts_the_drain_short(box: Box, dialer: WireDialer) -> None:
    box.start()
    dialer.place()
    box.signal(signal.SIGTERM)
    eventually(lambda: "draining" in box.log, "the drain")
    box.signal(signal.SIGTERM)
    assert box.ended(12) == 0
    assert [call["outcome"] for call in box.calls()] == ["cut_short"]


def test_kill_9_leaves_no_orphans_and_the_next_start_closes_the_call(box: Box, dialer: WireDialer) -> None:
    box.start()
    dialer.place()
    eventually(box.calls, "the call in the journal")
    workers = box.children
    assert len(workers) >= 3
    box.signal(signal.SIGKILL)
    box.ended(5)
    eventually(lambda: not any(alive(pid) for pid in workers), "the workers' end", within_s=2)
    assert [call["outcome"] for call in box.calls()] == [None]
    box.start()
    assert len(own_lines(box, "left open, now closed as technical: 1")) == 1
    eventually(lambda: [call["outcome"] for call in box.calls()] == ["technical"], "the call's end")
    eventually(lambda: box.calls()[0]["transcript"], "the call's transcript")


# What it tells -------------------------------------------------------------------------------------------------------


def test_no_caller_is_named_in_the_log(box: Box, dialer: WireDialer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peer, "_PCMU_TONE", b"\xff" * 160)  # callers that listen
    box.settings["engines"] = {}  # the real ones, which have words to leak
    box.write()
    box.start()
    dialer.from_name = b"Zebulon Quackenbush"
    caller = dialer.place()
    eventually(lambda: len(caller.packets.at_s) > 150, "three seconds of the conversation")
    dialer.hang_up()
    eventually(lambda: box.calls()[0]["transcript"], "the call's transcript")
    assert "Quackenbush" not in box.log
    spoken = [turn["text"] for path in box.recordings.rglob("*.json") for turn in json.loads(path.read_text())["turns"]]
    assert spoken
    assert not [text for text in spoken if text[:20] in box.log]
    assert len(own_lines(box, " began")) == len(own_lines(box, " ended: ")) == 1


def test_the_service_manager_hears_ready_alive_and_stopping(box: Box) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(box.folder / "notify"))
        manager.settimeout(10)
        box.start({"NOTIFY_SOCKET": str(box.folder / "notify"), "WATCHDOG_USEC": "200000"})
        heard: list[str] = []

        def until(wanted: str) -> None:
            while wanted not in heard:
                heard.append(manager.recv(4096).decode())

        until("READY=1")
        until("WATCHDOG=1")
        heard.clear()
        until("WATCHDOG=1")
        box.signal(signal.SIGTERM)
        until("STOPPING=1")
        assert box.ended(5) == 0


def test_the_tables(box: Box, dialer: WireDialer) -> None:
    box.start()
    dialer.place()
    shown: Any = box.command("status")
    assert shown.returncode == 0
    assert shown.stdout.startswith("OK\n")
    assert f"Registration  registered  registered 8371 at {dialer.address}" in shown.stdout
    assert "\nCalls         1 of 4 lines\n" in shown.stdout
    dialer.hang_up()
    eventually(lambda: not box.status()["calls"], "the call's end")
    [line] = box.command("calls", "-n", "1").stdout.splitlines()[1:]
    assert re.fullmatch(r"\S+Z +0 +hung_up +\d+ s +/\S+\.txt *", line), line
