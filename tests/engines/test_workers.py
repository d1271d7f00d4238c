"""Both workers as real processes on real sockets."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from appliance.audio.formats import SILENCE
from appliance.calls.effects import Act, ActKind
from appliance.calls.events import Understanding
from appliance.engines import ear, registry
from appliance.engines.client import WorkerClient, WorkerSpec, mind_spec, speech_spec
from appliance.engines.voices import flite
from appliance.engines.wire import (
    Ask,
    Audio,
    Cancel,
    Clause,
    CloseCall,
    Compose,
    ExpectNext,
    Failed,
    Final,
    FinalizeTurn,
    Frames,
    FromMind,
    Load,
    Meaning,
    OpenCall,
    Ready,
    Render,
    Rendered,
    Rows,
    Speak,
    Unpacker,
    pack,
)
from appliance.errors import BackendError
from tests.engines.telephone import frames, home_insurance, samples_of, through_telephone

CAMPAIGN = home_insurance()
LOAD = Load.of(CAMPAIGN)
WAIT_S = 20.0


class Worker:
    """A running worker and what it answered."""

    def __init__(self, spec: WorkerSpec) -> None:
        self.answers: asyncio.Queue[Any] = asyncio.Queue()
        self.lost, self.back = asyncio.Event(), asyncio.Event()
        self.client = WorkerClient(spec, LOAD, self.answers.put_nowait, self.lost.set, self.back.set)

    async def answer(self, kind: type[Any]) -> Any:
        """The next answer of this kind; others are passed over."""
        async with asyncio.timeout(WAIT_S):
            while not isinstance(found := await self.answers.get(), kind):
                pass
        return found


@asynccontextmanager
async def running(spec: WorkerSpec) -> AsyncIterator[Worker]:
    worker = Worker(spec)
    await worker.client.start()
    try:
        yield worker
    finally:
        await worker.client.stop()


def in_loop(test: Callable[[Path], Coroutine[Any, Any, None]]) -> Callable[[Path], None]:
    def run(tmp_path: Path) -> None:
        asyncio.run(test(tmp_path))

    run.__name__ = test.__name__
    return run


def speech(folder: Path) -> WorkerSpec:
    return speech_spec(folder / "speech.sock", "pocketsphinx", "pocketsphinx", "flite")


def quick_speech(folder: Path) -> WorkerSpec:
    return speech_spec(folder / "speech.sock", "null", "level", "tone")


def mind(folder: Path) -> WorkerSpec:
    return mind_spec(folder / "mind.sock", ["scripted"])


def children(pid: int | None) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@in_loop
async def test_a_caller_is_heard_and_answered(folder: Path) -> None:
    async with running(speech(folder)) as worker:
        client = worker.client
        assert client.backends["recognizer"].startswith("pocketsphinx 5")
        spoken = b"".join(flite.make("rms").synthesize("yes i do"))
        client.send(OpenCall("a"))
        client.send(ExpectNext("a", "owner"))
        partial = None
        for seq, frame in enumerate(frames(through_telephone(samples_of(spoken)) + SILENCE * 20)):
            client.send(Frames(seq, [("a", frame), ("stranger", frame)]))
            rows = await worker.answer(Rows)
            assert (rows.seq, [r.call for r in rows.rows]) == (seq, ["a", "stranger"])
            partial = rows.rows[0].text or partial
        client.send(FinalizeTurn("a", 3))
        final = await worker.answer(Final)
        assert (final.call, final.turn) == ("a", 3)
        assert "yes" in final.text
        client.send(FinalizeTurn("a", 4))
        assert (await worker.answer(Final)).text == ""
        client.send(Speak("a", 1, 0, "Do you own your home?"))
        length = 0
        while not (audio := await worker.answer(Audio)).last:
            length += len(audio.pcm)
        assert length > 8000
        client.send(CloseCall("a"))
        client.send(Render("holding", "One moment please."))
        assert len((await worker.answer(Rendered)).pcm) > 8000


@in_loop
async def test_the_mind_understands_and_phrases(folder: Path) -> None:
    async with running(mind(folder)) as worker:
        client = worker.client
        client.send(OpenCall("a"))
        client.send(Ask("a", 1, "owner", "yes i do"))
        assert await worker.answer(Meaning) == Meaning("a", 1, Understanding(slot="yes"))
        client.send(Compose("a", 2, (Act(ActKind.ACKNOWLEDGE), Act(ActKind.ASK, "insured"))))
        assert (await worker.answer(Clause)).text == CAMPAIGN.lines.acknowledge[0]
        assert await worker.answer(Clause) == Clause("a", 2, "Is your home insured right now?", last=True)
        client.send(Ask("stranger", 3, "owner", "yes"))
        client.send(Cancel("a", 99))
        client.send(Ask("a", 4, "owner", "no"))
        assert (await worker.answer(Meaning)).request == 4


@pytest.mark.parametrize("spec", [quick_speech, mind])
def test_a_killed_worker_is_noticed_at_once_and_comes_back(spec: Callable[[Path], WorkerSpec], tmp_path: Path) -> None:
    async def test() -> None:
        async with running(spec(tmp_path)) as worker:
            first = worker.client.pid
            assert first is not None
            os.kill(first, signal.SIGKILL)
            async with asyncio.timeout(1.0):
                await worker.lost.wait()
            assert not worker.client.send(OpenCall("a"))
            async with asyncio.timeout(WAIT_S):
                await worker.back.wait()
            assert worker.client.send(OpenCall("a"))
            assert (worker.client.restarts, worker.client.unsent) == (1, 1)
            assert worker.client.pid not in (None, first)

    asyncio.run(test())


@in_loop
async def test_a_killed_recognizer_takes_the_worker_with_it_and_both_come_back(folder: Path) -> None:
    async with running(quick_speech(folder)) as worker:
        (child,) = children(worker.client.pid)
        os.kill(child, signal.SIGKILL)
        async with asyncio.timeout(WAIT_S):
            await worker.lost.wait()
            await worker.back.wait()
        assert worker.client.ready
        assert children(worker.client.pid) not in ([], [child])


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (lambda f: speech_spec(f / "s", "nonsense", "level", "tone"), "there is no 'nonsense'"),
        (lambda f: speech_spec(f / "s", "null", "level", "flite", "nobody"), "no speaker 'nobody'"),
        (lambda f: mind_spec(f / "s", ["nonsense"]), "there is no 'nonsense'"),
    ],
)
def test_a_backend_that_can_not_load_is_the_operators_error(
    spec: Callable[[Path], WorkerSpec], message: str, tmp_path: Path
) -> None:
    with pytest.raises(BackendError, match=message) as caught:
        asyncio.run(WorkerClient(spec(tmp_path), LOAD, print).start())
    assert caught.value.hint


def broken_mind(folder: Path, minds: list[str]) -> WorkerSpec:
    return msgspec.structs.replace(mind_spec(folder / "mind.sock", minds), module="tests.engines.broken_worker")


@pytest.mark.parametrize(
    ("minds", "message"),
    [
        (["broken"], r"engines.mind: 'broken' does not load \(ZeroDivisionError: no model has zero layers\)"),
        (["session"], r"loading failed \(KeyError: 'Home insurance qualification'\)"),
    ],
)
def test_a_fault_that_nobody_foresaw_reaches_the_daemon_and_the_log_has_the_traceback(
    minds: list[str], message: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(BackendError, match=message) as caught:
        asyncio.run(WorkerClient(broken_mind(tmp_path, minds), LOAD, print).start())
    assert caught.value.hint
    log = capfd.readouterr().err
    assert log.count("Traceback") == 1


def test_another_mind_takes_the_place_of_a_broken_one(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    async def test() -> dict[str, str]:
        async with running(broken_mind(tmp_path, ["broken", "scripted"])) as worker:
            return worker.client.backends

    assert asyncio.run(test()) == {"mind": "scripted"}
    log = capfd.readouterr().err
    assert "'broken' does not load (ZeroDivisionError: no model has zero layers); trying scripted\nTraceback" in log


def test_a_recognizer_that_fails_unforeseen_is_told_by_its_process(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(registry.RECOGNIZERS, "broken", registry.Backend("tests.engines.broken"))
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(pack(ear.Begin("broken", CAMPAIGN.model_dump_json().encode())))
        ear.serve(theirs)
        (failed,) = Unpacker(ear.FromEar).feed(ours.recv(65536))
    assert isinstance(failed, Failed)
    assert "'broken' does not load (ZeroDivisionError" in failed.message
    assert caplog.records[0].exc_info


@in_loop
async def test_a_worker_that_can_not_even_start_is_the_operators_error(folder: Path) -> None:
    spec = WorkerSpec("appliance.engines.no_such_worker", msgspec.defstruct("Empty", [])(), folder / "s", FromMind)
    with pytest.raises(BackendError, match="ended with code 1"):
        await WorkerClient(spec, LOAD, print).start()


class Raw:
    """A worker started by hand, to be maltreated on its socket."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "raw.sock"
        command = [sys.executable, "-m", "appliance.engines.mind_worker"]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE)
        assert self.process.stdin is not None
        self.process.stdin.write(b'{"socket": "%s", "minds": ["scripted"]}\n' % str(self.path).encode())
        self.process.stdin.flush()

    def connect(self) -> socket.socket:
        deadline = time.monotonic() + WAIT_S
        while time.monotonic() < deadline:
            connection = socket.socket(socket.AF_UNIX)
            connection.settimeout(WAIT_S)
            try:
                connection.connect(str(self.path))
            except OSError:
                connection.close()
                time.sleep(0.01)
            else:
                return connection
        raise TimeoutError(self.path)

    def ready(self, connection: socket.socket) -> bool:
        connection.sendall(pack(LOAD))
        for data in iter(lambda: connection.recv(65536), b""):
            for message in Unpacker(FromMind).feed(data):
                return isinstance(message, Ready)
        return False

    def end(self) -> int:
        assert self.process.stdin is not None
        self.process.stdin.close()
        return self.process.wait(WAIT_S)


