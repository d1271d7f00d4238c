"""The appliance under test, met from outside only: its command, its settings file, its API socket, its processes."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomli_w

import appliance
from appliance.api import wire
from appliance.errors import ApiError
from tests.lab.faults import LabError
from tests.lab.processes import HOST, end, free_ports, spawn

CAMPAIGN = Path(appliance.__file__).parent / "campaigns" / "home_insurance.toml"
START_S = 60.0


class Appliance:
    """`sidetone run` on loopback in a folder of its own. Its messages come out of `messages`, in order, with None at its end.

    Construction returns when the API answers; registration may come later. Raises LabError where it does not start.
    """

    def __init__(
        self,
        folder: Path,
        *,
        registrar: str,
        username: str,
        password: str,
        lines: int,
        least: int = 1,
        campaign: Path = CAMPAIGN,
        drain_s: float = 60.0,
        dialer: Mapping[str, Any] | None = None,
    ) -> None:
        self.folder = folder
        self.sip_port = free_ports()
        self.rtp_port = free_ports(4 * (lines + 4))
        self.rtp_ports = range(self.rtp_port, self.rtp_port + 4 * (lines + 4))
        self.log = folder / "appliance.log"
        self.config = folder / "sidetone.toml"
        self._runtime = folder / "run"
        for path in (self._runtime, folder / "state", folder / "recordings"):
            path.mkdir(parents=True, exist_ok=True)
        settings = {
            "campaign": str(campaign),
            "sip": {
                "registrar": registrar,
                "username": username,
                "password": password,
                "bind": HOST,
                "port": self.sip_port,
                "rtp_port": self.rtp_port,
                "expires_s": 60,
            },
            "capacity": {"lines": lines, "least": least},
            "paths": {
                "state": str(folder / "state"),
                "runtime": str(self._runtime),
                "recordings": str(folder / "recordings"),
            },
            "limits": {"drain_s": drain_s},
            **({"dialer": dialer} if dialer is not None else {}),
        }
        self.config.write_text(tomli_w.dumps(settings))
        self.config.chmod(0o600)
        self.messages: queue.Queue[wire.Status | wire.Change | None] = queue.Queue()
        self.start()

    def start(self) -> None:
        """Start it, again after a `kill`; returns when the API answers."""
        with self.log.open("ab") as log:
            self._process = spawn(
                [sys.executable, "-m", "appliance", "run", "--config", self.config],
                stdout=log,
                stderr=log,
                env={"PYTHONUNBUFFERED": "1"},
            )
        try:
            self._socket = self._connect()
        except BaseException:
            end(self._process, grace_s=2)
            raise
        threading.Thread(target=self._read, args=(self._socket,), name="appliance-api", daemon=True).start()

    def __enter__(self) -> Appliance:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.stop(hasty=kind is not None)

    def _connect(self) -> socket.socket:
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise LabError(
                    f"sidetone run ended with status {self._process.returncode}: {self._last_words()}", hint=f"see {self.log}"
                )
            client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                client.connect(str(self._runtime / "api.sock"))
            except OSError:
                client.close()
                time.sleep(0.05)
                continue
            client.sendall(wire.pack(wire.Subscribe()))
            return client
        raise LabError(f"sidetone run does not answer on its API after {START_S:.0f} s", hint=f"see {self.log}")

    def _last_words(self) -> str:
        lines = [line for line in self.log.read_text(errors="replace").splitlines() if line.strip()]
        return " / ".join(lines[-3:])

    def _read(self, api: socket.socket) -> None:
        """The API's reader thread: messages into the queue until the socket is closed."""
        unpacker = wire.from_daemon()
        with contextlib.suppress(OSError, ApiError):
            while data := api.recv(65536):
                for message in unpacker.feed(data):
                    if not isinstance(message, wire.FellBehind | wire.Accepted | wire.Refused):
                        self.messages.put(message)
        self.messages.put(None)

    def status(self) -> wire.Status:
        """Ask how it is. Raises LabError where it does not answer in 5 s."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.settimeout(5)
            unpacker = wire.from_daemon()
            try:
                client.connect(str(self._runtime / "api.sock"))
                client.sendall(wire.pack(wire.GetStatus()))
                while data := client.recv(65536):
                    for message in unpacker.feed(data):
                        if isinstance(message, wire.Status):
                            return message
            except OSError as error:
                raise LabError(f"the appliance's API does not answer: {error}", hint=f"see {self.log}") from error
        raise LabError("the appliance's API gave no status", hint=f"see {self.log}")

    def workers(self, part: str) -> list[int]:
        """Process ids of its worker `part` ("speech" or "mind")."""
        found = []
        for pid in _children(self._process.pid):
            with contextlib.suppress(OSError):
                if f"appliance.engines.{part}_worker" in Path(f"/proc/{pid}/cmdline").read_text(errors="replace"):
                    found.append(pid)
        return found

    def processes(self) -> list[int]:
        """Process ids: the daemon, and all that it started."""
        return [self._process.pid, *_children(self._process.pid)]

    def kill_worker(self, part: str) -> float:
        """kill -9 that worker; the instant, seconds since 1970. Raises LabError where there is none."""
        pids = self.workers(part)
        if not pids:
            raise LabError(f"the appliance has no {part} worker to kill")
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        return time.time()

    def kill(self) -> None:
        """kill -9 the daemon itself: nothing is said to anyone. Its workers find out by themselves."""
        self._process.kill()
        self._process.wait(5)
        self._socket.close()

    def terminate(self) -> None:
        """SIGTERM: drain."""
        self._process.send_signal(signal.SIGTERM)

    def wait(self, timeout_s: float) -> int | None:
        """Its exit status, None while it runs on."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._process.wait(timeout_s)
        return None

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def stop(self, *, hasty: bool = False) -> None:
        """SIGTERM, a second one where a call is still up, then kill. `hasty`: nobody waits for goodbyes. Safe to call twice."""
        if self.running and not hasty:
            self.terminate()
            self.wait(1.0)
        end(self._process, grace_s=0.5 if hasty else 8)
        self._socket.close()


def _children(pid: int) -> list[int]:
    """All descendants."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in map(int, task.read_text().split()):
                found += [child, *_children(child)]
    return found
