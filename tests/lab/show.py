"""The lab on a terminal: the conversation as it happens, then the figures. Also readable as a log file."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from appliance.api import wire
from tests.lab.bench import CallRecord
from tests.lab.meter import Report, percentiles

WIDTH = 80
MOST_PATHS = 3  # calls; of more, the folder is named


def console(*, to_stderr: bool = False) -> Console:
    """80 columns where there is no terminal; the terminal's own width otherwise, up to 110."""
    made = Console(stderr=to_stderr, highlight=False, soft_wrap=False)
    made.width = min(made.width, 110) if made.is_terminal else WIDTH
    return made


class Show:
    """Prints a run. Times are minutes and seconds of the call."""

    def __init__(self, out: Console) -> None:
        self.out = out
        self._began = time.monotonic()

    def step(self, text: str | Text) -> None:
        """A stage of setting up, with the seconds since the start."""
        self.out.print(Text.assemble((f"{time.monotonic() - self._began:6.1f} s  ", "dim"), text), soft_wrap=True)

    def calling(self, record: CallRecord) -> None:
        persona = record.persona
        text = Text.assemble(("calling ", "bold"), (record.number, "bold cyan"), f" as {record.caller_id}\n")
        text.append(f"         {persona.name}: {persona.about}", "dim")
        self.out.print(text)

    def turn(self, record: CallRecord, turn: wire.TurnHappened, gap_ms: float | None, *, label: bool) -> None:
        """One line of the conversation."""
        style = {"agent": "green", "caller": "yellow"}.get(turn.who, "")
        grid = Table.grid(padding=(0, 1))
        grid.add_column(width=7, no_wrap=True)
        if label:
            grid.add_column(width=4, no_wrap=True)
        grid.add_column(width=6, no_wrap=True)
        grid.add_column(ratio=1)
        grid.add_column(width=9, justify="right", no_wrap=True)
        grid.expand = True
        minutes, seconds = divmod(turn.start_s, 60)
        words = Text(turn.text or "(nothing)")
        if turn.cut:
            words.append(" —", "bold")
        cells = [Text(f"{int(minutes):02}:{seconds:04.1f}", "dim"), Text(turn.who, style), words, _gap(gap_ms)]
        if label:
            cells.insert(1, Text(record.number[-4:], "cyan"))
        grid.add_row(*cells)
        self.out.print(grid)

    def ended(self, record: CallRecord, *, label: bool) -> None:
        if record.ended is None:
            return
        good = record.ended.outcome in record.persona.outcomes
        text = Text.assemble("call ", (record.number[-4:], "cyan")) if label else Text("call")
        text.append(f" over after {record.ended.duration_s:.1f} s: ")
        text.append(record.ended.outcome, "bold green" if good else "bold red")
        self.out.print(text)
        if record.ended.slots:
            slots = Text("  ".join(f"{key}={value}" for key, value in record.ended.slots.items()), "dim")
            self.out.print(Padding(slots, (0, 0, 0, 13 if label else 8)))

    def summary(self, records: list[CallRecord], reports: list[Report], voicemail_hits: int) -> None:
        self.out.rule(style="dim")
        gaps = percentiles([gap.gap_ms for report in reports for gap in report.gaps])
        cut, judged = sum(len(r.cut_offs) for r in reports), sum(r.judged for r in reports)
        figures = "no turn was answered"
        if gaps["n"]:
            figures = f"p50 {gaps['p50']} ms  p95 {gaps['p95']} ms  max {gaps['max']} ms  in {gaps['n']} turns, on the wire"
        self.figure("response gap", figures)
        self.figure("cut-offs", f"{cut} of {judged} caller turns")
        for record, report in zip(records, reports, strict=True):
            for turn in report.discarded:
                self.figure("", f"turn {turn.turn + 1} of {record.number} not measured: {turn.reason}", "dim")
        late = max((r.lateness.p99_ms for r in reports), default=0.0)
        wait = max((r.wait.seconds for r in reports), default=0.0)
        self.figure("silence", f"{wait:.1f} s at the longest while it was the agent's turn")
        self.figure("agent audio", f"p99 {late:.0f} ms late at the caller")
        self.figure("voicemail", f"{voicemail_hits} callers landed in the phone's voicemail box")
        ended = [record.ended for record in records if record.ended is not None]
        if len(ended) > MOST_PATHS:
            folders = sorted({str(_shown(Path(one.recording).parent)) for one in ended if one.recording})
            for folder in folders:
                self.figure("recordings", folder)
            return
        for one in ended:
            for what, path in (("recording", one.recording), ("transcript", one.transcript)):
                if path:
                    self.figure(what, str(_shown(Path(path))))

    def figure(self, what: str, text: str, style: str = "") -> None:
        """One aligned line; a path is never broken, so that it can be copied."""
        self.out.print(Text.assemble((f"{what:<14}", "bold"), (text, style)), soft_wrap=True)

    def aftermaths(self, rows: list[dict[str, Any]]) -> None:
        """What every caller met after every kill."""
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
        for title in ("killed while", "call", "back", "silence", "heard again", "new sentence", "turns"):
            table.add_column(title, justify="left" if title in ("killed while", "call") else "right", no_wrap=True)
        for row in rows:
            times = [row[key] for key in ("worker_back_s", "silence_s", "heard_again_s", "new_sentence_s")]
            table.add_row(
                Text(row["moment"], "bold" if row["chosen"] else "dim"),
                row["call"][-4:],
                *("never" if time_s is None else f"{time_s:.1f} s" for time_s in times),
                str(row["turns_after"]),
            )
        self.out.print(table)

    def problems(self, problems: list[str]) -> None:
        for problem in problems:
            self.out.print(Text.assemble(("failed        ", "bold red"), problem), soft_wrap=True)

    def passed(self) -> None:
        self.out.print(Text("all as it should be", "bold green"))


def _shown(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _gap(gap_ms: float | None) -> Text:
    if gap_ms is None:
        return Text("")
    return Text(f"{gap_ms:.0f} ms", "green" if gap_ms <= 500 else "yellow" if gap_ms <= 1000 else "red")
