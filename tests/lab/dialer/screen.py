"""A campaign day on a terminal: a line per call as it ends, then a table. Also readable as a log file."""

from __future__ import annotations

from typing import Any

from rich.table import Table
from rich.text import Text

from appliance.api import wire
from tests.lab.dialer.judge import ZEROES
from tests.lab.show import Show


class Screen:
    def __init__(self, show: Show) -> None:
        self._show = show
        self.step = show.step

    def ended(self, number: str, persona: str, call: wire.CallEnded) -> None:
        """One call of the day, with the outcome as the box tells it."""
        line = Text.assemble(("call ", "dim"), (number[-4:], "cyan"), f"  {_short(persona):<16}{call.duration_s:6.1f} s  ")
        line.append(call.outcome, "bold")
        if call.transferred:
            line.append("  handed over", "green")
        self._show.step(line)

    def alarm(self, alarm: wire.Alarm) -> None:
        self._show.step(Text.assemble(("alarm ", "bold yellow"), f"{alarm.kind}: {alarm.message}"))

    def summary(self, data: dict[str, Any], misunderstood: int) -> None:
        self._show.out.rule(style="dim")
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
        table.add_column("persona")
        table.add_column("calls", justify="right")
        table.add_column("statuses in the dialer's log")
        for name, statuses in data["by_persona"].items():
            each = "  ".join(f"{status} {count}" for status, count in statuses.items())
            table.add_row(_short(name), str(sum(statuses.values())), each)
        self._show.out.print(table)
        self._show.out.print()
        minutes, seconds = divmod(round(data["seconds"]), 60)
        self._show.figure("calls", f"{data['calls']}, {data['answered']} answered, in {minutes}:{seconds:02} min")
        self._show.figure("transfers", str(data["transfers"]))
        self._show.figure("understood", f"{misunderstood} calls came to something else than their persona wants")
        for name in ZEROES:
            self._show.figure("", f"{data[name]:4}  {name.replace('_', ' ')}", "green" if data[name] == 0 else "bold red")


def _short(persona: str) -> str:
    return persona.rpartition("/")[2]
