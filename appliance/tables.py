"""What the `sidetone` command prints for people."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import datetime, timedelta

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from appliance.api.verdict import Level, Verdict
from appliance.api.wire import DialerHealth, RegistrationState, Status
from appliance.calls.shadow import ShadowReport
from appliance.dialers.protocol import Entry
from appliance.doctor.findings import Finding, exit_code
from appliance.doctor.findings import Level as Found
from appliance.reconcile import Reconciliation
from appliance.store.outbox import Closed
from appliance.store.transcript import CallRecord

_REGISTRATION_STYLE = {
    RegistrationState.REGISTERED: "green",
    RegistrationState.TRYING: "yellow",
    RegistrationState.OFF: "yellow",
}
_FOUND_STYLE = {Found.PASS: "green", Found.WARN: "yellow", Found.FAIL: "red", Found.SKIP: "dim"}
_LEVEL_STYLE = {Level.OK: "green", Level.WARNING: "yellow", Level.CRITICAL: "red"}
ALARMS_SHOWN = 5
ALARMS_SHOWN_FOR = timedelta(hours=24)
_FILE_WIDTH = 1000  # what is piped is not folded


def print_status(status: Status, verdict: Verdict, now: datetime) -> None:
    """One screen: is it well and what is wrong, first and in one line; what it is; what is up; what happened lately."""
    out = _console()
    problems = f": {_plain('; '.join(verdict.problems))}" if verdict.problems else ""
    out.print(f"[{_LEVEL_STYLE[verdict.level]}]{verdict.level.name}[/]{problems}")
    style = _REGISTRATION_STYLE.get(status.registration.state, "red")
    detail = f"  {_plain(status.registration.detail)}" if status.registration.detail else ""
    out.print(f"Sidetone {status.version}, since {status.started_at}{', draining' if status.draining else ''}")
    out.print(f"Registration  [{style}]{status.registration.state.value}[/]{detail}")
    for engine in status.engines:
        names = ", ".join(f"{part} {name}" for part, name in engine.backends.items())
        state = "[green]up[/]" if engine.up else "[red]down[/]"
        restarts = f", {engine.restarts} restarts" if engine.restarts else ""
        out.print(f"{engine.engine.capitalize():13} {state}  {names}{restarts}")
    store = status.store
    good = "[green]good[/]" if store.healthy else f"[red]{_plain(store.detail)}[/]"
    lost = f", lost {store.lost_rows} rows and {store.lost_audio_s:.0f} s of audio"
    out.print(f"Store         {good}{lost if store.lost_rows or store.lost_audio_s else ''}")
    out.print(f"Dialer        {_dialer(status.dialer)}")
    media = status.media
    out.print(f"Media         {media.late_frames} late frames, {media.underruns} underruns, {media.overruns} overruns")
    refused = f", {status.refused_invites} of strangers were refused" if status.refused_invites else ""
    out.print(f"Calls         {len(status.calls)} of {status.lines} lines{refused}")
    for call in status.calls:
        out.print(f"  {call.call}  {_plain(call.caller_number):15} since {call.started_at}  {call.state}")
    lately = [alarm for alarm in status.alarms if now - datetime.fromisoformat(alarm.at) <= ALARMS_SHOWN_FOR]
    for alarm in lately[:ALARMS_SHOWN]:
        out.print(f"Alarm         {alarm.at}  [yellow]{_plain(alarm.kind)}[/]  {_plain(alarm.message)}")


def _dialer(dialer: DialerHealth) -> str:
    if dialer.locked:
        state = "[red]locked[/]"
    elif dialer.reachable is None:
        state = "[green]up[/]" if dialer.kind == "pbx" else "not asked yet"
    else:
        state = "[green]up[/]" if dialer.reachable else "[red]down[/]"
    parts = [state, f"kind {dialer.kind}"]
    parts += ["shadow mode: nothing is said or written"] if dialer.shadow else []
    parts += [f"asked for {dialer.lines} lines"] if dialer.lines is not None else []
    parts += [f"{dialer.outbox} owed, {dialer.outbox_parked} parked"] if dialer.kind == "vicidial" else []
    parts += [f"[red]{dialer.mailbox} in the voicemail box[/]"] if dialer.mailbox else []
    parts += [_plain(dialer.detail)] if dialer.detail else []
    return "  ".join(parts)


def print_calls(calls: Sequence[CallRecord]) -> None:
    """The latest calls, the newest first."""
    if not calls:
        print("No calls yet.")
        return
    table = Table(box=None, pad_edge=False)
    for title in ("Started", "Caller", "Outcome", "Length", "Transcript"):
        table.add_column(title, justify="right" if title == "Length" else "left", overflow="fold")
    for call in calls:
        length = f"{call.duration_s:.0f} s" if call.duration_s is not None else ""
        table.add_row(call.started_at, _plain(call.caller_number), call.outcome or "up", length, _plain(call.transcript or ""))
    _console().print(table)


def print_outbox(owed: Sequence[Entry], closed: Sequence[Closed], now: float) -> None:
    """What is owed to the dialer, the oldest first; before it what no longer is. `now` is seconds since 1970."""
    if not owed and not closed:
        print("nothing is owed to the dialer")
        return
    table = Table(box=None, pad_edge=False)
    for title in ("Id", "Age", "What", "Lead", "Call", "Tries", "Next try", "Last answer"):
        table.add_column(title, justify="right" if title in ("Id", "Age", "Lead", "Tries") else "left", overflow="fold")
    rows = [(each.entry, f"[green]{each.what.value}[/]") for each in closed]
    rows += [(entry, _next_try(entry, now)) for entry in owed]
    for entry, state in rows:
        table.add_row(
            str(entry.id),
            _length(now - entry.created_at),
            entry.kind.value,
            str(entry.lead_id or ""),
            _plain(entry.call_id),
            str(entry.attempts),
            state,
            _plain(entry.error),
        )
    _console().print(table)


def print_finding(finding: Finding) -> None:
    """One line of the doctor's, and what to do about it below."""
    out = _console()
    out.print(
        f"[{_FOUND_STYLE[finding.level]}]{finding.level.value.upper():4}[/]  {_plain(finding.check):33} {_plain(finding.found)}"
    )
    if finding.todo:
        out.print(f"{'':40}-> {_plain(finding.todo)}", style="dim")


