"""The whole examination, in the order in which things depend on each other: what cannot be looked at is skipped."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection

from appliance.api.client import ApiClient
from appliance.api.wire import RegistrationState, Status
from appliance.calls.campaign import Campaign
from appliance.config.settings import DialerKind, Settings
from appliance.dialers.protocol import DialerCall
from appliance.dialers.vicidial.client import Client
from appliance.dialers.vicidial.dialer import VicidialDialer
from appliance.doctor import box, table, vicidial
from appliance.doctor.findings import Finding, Level
from appliance.doctor.line import examine_line, mailbox
from appliance.doctor.queue import examine_queue
from appliance.errors import ApiError, NotRunningError, StoreError
from appliance.store.database import database_path
from appliance.store.history import recent_calls
from appliance.store.outbox import outbox_path, read_outbox

CALLS = 50


class Examination:
    """`tell` gets each finding as soon as it is known. `confirmed` are statuses that an operator has seen on the dialer."""

    def __init__(
        self, settings: Settings, campaign: Campaign, tell: Callable[[Finding], None], *, confirmed: Collection[str] = ()
    ) -> None:
        self._settings = settings
        self._campaign = campaign
        self._tell_out = tell
        self._confirmed = confirmed
        self.findings: list[Finding] = []

    def _tell(self, *findings: Finding) -> None:
        for finding in findings:
            self.findings.append(finding)
            self._tell_out(finding)

    def run(self, *, extension: str | None = None, call: bool = True) -> list[Finding]:
        """`extension`: what to dial for the test call, where it is not sip.username. Blocks, for a minute at most."""
        sip, kind = self._settings.sip, self._settings.dialer.kind
        self._tell(Finding("settings", Level.PASS, f"good; campaign '{self._campaign.name}'"))
        running = self._running()
        self._tell(box.resolved("registrar's name", sip.registrar.split(":")[0], "sip.registrar"))
        free = True
        if kind is DialerKind.VICIDIAL:
            free = self._vicidial(extension or sip.username, running=running is not None)
        elif kind is DialerKind.QUEUE and self._settings.dialer.queue is not None:
            self._tell(asyncio.run(examine_queue(self._settings.dialer.queue)))
        if running is not None:
            self._registered(running)
        elif free:
            self._line(extension or sip.username, call=call)
        else:
            self._tell(
                Finding("registration", Level.SKIP, "not tried: a customer's call could come to a phone that only tests")
            )
        self._kept()
        return self.findings

    def _running(self) -> Status | None:
        """The daemon's status while it runs."""
        path = self._settings.paths.runtime / "api.sock"
        try:
            return asyncio.run(ApiClient(path).status())
        except NotRunningError:
            return None
        except ApiError as error:
            self._tell(Finding("daemon", Level.FAIL, error.message, error.hint))
            return None

    def _registered(self, status: Status) -> None:
        state, detail = status.registration.state, status.registration.detail
        told = "sidetone runs: its own registration and no test call"
        self._tell(Finding("test call", Level.SKIP, told, "stop it first where audio is to be tested: sidetone drain"))
        if state is RegistrationState.REGISTERED:
            self._tell(Finding("registration", Level.PASS, detail))
        else:
            self._tell(Finding("registration", Level.FAIL, f"{state.value}: {detail}", "see sidetone status"))
        self._tell(mailbox(status.dialer.mailbox))

    def _vicidial(self, extension: str, *, running: bool) -> bool:
        """Whether a phone may register now: not where a customer's call would certainly come to it."""
        settings, dialer = self._settings.dialer, self._settings.dialer.vicidial
        assert dialer is not None  # the settings say so
        self._tell(table.extension(extension), table.dispositions(settings, self._campaign))
        self._tell(table.statuses(settings, self._campaign, self._confirmed))
        name = box.resolved("API's name", dialer.url.host or "", "dialer.vicidial.url")
        self._tell(name)
        if name.level is Level.FAIL:
            return True
        free, findings = asyncio.run(self._api(running=running))
        self._tell(*findings)
        return free

    async def _api(self, *, running: bool) -> tuple[bool, list[Finding]]:
        site, lines = self._settings.dialer.vicidial, self._settings.capacity.lines
        assert site is not None
        shadow = self._settings.dialer.shadow
        client = Client(site, read_only=shadow)
        try:
            report = await vicidial.examine_api(client, site, lines, running=running, shadow=shadow)
        finally:
            await client.close()
        return not report.busy, report.findings

    def _line(self, extension: str, *, call: bool) -> None:
        report = examine_line(self._settings.sip, extension, call=call)
        self._tell(*report.findings)
        if report.strays and self._settings.dialer.shadow:
            told = "nobody is sent on in shadow mode: the call is a copy, its customer talks to somebody else"
            self._tell(Finding("rescue", Level.SKIP, told))
        elif report.strays and self._settings.dialer.vicidial is not None:
            self._tell(*asyncio.run(self._rescue(report.strays)))

    async def _rescue(self, strays: list[DialerCall]) -> list[Finding]:
        settings = self._settings
        assert settings.dialer.vicidial is not None
        dialer = VicidialDialer(settings.dialer.vicidial, lines=settings.capacity.lines)
        try:
            return await vicidial.rescue(dialer, strays, settings.dialer.status_of("transferred") or "XFER")
        finally:
            await dialer.close()

    def _kept(self) -> None:
        """What the box keeps: past calls, and what it owes."""
        paths, is_vicidial = self._settings.paths, self._settings.dialer.kind is DialerKind.VICIDIAL
        if not is_vicidial:
            return
        if database_path(paths).exists():
            try:
                self._tell(box.correlation(recent_calls(database_path(paths), CALLS)))
            except StoreError as error:
                self._tell(Finding("correlation", Level.FAIL, error.message, error.hint))
        else:
            self._tell(box.correlation([]))
        if not outbox_path(paths).exists():
            self._tell(Finding("outbox", Level.PASS, "nothing was ever owed to the dialer"))
            return
        try:
            owed = read_outbox(outbox_path(paths))
        except StoreError as error:
            self._tell(Finding("outbox", Level.FAIL, error.message, error.hint))
            return
        waiting = [entry for entry in owed if not entry.parked]
        oldest_s = time.time() - min((entry.created_at for entry in waiting), default=time.time())
        self._tell(box.outbox(len(waiting), len(owed) - len(waiting), oldest_s))
