"""`sidetone bench media`: the appliance as it is, with engines that do no work, under N calls at once.

Lateness is measured on the wire, by the kernel's time stamps in another process (`appliance.bench.peer`); the own path
is the appliance's own figure: from the media clock's beat that brought a frame to the core having handled its row.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from rich.console import Console
from rich.table import Table

from appliance.api.client import ApiClient
from appliance.api.wire import Status
from appliance.audio.tick import Lateness, LatenessReport
from appliance.config.save import write_settings
from appliance.config.settings import Capacity, Engines, Paths, Settings, Sip
from appliance.errors import SidetoneError

LATE_MS = 5.0
CAMPAIGN = Path(__file__).parent.parent / "campaigns" / "home_insurance.toml"
_PROCESSES = {"speech_worker": "speech", "mind_worker": "mind", "engines.ear": "recognizer", "": "other"}
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def run(counts: list[int], *, seconds: float, as_json: bool) -> int:
    """One run for each number of calls; prints a table, and one JSON object as the last line with `as_json`."""
    results = [_measure(calls, seconds) for calls in counts]
    _print_table(results)
    if as_json:
        print(json.dumps({"bench": "media", "cpus": os.cpu_count(), "seconds": seconds, "runs": results}))
    return 0


def _measure(calls: int, seconds: float) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="sidetone-bench-") as folder, contextlib.ExitStack() as stack:
        command = [sys.executable, "-m", "appliance.bench.peer", str(calls), str(seconds)]
        peer = stack.enter_context(_process(command, stdout=subprocess.PIPE))
        port = _next(peer)["port"]
        settings = _settings(Path(folder), calls, port)
        config = Path(folder) / "sidetone.toml"
        write_settings(config, settings)
        log = stack.enter_context((Path(folder) / "log").open("w+"))
        command = [sys.executable, "-m", "appliance", "run", "--config", str(config)]
        appliance = stack.enter_context(_process(command, stdout=log, stderr=log))
        try:
            _next(peer)
            before = _cpu_s(appliance.pid)
            _next(peer)
            after = _cpu_s(appliance.pid)
            status = asyncio.run(ApiClient(settings.paths.runtime / "api.sock").status())
            _go_on(peer)
            late = _next(peer)["late_ms"]
        except SidetoneError:
            log.seek(0)
            sys.stderr.write(log.read())
            raise
        return _result(calls, late, status, {name: after[name] - before[name] for name in after}, seconds)


def _settings(folder: Path, calls: int, registrar_port: int) -> Settings:
    return Settings(
        campaign=CAMPAIGN,
        sip=Sip(registrar=f"127.0.0.1:{registrar_port}", username="bench", password=SecretStr("bench"), port=0),
        capacity=Capacity(lines=calls),
        engines=Engines(recognizer="null", vad="level", voice="tone", mind=["echo"]),
        paths=Paths(state=folder / "state", runtime=folder / "run", recordings=folder / "recordings"),
    )


def _result(calls: int, late_ms: list[float], status: Status, cpu_s: dict[str, float], seconds: float) -> dict[str, Any]:
    lateness = Lateness()
    for ms in late_ms:
        lateness.add(ms / 1000)
    wire: LatenessReport = lateness.report()
    media = status.media
    return {
        "calls": calls,
        "frames": wire.count,
        "frames_expected": round(calls * (seconds - 0.25) * 50),
        "late_over_5ms": sum(ms > LATE_MS for ms in late_ms),
        "wire_late_ms": {"p50": wire.p50_ms, "p95": wire.p95_ms, "p99": wire.p99_ms, "max": wire.max_ms},
        "wire_histogram_ms": wire.buckets,
        "own_path_ms": {"p50": media.path_p50_ms, "p99": media.path_p99_ms, "max": media.path_max_ms},
        "underruns": media.underruns,
        "overruns": media.overruns,
        "cpu_percent": {name: round(100 * s / seconds, 1) for name, s in cpu_s.items()},
        "cpu_percent_per_call": round(100 * sum(cpu_s.values()) / seconds / calls, 2),
    }


def _print_table(results: list[dict[str, Any]]) -> None:
    table = Table(title="Media path, engines that do no work", title_justify="left")
    for title in ("calls", "frames", "late > 5 ms", "wire p99 / max", "own path p50 / p99", "CPU per call"):
        table.add_column(title, justify="right")
    for r in results:
        wire, path = r["wire_late_ms"], r["own_path_ms"]
        table.add_row(
            str(r["calls"]),
            str(r["frames"]),
            str(r["late_over_5ms"]),
            f"{wire['p99']:.1f} / {wire['max']:.1f} ms",
            f"{path['p50']:.1f} / {path['p99']:.1f} ms",
            f"{r['cpu_percent_per_call']:.2f} %",
        )
    Console().print(table)


@contextlib.contextmanager
def _process(command: list[str], **streams: Any) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(command, stdin=subprocess.PIPE, text=True, **streams)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _next(peer: subprocess.Popen[str]) -> dict[str, Any]:
    assert peer.stdout is not None
    line = peer.stdout.readline()
    if not line:
        raise SidetoneError("the bench's far end gave up", hint="its reason is above; is this machine busy?")
    message: dict[str, Any] = json.loads(line)
    return message


def _go_on(peer: subprocess.Popen[str]) -> None:
    assert peer.stdin is not None
    peer.stdin.write("\n")
    peer.stdin.flush()


def _cpu_s(daemon: int) -> dict[str, float]:
    """CPU seconds so far of the daemon and, by name, of every process below it."""
    seconds = {"daemon": _process_cpu_s(daemon)}
    for pid in _descendants(daemon):
        command = Path(f"/proc/{pid}/cmdline").read_text()
        name = next(name for module, name in _PROCESSES.items() if module in command)
        seconds[name] = seconds.get(name, 0.0) + _process_cpu_s(pid)
    return seconds


def _descendants(pid: int) -> list[int]:
    """Children, theirs, and so on; each thread has its own."""
    lists = [path.read_text().split() for path in Path(f"/proc/{pid}/task").glob("*/children")]
    children = [int(child) for found in lists for child in found]
    return [*children, *(below for child in children for below in _descendants(child))]


def _process_cpu_s(pid: int) -> float:
    # proc(5): utime and stime are fields 14 and 15; the command in parentheses may hold spaces
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S