@pytest.fixture
def raw(tmp_path: Path) -> Any:
    worker = Raw(tmp_path)
    yield worker
    if worker.process.poll() is None:
        worker.process.kill()
    worker.end()


GARBAGE = {
    "noise": b"\xff" * 64,
    "http": b"GET / HTTP/1.1\r\n\r\n",
    "no msgpack": b"\0\0\0\4junk",
    "too early": pack(OpenCall("early")),
    "loaded twice": pack(LOAD) * 2,
}


@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE.keys())
def test_garbage_closes_the_connection_and_the_next_one_is_served(raw: Raw, garbage: bytes) -> None:
    with raw.connect() as bad:
        bad.sendall(garbage)
        while bad.recv(65536):
            pass
    with raw.connect() as good:
        assert raw.ready(good)


def test_one_connection_at_a_time(raw: Raw) -> None:
    with raw.connect() as first:
        assert raw.ready(first)
        with raw.connect() as second:
            assert second.recv(16) == b""
        first.sendall(pack(OpenCall("a")) + pack(Ask("a", 1, "owner", "yes")))
        assert first.recv(65536)


def test_sigterm_ends_it_cleanly(raw: Raw) -> None:
    raw.connect().close()
    raw.process.send_signal(signal.SIGTERM)
    assert raw.process.wait(WAIT_S) == 0
    assert not raw.path.exists()


def test_it_ends_with_its_parent(raw: Raw) -> None:
    raw.connect().close()
    assert raw.end() == 0


def test_only_the_owner_may_connect(raw: Raw) -> None:
    raw.connect().close()
    assert raw.path.stat().st_mode & 0o077 == 0


def test_a_wrong_configuration_line_is_explained(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "appliance.engines.speech_worker"]
    done = subprocess.run(command, input=b'{"socket": 1}\n', capture_output=True, timeout=WAIT_S, check=False)
    assert done.returncode == 2
    assert b"configuration" in done.stderr
    assert b"Traceback" not in done.stderr
