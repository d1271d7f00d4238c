"""The real command in processes of its own, for tests of what an operator meets: settings, log, exit codes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tomli_w

import appliance
from tests.lab.appliance import _children as children
from tests.lab.processes import HOST, end, free_ports, spawn

CAMPAIGN = Path(appliance.__file__).parent / "campaigns" / "home_insurance.toml"
ENGINES = {"recognizer": "null", "vad": "level", "voice": "tone", "mind": ["echo"]}  # up in a second, and idle
PASSWORD = "Sesame-84-open"
NOBODY = "127.0.0.1:9"
WAIT_S = 20.0


def eventually(done: Callable[[], object], what: str, within_s: float = WAIT_S) -> float:
    """Waits until `done()`; the seconds it took."""
    began = time.monotonic()
    while not done():
        assert time.monotonic() - began < within_s, f"{what}: not within {within_s:.0f} s"
        time.sleep(0.01)
    return time.monotonic() - began


def sidetone(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """One command, to its end."""
    command = [sys.executable, "-m", "appliance", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


class Box:
    """One appliance with settings of its own; `start` it any number of times. Ended by leaving the `with`."""

    def __init__(self, folder: Path, *, registrar: str = NOBODY, **changed: dict[str, Any]) -> None:
        self.folder = folder
        self.log_file = folder / "box.log"
        self.config = folder / "sidetone.toml"
        self.sip_port = free_ports()
        self.rtp_port = free_ports(64)
        self.state, self.runtime, self.recordings = folder / "state", folder / "run", folder / "recordings"
        self.settings: dict[str, Any] = {
            "campaign": str(CAMPAIGN),
            "sip": {
                "registrar": registrar,
                "username": "8371",
                "password": PASSWORD,
                "bind": HOST,
                "port": self.sip_port,
                "rtp_port": self.rtp_port,
            },
            "capacity": {"lines": 4},
            "engines": dict(ENGINES),
            "paths": {"state": str(self.state), "runtime": str(self.runtime), "recordings": str(self.recordings)},
            "limits": {"drain_s": 30.0},
        }
        for section, changes in changed.items():
            self.settings[section] |= changes
        self.write()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Box:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            end(self._process, grace_s=0.1)

    def write(self) -> None:
        self.config.touch(0o600)
        self.config.write_text(tomli_w.dumps(self.settings))

    def start(self, env: dict[str, str] | None = None) -> Box:
        """Start it and wait until it takes calls."""
        before = self.log.count("ready for")
        self.begin(env)
        eventually(lambda: self.log.count("ready for") > before or not self.running, "a start")
        assert self.running, self.log
        return self

    def begin(self, env: dict[str, str] | None = None) -> None:
        command: list[str | Path] = [sys.executable, "-m", "appliance", "run", "--config", self.config]
        with self.log_file.open("ab") as log:
            self._process = spawn(command, stdout=log, stderr=log, env=env)

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None
        return self._process

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    @property
    def log(self) -> str:
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    @property
    def children(self) -> list[int]:
        """Its workers, and theirs."""
        return children(self.process.pid)

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def ended(self, within_s: float) -> int:
        """Its exit code."""
        return self.process.wait(within_s)

    def command(self, name: str, *more: str) -> subprocess.CompletedProcess[str]:
        """Another sidetone command with this box's settings."""
        return sidetone(name, "--config", self.config, *more)

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.command("status", "--json").stdout)
        return found

    def calls(self) -> list[dict[str, Any]]:
        """As its journal has them, the newest first."""
        found: list[dict[str, Any]] = json.loads(self.command("calls", "--json").stdout)
        return found
