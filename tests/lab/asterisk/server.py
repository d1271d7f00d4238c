"""One running Asterisk: start, restart, kill, place customer calls, ask who is registered.

It runs in a chroot of a cached root file system, in the foreground as our child, with every folder of its own, so that
several instances can run at once and nothing of it is left behind.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.lab.asterisk.config import VOICEMAIL_HITS, Autodialer, Phone, Plan, call_file, files
from tests.lab.faults import LabError
from tests.lab.processes import HOST, end, free_ports, spawn

DIALERS = {"asterisk16": False, "asterisk22": True}  # name -> carries its phones by chan_pjsip
BUILD = Path(__file__).resolve().parents[3] / "build" / "lab"
RTP_PORTS = 200
START_S = 20.0
AWAY_S = 1.0  # this one starts in 0.2 s; Debian's safe_asterisk alone sleeps 4 s before it starts a dead one again


@dataclass(frozen=True)
class MailboxHit:
    """A customer who ended in the phone's voicemail, with the status of the Dial before it."""

    extension: str
    caller_name: str
    number: str
    dial_status: str


def default_dialer() -> str:
    """The one whose root file system is there already, VICIdial's own version before the newer one."""
    return next((name for name in DIALERS if (BUILD / name / "usr/sbin/asterisk").exists()), next(iter(DIALERS)))


def root_of(dialer: str) -> Path:
    """The dialer's root file system, made on first use. Raises LabError with what to do."""
    if dialer not in DIALERS:
        raise LabError(f"no dialer is called '{dialer}'", hint=f"dialers are {', '.join(DIALERS)}")
    if os.geteuid() != 0:
        raise LabError("the lab's dialer runs in a chroot and needs root", hint="run as root")
    done = subprocess.run([Path(__file__).with_name("rootfs.sh"), dialer], stdout=subprocess.PIPE, check=False, text=True)
    if done.returncode != 0:
        raise LabError(f"there is no root file system for {dialer}", hint="the lines above say why")
    return Path(done.stdout.strip())


def dialer_caller_id(lead_id: int, serial: int, prefix: str = "V") -> str:
    """VICIdial's call id, the From name of every call: prefix, 9 digits (mddHHMMSS), 10 digits of lead id."""
    now = time.localtime(time.time() + serial)
    return f"{prefix}{now.tm_mon % 10}{now.tm_mday:02}{now.tm_hour:02}{now.tm_min:02}{now.tm_sec:02}{lead_id:010}"


