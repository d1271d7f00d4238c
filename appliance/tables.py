"""What the `sidetone` command prints for people."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from appliance.api.verdict import Level, Verdict
from appliance.api.wire import DialerHealth, RegistrationState, Status
from appliance.store.transcript import CallRecord

_REGISTRATION_STYLE = {
    RegistrationState.REGISTERED: "green",
    RegistrationState.TRYING: "yellow",
    RegistrationState.OFF: "yellow",
}
_LEVEL_STYLE = {Level.OK: "green", Level.WARNING: "yellow", Level.CRITICAL: "red"}
_FILE_WIDTH = 1000  # what is piped is not folded


def print_status(status: Status, verdict: Verdict) -> None:
    """One screen: is it well and what is wrong, first and in one line; what it is; what is up."""
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
    out.print(f"Store         {'[green]good[/]' if status.store.healthy else f'[red]{_plain(status.store.detail)}[/]'}")
    out.print(f"Dialer        {_dialer(status.dialer)}")
    media = status.media
    out.print(f"Media         {media.late_frames} late frames, {media.underruns} underruns, {media.overruns} overruns")
    out.print(f"Calls         {len(status.calls)} of {status.lines} lines")
    for call in status.calls:
        out.print(f"  {call.call}  {_plain(call.caller_number):15} since {call.started_at}  {call.state}")


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


def _console() -> Console:
    return Console(highlight=False, width=None if sys.stdout.isatty() else _FILE_WIDTH)


def _plain(text: str) -> str:
    """Text of the world: neither markup nor control codes of the terminal may be in it."""
    return escape("".join(c if c.isprintable() else "?" for c in text))