def print_findings_end(findings: Sequence[Finding]) -> None:
    """The last line: how many of each."""
    counts = ", ".join(f"{n} {level.value}" for level in Found if (n := sum(f.level is level for f in findings)))
    _console().print(f"{counts}: {'calls can come' if exit_code(findings) == 0 else 'see above what to do'}")


def print_reconciliation(found: Reconciliation) -> None:
    """The differences, then the counts."""
    out = _console()
    if found.differences:
        table = Table(box=None, pad_edge=False)
        for title in ("Started", "Call", "What", "Ours", "Theirs", "What to do"):
            table.add_column(title, overflow="fold")
        for each in found.differences:
            row = (each.started_at, each.call_id, each.what, each.ours, each.theirs, each.todo)
            table.add_row(*map(_plain, row))
        out.print(table)
    out.print(
        f"{found.agreed} of {found.checked} calls agree; not compared: {found.owed} still owed, {found.unknown} without the"
        f" dialer's id, {found.shadow} of shadow mode"
    )


def print_shadow(report: ShadowReport, waiting: int) -> None:
    """How often which of our statuses met which of a human's, then the sum of it."""
    out = _console()
    if report.pairs:
        table = Table(box=None, pad_edge=False)
        for title in ("Ours", "Human's", "Calls"):
            table.add_column(title, justify="right" if title == "Calls" else "left")
        for (ours, human), calls in report.pairs.items():
            style = "green" if ours == human else "dim" if not ours else "yellow"
            table.add_row(_plain(ours) or "no opinion", _plain(human), str(calls), style=style)
        out.print(table)
    share = "nothing to compare" if report.agreement is None else f"{report.agreement:.0%} agreement"
    judged = f"{report.calls} calls, {report.no_opinion} without an opinion: {share}"
    out.print(f"{judged}; {waiting} wait for a human's status")


def _next_try(entry: Entry, now: float) -> str:
    if entry.parked:
        return "[red]parked[/]"
    wait_s = entry.not_before - now
    return f"in {_length(wait_s)}" if wait_s > 0 else "due"


def _length(seconds: float) -> str:
    """ "40 s", "5 min", "3 h", "2 days"; counted down."""
    if seconds < 120:
        return f"{max(0.0, seconds):.0f} s"
    if seconds < 7200:
        return f"{int(seconds // 60)} min"
    return f"{int(seconds // 3600)} h" if seconds < 172800 else f"{int(seconds // 86400)} days"


def _console() -> Console:
    return Console(highlight=False, width=None if sys.stdout.isatty() else _FILE_WIDTH)


def _plain(text: str) -> str:
    """Text of the world: neither markup nor control codes of the terminal may be in it."""
    return escape("".join(c if c.isprintable() else "?" for c in text))