class Asterisk:
    """Starts on construction and answers when it does. Use as a context manager, or call `stop`."""

    def __init__(
        self,
        carrier_port: int,
        *,
        dialer: str = "",
        phones: tuple[Phone, ...] = (Phone(),),
        autodialer: Autodialer | None = None,
    ) -> None:
        dialer = dialer or default_dialer()
        self.root = root_of(dialer)
        self.dialer = dialer
        self.pjsip = DIALERS[dialer]
        (self.root / "lab").mkdir(exist_ok=True)
        self.home = Path(tempfile.mkdtemp(prefix="a", dir=self.root / "lab"))
        rtp_first = free_ports(RTP_PORTS)
        self.plan = Plan(
            folder=f"/lab/{self.home.name}",
            modules=self._modules(),
            sip_port=free_ports(),
            rtp_first=rtp_first,
            rtp_last=rtp_first + RTP_PORTS - 1,
            carrier_port=carrier_port,
            phones=phones,
            autodialer=autodialer,
        )
        for folder in ("etc", "run", "log", "db", "keys", "spool/outgoing", "spool/tmp", "spool/voicemail/default"):
            (self.home / folder).mkdir(parents=True)
        for name, text in files(self.plan, pjsip=self.pjsip).items():
            (self.home / "etc" / name).write_text(text)
        self._process: subprocess.Popen[bytes] | None = None
        try:
            self._start()
        except BaseException:
            self.stop()
            raise

    def __enter__(self) -> Asterisk:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def address(self) -> str:
        """host:port of the registrar."""
        return f"{HOST}:{self.plan.sip_port}"

    @property
    def phone(self) -> Phone:
        return self.plan.phones[0]

    @property
    def rtp_ports(self) -> range:
        return range(self.plan.rtp_first, self.plan.rtp_last + 1)

    def _modules(self) -> str:
        found = next(iter(sorted(self.root.glob("usr/lib/*/asterisk/modules"))), None)
        return "/" + str((found or self.root / "usr/lib/asterisk/modules").relative_to(self.root))

    def _command(self, *arguments: str) -> list[str]:
        return ["chroot", str(self.root), "/usr/sbin/asterisk", "-C", f"{self.plan.folder}/etc/asterisk.conf", *arguments]

    def _start(self) -> None:
        (self.home / "run" / "asterisk.ctl").unlink(missing_ok=True)
        with (self.home / "log" / "console").open("ab") as console:
            self._process = spawn(self._command("-f"), stdout=console, stderr=console)
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise LabError(f"Asterisk ended at once with status {self._process.returncode}", hint=self._last_words())
            if (self.home / "run" / "asterisk.ctl").exists() and "fully booted" in self.cli("core waitfullybooted"):
                return
            time.sleep(0.05)
        raise LabError(f"Asterisk is not up after {START_S:.0f} s", hint=self._last_words())

    def _last_words(self) -> str:
        console = self.home / "log" / "console"
        lines = [x for x in (console.read_text(errors="replace").splitlines() if console.exists() else []) if x.strip()]
        return " / ".join(lines[-3:]) or f"see {self.home}/log"

    def cli(self, command: str) -> str:
        """One command on Asterisk's console; its output, "" while Asterisk does not answer."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            done = subprocess.run(self._command("-rx", command), capture_output=True, text=True, check=False, timeout=10)
            if done.returncode == 0:
                return done.stdout
        return ""

    def stop(self) -> None:
        """End it and remove its folders. Safe to call twice."""
        if self._process is not None:
            end(self._process, first=signal.SIGKILL)
            self._process = None
        shutil.rmtree(self.home, ignore_errors=True)

    def kill(self) -> None:
        """The dialer dies: kill -9, nothing is said to anyone."""
        if self._process is not None:
            end(self._process, first=signal.SIGKILL)
            self._process = None

    def restart(self, *, graceful: bool = False, forget: bool = True, away_s: float = AWAY_S) -> float:
        """Kill it (or stop it as an operator does), start it again; the seconds it was away, at least `away_s`.

        With `forget` it comes back without its registrations, so that every phone has to register anew: the harder
        case, as after the dialer's database was repaired.
        """
        began = time.monotonic()
        if graceful and self._process is not None:
            self.cli("core stop now")
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(5)
        self.kill()
        if forget:
            for path in (self.home / "db").iterdir():
                path.unlink()
        time.sleep(max(0.0, away_s - (time.monotonic() - began)))
        self._start()
        return time.monotonic() - began

    def registered(self, extension: str | None = None) -> bool:
        """Is this phone (the first by default) registered?"""
        name = extension or self.phone.extension
        if self.pjsip:
            return bool(re.search(rf"^\s*Contact:\s+{name}/sip:", self.cli("pjsip show contacts"), re.MULTILINE))
        return bool(re.search(r"^\s*Addr->IP\s*:\s*[0-9.]+", self.cli(f"sip show peer {name}"), re.MULTILINE))

    def wait_registered(self, timeout_s: float = 15.0, extension: str | None = None) -> float:
        """Seconds until the phone was registered. Raises LabError when it is not in time."""
        began = time.monotonic()
        while not self.registered(extension):
            if time.monotonic() - began > timeout_s:
                raise LabError(f"phone {extension or self.phone.extension} did not register in {timeout_s:.0f} s")
            time.sleep(0.05)
        return time.monotonic() - began

    def call(self, number: str, caller_id_name: str, phone: Phone | None = None) -> None:
        """Have the dialer call the customer `number` and, when answered, bring the customer to the phone."""
        text = call_file(number, caller_id_name, phone or self.phone, pjsip=self.pjsip)
        made = self.home / "spool" / "tmp" / f"{caller_id_name}-{number}.call"
        made.write_text(text)
        made.rename(self.home / "spool" / "outgoing" / made.name)

    def voicemail_hits(self) -> list[MailboxHit]:
        """Everyone who landed in a phone's voicemail since the start, restarts included."""
        path = self.home / VOICEMAIL_HITS
        return list(self._hits(path.read_text())) if path.exists() else []

    @staticmethod
    def _hits(text: str) -> Iterator[MailboxHit]:
        for line in text.splitlines():
            extension, *middle, status = line.split()
            name, number = (["", "", *middle])[-2:]
            yield MailboxHit(extension, name, number, status)

    def channels(self) -> int:
        """How many channels are up."""
        found = re.search(r"^(\d+) active channels?", self.cli("core show channels count"), re.MULTILINE)
        return int(found.group(1)) if found else 0

    def log(self) -> str:
        """The full log so far."""
        path = self.home / "log" / "full"
        return path.read_text(errors="replace") if path.exists() else ""
