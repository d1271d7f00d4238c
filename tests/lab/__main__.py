"""`python -m tests.lab`: list the scenarios, run one, or place a call and watch it."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from types import FrameType
from typing import NoReturn

from rich.table import Table
from rich.text import Text

from appliance.errors import SidetoneError
from tests.lab import persona
from tests.lab.asterisk.server import DIALERS, default_dialer
from tests.lab.scenarios import SCENARIOS
from tests.lab.show import Show, console
from tests.lab.talk import Options, talk


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="lab", description="A real dialer, customers who talk, and a meter on the wire.")
    parser.add_argument("what", nargs="?", default="list", metavar="list|run|NAME", help="run: place calls")
    parser.add_argument("--persona", default="interested", choices=persona.names(), help="who is called (%(default)s)")
    parser.add_argument(
        "--calls", type=int, default=1, metavar="N", help="how many at once, of a campaign day in all (%(default)s)"
    )
    parser.add_argument("--dialer", default=default_dialer(), choices=sorted(DIALERS), help="(%(default)s)")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line of standard output")
    return parser


def _list(show: Show) -> None:
    for title, rows in (
        ("scenarios", [(name, (scenario.__doc__ or "").splitlines()[0]) for name, scenario in SCENARIOS.items()]),
        ("personas", [(name, persona.load(name).about) for name in persona.names()]),
    ):
        table = Table(title=title, title_justify="left", box=None, show_header=False, padding=(0, 2, 0, 0))
        for name, about in rows:
            table.add_row(Text(name, "cyan"), about)
        show.out.print(table)
        show.out.print()
    show.out.print("./build.sh lab NAME runs a scenario; ./build.sh run --persona NAME calls somebody")


def _interrupted(number: int, frame: FrameType | None) -> NoReturn:
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, signal.SIG_IGN)  # an impatient second one must not stop the tidying up
    raise KeyboardInterrupt


def main() -> int:
    """0: all calls went as they should. 1: some did not. 2: usage. 3: the lab itself could not. 130: interrupted."""
    args = _parser().parse_args()
    for number in (signal.SIGTERM, signal.SIGINT):  # a shell starts background jobs with SIGINT ignored
        signal.signal(number, _interrupted)
    show = Show(console(to_stderr=args.json))
    options = Options(show, dialer=args.dialer, persona=args.persona, calls=max(1, args.calls))
    if args.what == "list":
        _list(show)
        return 0
    if args.what != "run" and args.what not in SCENARIOS:
        print(f"error: no scenario is called '{args.what}'\n  hint: one of {', '.join(SCENARIOS)}", file=sys.stderr)
        return 2
    try:
        verdict = talk(options) if args.what == "run" else SCENARIOS[args.what](options)
    except SidetoneError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        show.step("stopped")
        return 130
    if verdict.problems:
        show.problems(verdict.problems)
    else:
        show.passed()
    if args.json:
        print(json.dumps(verdict.data if args.what == "run" else {**verdict.data, "problems": verdict.problems}), flush=True)
    return 1 if verdict.problems else 0


if __name__ == "__main__":
    sys.exit(main())
