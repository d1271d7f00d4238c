"""Everything of a campaign day up and connected: double, Asterisk, exchange, customers, the box and its guard."""

from __future__ import annotations

import contextlib
import json
import queue
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from appliance.api import wire
from appliance.config.settings import Dialer
from tests.lab.appliance import CAMPAIGN, Appliance
from tests.lab.asterisk.config import Autodialer
from tests.lab.asterisk.server import BUILD, Asterisk
from tests.lab.bench import forget_old_runs
from tests.lab.dialer.exchange import Exchange
from tests.lab.dialer.mix import Plan
from tests.lab.dialer.office import Office
from tests.lab.faults import LabError
from tests.lab.processes import end, free_ports, spawn
from tests.lab.telling import TellingProcess

READY_S = 60.0
SPARE_LEGS = 6  # customers who are still up when the next ones are: transferred ones, and those over capacity
Happening = dict[str, Any] | wire.Status | wire.Change | None


class Site:
    """Use as a context manager. `happenings` has what customers and box tell; the customers' numbers are `numbers`."""

    def __init__(self, plan: Plan, *, dialer: str) -> None:
        BUILD.mkdir(parents=True, exist_ok=True)
        forget_old_runs()
        self.folder = Path(tempfile.mkdtemp(prefix=time.strftime("run-%m%d-%H%M%S-"), dir=BUILD))
        self.happenings: queue.Queue[Happening] = queue.Queue()
        self.argv: set[str] = set()
        self._guard: subprocess.Popen[bytes] | None = None
        self._open = contextlib.ExitStack()
        try:
            self._start(plan, dialer)
        except BaseException:
            self._open.__exit__(*sys.exc_info())
            raise

    def __enter__(self) -> Site:
        return self

    def __exit__(self, *raised: Any) -> None:
        self._open.__exit__(*raised)

    def _start(self, plan: Plan, dialer: str) -> None:
        at_once = 2 * (plan.lines + plan.over) + SPARE_LEGS
        sip_port, rtp_port = free_ports(), free_ports(8 * at_once)
        self.office = self._open.enter_context(Office(len(plan.people)))
        self.asterisk = self._open.enter_context(
            Asterisk(sip_port, dialer=dialer, autodialer=Autodialer(manager_port=free_ports(), agi_port=free_ports()))
        )
        self.exchange = self._open.enter_context(Exchange(self.asterisk, self.office))
        self.office.switch = self.exchange
        who = dict(zip(self.office.numbers, plan.people, strict=True))
        path = self.folder / "customers.json"
        path.write_text(
            json.dumps(
                {"sip_port": sip_port, "rtp_port": rtp_port, "campaign": str(CAMPAIGN), "customers": who, "at_once": at_once}
            )
        )
        told = self.happenings.put
        self._open.enter_context(TellingProcess(["tests.lab.customers", path], self.folder / "customers.jsonl", told))
        phone = self.asterisk.phone
        self.settings = {"kind": "vicidial", "vicidial": self.office.settings()}
        self.box = self._open.enter_context(
            Appliance(
                self.folder,
                registrar=self.asterisk.address,
                username=phone.extension,
                password=phone.secret,
                lines=plan.lines,
                least=plan.lines,  # the machine's load is mostly the customers', and must not change the day
                dialer=self.settings,
            )
        )
        threading.Thread(target=self._relay, name="lab-relay", daemon=True).start()
        self._start_guard()
        self.asterisk.wait_registered()
        self._await_ready()
        self.office.wait_asked()

    def _start_guard(self) -> None:
        log = self._open.enter_context((self.folder / "guard.log").open("wb"))
        command: list[str | Path] = [sys.executable, "-m", "appliance", "guard", "--config", self.box.config]
        self._guard = spawn(command, stdout=log, stderr=log)
        self._open.callback(end, self._guard, grace_s=2)

    @property
    def guard_runs(self) -> bool:
        return self._guard is not None and self._guard.poll() is None

    def _relay(self) -> None:
        while True:
            self.happenings.put(self.box.messages.get())

    def _await_ready(self) -> None:
        """The customers have their voices and ears."""
        deadline = time.monotonic() + READY_S
        while True:
            try:
                happening = self.happenings.get(timeout=max(0.01, deadline - time.monotonic()))
            except queue.Empty:
                raise LabError("the lab waited in vain", hint=f"see the logs in {self.folder}") from None
            if isinstance(happening, dict) and happening["kind"] == "ready":
                return

    def status_of(self, outcome: str) -> str | None:
        """The site's table from outcome to status."""
        return Dialer.model_validate(self.settings).status_of(outcome)

    # Passwords -------------------------------------------------------------------------------------------------------

    def look_at_processes(self) -> None:
        """Remember the arguments that anybody on the machine can read of the box's processes."""
        for pid in self.box.processes():
            with contextlib.suppress(OSError):
                self.argv.add(Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))

    def leaks(self) -> list[str]:
        """Where a password can be read, other than in the settings file that it was written into."""
        texts = list(texts_in(self.folder, self.box.config).items())
        texts += [(f"the arguments of {_program(line)}", line) for line in self.argv]
        found = []
        for name, text in texts:
            users = self.office.leaks(text)
            if self.asterisk.phone.secret in text:
                users.append(f"phone {self.asterisk.phone.extension}")
            found += [f"the password of {user} is in {name}" for user in users]
        return found


def _program(line: str) -> str:
    """The arguments themselves may be what must not be shown."""
    return line.split()[0] if line.strip() else "a process"


def texts_in(folder: Path, settings: Path) -> dict[str, str]:
    """Everything that was written below `folder`, databases too, by its path there; but no audio, and not the settings."""
    kept = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.suffix != ".wav" and path != settings)
    return {str(path.relative_to(folder)): path.read_bytes().decode("latin-1") for path in kept}
