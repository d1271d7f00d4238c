"""Calls from start to end with the conversation shown: what `run` does, and what most scenarios build on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from appliance.api import wire
from tests.lab.asterisk.server import default_dialer
from tests.lab.bench import Bench, CallRecord, Happening, gaps_of_turns
from tests.lab.meter import Report
from tests.lab.results import run_result
from tests.lab.show import Show

LIVE_CALLS = 3  # more at once, and the meter waits for the end


@dataclass
class Verdict:
    """A scenario's end: `problems` empty means passed; `data` is what `--json` prints."""

    problems: list[str] = field(default_factory=list)
    data: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Options:
    """What the command line chose."""

    show: Show
    dialer: str = field(default_factory=default_dialer)
    persona: str = "interested"
    calls: int = 1


OnTurn = Callable[[Bench, CallRecord, wire.TurnHappened], None]
OnEvent = Callable[[CallRecord | None, Happening], None]


def follow(
    bench: Bench,
    show: Show,
    *,
    on_turn: OnTurn | None = None,
    on_event: OnEvent | None = None,
    until: Callable[[], bool] | None = None,
) -> None:
    """Show the placed calls until they are over. `on_turn` may act on each turn (kill something, say), `on_event` on all."""
    label = len(bench.records) > 1
    for record, happening in bench.follow(until=until or bench.all_over):
        if on_event is not None:
            on_event(record, happening)
        match happening:
            case wire.TurnHappened() if record is not None:
                live = happening.who == "agent" and len(bench.active()) <= LIVE_CALLS
                gap = gaps_of_turns(record, bench.report(record))[-1] if live else None
                show.turn(record, happening, gap, label=label)
                if on_turn is not None:
                    on_turn(bench, record, happening)
            case wire.CallEnded() if record is not None:
                show.ended(record, label=label)
            case wire.EngineChanged(engine=engine):
                show.step(f"{engine.engine} worker {'up' if engine.up else 'lost'}")
            case wire.RegistrationChanged(registration=registration):
                show.step(f"registration: {registration.state}{' ' + registration.detail if registration.detail else ''}")


def conclude(bench: Bench, show: Show, *, expect: bool = True, mailbox_ok: bool = False) -> tuple[Verdict, list[Report]]:
    """Figures and verdict of the calls of a bench; with `expect`, every call must be as its persona wants it.

    Somebody in the phone's voicemail box is a failure, unless `mailbox_ok`.
    """
    reports = [bench.report(record) for record in bench.records]
    hits = bench.asterisk.voicemail_hits()
    show.summary(bench.records, reports, len(hits))
    problems = [f"{r.number} ({r.persona.name}): {p}" for r in bench.records for p in r.problems()] if expect else []
    if hits and not mailbox_ok:
        problems.append(f"{len(hits)} callers landed in the voicemail box")
    return Verdict(problems, run_result(bench, reports)), reports


def bring_up(options: Options, people: list[str], *, drain_s: float = 60.0, lines: int = 0) -> Bench:
    """Start everything, telling what is being done."""
    options.show.step(f"starting {options.dialer}, {len(people)} customer{'s' if len(people) > 1 else ''} and the appliance")
    bench = Bench(people, dialer=options.dialer, drain_s=drain_s, lines=lines)
    options.show.step(f"the appliance is registered as phone {bench.asterisk.phone.extension} at {bench.asterisk.address}")
    return bench


def talk(options: Options, people: list[str] | None = None) -> Verdict:
    """One call per person, all at once."""
    people = people or [options.persona] * options.calls
    with bring_up(options, people) as bench:
        for record in bench.records:
            options.show.calling(record)
        bench.place_all()
        follow(bench, options.show)
        return conclude(bench, options.show)[0]
