"""The `sidetone` command."""

from __future__ import annotations

import argparse
import asyncio
import functools
import json
import logging
import math
import sys
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TypeVar

from appliance import __version__
from appliance.errors import ApiError, BackendError, ConfigError, SeveralErrors, SidetoneError

if TYPE_CHECKING:
    from appliance.calls.campaign import Campaign
    from appliance.config.load import Loaded
    from appliance.config.settings import Engines, Settings, Vicidial
    from appliance.dialers.vicidial.client import Client
    from appliance.store.transcript import CallRecord

_Answer = TypeVar("_Answer")

DEFAULT_CONFIG = Path("/etc/sidetone/sidetone.toml")


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run the command and exit: 0 well, 1 a fault of the world, 2 a fault in configuration or usage."""
    parser = _parser()
    args = parser.parse_args(argv)
    if args.command is None:
        parser.print_help(sys.stderr)
        sys.exit(2)
    try:
        code = args.command(args)
    except SidetoneError as error:
        _complain(error)
        code = error.exit_code
    except BrokenPipeError:  # whoever read our output has seen enough
        sys.stderr.close()
        code = 141
    except KeyboardInterrupt:
        code = 130
    sys.exit(code)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="sidetone", description="A voice agent that survives real phone calls.")
    parser.set_defaults(command=None)
    parser.add_argument("--version", action="version", version=f"sidetone {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")

    def command(name: str, function: object, text: str, epilog: str = "") -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.", epilog=epilog)
        sub.set_defaults(command=function)
        return sub

    def with_config(sub: argparse.ArgumentParser) -> argparse.ArgumentParser:
        sub.add_argument("--config", type=Path, default=DEFAULT_CONFIG, metavar="FILE", help="settings (%(default)s)")
        return sub

    run = with_config(command("run", _run, "register with the dialer and take calls until stopped"))
    run.add_argument("-v", "--verbose", action="store_true", help="log more")
    with_config(command("check", _check, "check settings and campaign, and say everything that is wrong with them"))
    exit_codes = (
        "The exit code suits monitoring: 0 registered and healthy; 1 look at it: registering, draining, or calls are not "
        "kept; 2 callers are lost: not registered, an engine is down, or nothing runs here."
    )
    status = with_config(
        command("status", _status, "show what the running appliance is doing, and whether it is well", exit_codes)
    )
    status.add_argument("--json", action="store_true", help="as one JSON object")
    calls = with_config(command("calls", _calls, "list the latest calls"))
    calls.add_argument("-n", type=_positive, default=20, metavar="N", help="how many (%(default)s)")
    calls.add_argument("--json", action="store_true", help="as one JSON array")

    drain = with_config(command("drain", _drain, "ask the running appliance to take no new calls and stop after the last one"))
    drain.add_argument(
        "--limit", type=_limit, metavar="S", help="seconds that running calls may go on (limits.drain_s of the settings)"
    )

    _dialer_commands(command, with_config)

    bench = command("bench", None, "measure this machine").add_subparsers(title="benches", required=True, metavar="BENCH")
    media = bench.add_parser("media", help="own media path under load, with engines that do no work")
    media.set_defaults(command=_bench_media)
    media.add_argument(
        "--calls", type=_counts, default="10,32", metavar="N,N", help="how many calls, one run each (%(default)s)"
    )
    media.add_argument("--seconds", type=_seconds, default=15.0, metavar="S", help="how long each run measures (%(default)s)")
    media.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    return parser


def _dialer_commands(
    command: Callable[..., argparse.ArgumentParser], with_config: Callable[[argparse.ArgumentParser], argparse.ArgumentParser]
) -> None:
    """What concerns the dialer and not the calls that are up."""
    owed = "The exit code is 1 when something is parked or older than five minutes, else 0."
    outbox = with_config(command("outbox", _outbox, "list what is owed to the dialer, or try again what was parked", owed))
    outbox.add_argument(
        "action",
        nargs="?",
        choices=["retry"],
        help="try again what was parked; everything, after a password was corrected on the dialer",
    )
    outbox.add_argument("--all", action="store_true", help="also what was delivered in the last 30 days")
    outbox.add_argument("--json", action="store_true", help="as one JSON array")

    found = "The exit code is a monitoring plugin's: 0 all is well, 1 a warning, 2 something fails, 3 nothing could be seen."
    doctor = with_config(command("doctor", _doctor, "examine the way to the dialer, and say what to do about a fault", found))
    doctor.add_argument("--extension", metavar="N", help="what to dial for the test call (sip.username)")
    doctor.add_argument("--no-call", action="store_true", help="make no test call")
    doctor.add_argument(
        "--statuses", type=_statuses, default=[], metavar="A,B", help="statuses of ours that you have seen there"
    )
    doctor.add_argument("--json", action="store_true", help="print one JSON object as the last line")

    with_config(command("guard", _guard, "pause the dialer when the running appliance dies or hangs, as a process of its own"))

    unknown = "3 when the dialer cannot be asked or there is no journal to read, else 0."
    differ = f"The exit code is 1 when there are differences, {unknown}"
    reconcile = with_config(command("reconcile", _reconcile, "compare our journal with the dialer's log", differ))
    compare = "compare what shadow mode would have decided with the humans' statuses"
    shadow = with_config(command("shadow", _shadow, compare, f"The exit code is {unknown}"))
    for sub in (reconcile, shadow):
        sub.add_argument("--hours", type=_hours, default=24.0, metavar="N", help="how far back (%(default)g)")
        sub.add_argument("--json", action="store_true", help="print one JSON object")


def _run(args: argparse.Namespace) -> int:
    from appliance.daemon import Daemon

    logging.basicConfig(
        level=logging.DEBUG if args.verbose else logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    logging.getLogger("asyncio").setLevel(logging.WARNING)
    loaded = _load(args.config)
    settings, campaign = _both(loaded, loaded.errors)

    # The media clock's thread must get the interpreter within a frame, whatever the loop is doing: at the default of 5 ms
    # four of 751 beats of 32 calls were over 5 ms late, at 0.5 ms none.
    sys.setswitchinterval(0.0005)

    async def serve() -> int:
        return await Daemon(settings, campaign).run()

    return asyncio.run(serve())


def _check(args: argparse.Namespace) -> int:
    loaded = _load(args.config)
    errors: list[SidetoneError] = [*loaded.errors]
    if loaded.settings is not None:
        faults, passed_over = _engine_faults(loaded.settings.engines, loaded.campaign)
        errors += faults
        for error in passed_over:
            print(f"warning: {error.message}; the next of engines.mind is taken", file=sys.stderr)
    _, campaign = _both(loaded, errors)
    print(f"{args.config}: good. Campaign '{campaign.name}' asks {len(campaign.in_line())} questions.")
    return 0


def _status(args: argparse.Namespace) -> int:
    from appliance.api.client import ApiClient
    from appliance.api.verdict import Level, Verdict, judged
    from appliance.config.load import load_settings
    from appliance.tables import print_status

    client = ApiClient(load_settings(args.config).paths.runtime / "api.sock")
    try:
        status = asyncio.run(client.status())
    except ApiError as error:
        if args.json:
            print(json.dumps({"health": Verdict(Level.CRITICAL, [error.message]).as_json()}))
        _complain(error)
        return Level.CRITICAL
    verdict = judged(status)
    if args.json:
        print(json.dumps({"health": verdict.as_json(), **status.as_json()}))
    else:
        print_status(status, verdict, datetime.now(UTC))
    return verdict.level


def _calls(args: argparse.Namespace) -> int:
    import msgspec

    from appliance.config.load import load_settings
    from appliance.store.database import database_path
    from appliance.store.history import recent_calls
    from appliance.tables import print_calls

    calls = recent_calls(database_path(load_settings(args.config).paths), args.n)
    if args.json:
        print(json.dumps(msgspec.to_builtins(calls)))
    else:
        print_calls(calls)
    return 0


def _outbox(args: argparse.Namespace) -> int:
    import msgspec

    from appliance.config.load import load_settings
    from appliance.dialers.courier import OLD_S
    from appliance.store.outbox import outbox_path, read_closed, read_outbox
    from appliance.tables import print_outbox

    settings = load_settings(args.config)
    if args.action == "retry":
        from appliance.api.client import ApiClient

        asyncio.run(ApiClient(settings.paths.runtime / "api.sock").retry_outbox())
        print("what was parked is tried again now; sidetone outbox shows what becomes of it")
        return 0
    path, now = outbox_path(settings.paths), time.time()
    there = path.exists()  # it is made by the first start
    owed, closed = read_outbox(path) if there else [], read_closed(path) if there and args.all else []
    if args.json:
        rows = [msgspec.to_builtins(each.entry) | {"what": each.what.value, "closed_at": each.at} for each in closed]
        print(json.dumps(rows + [msgspec.to_builtins(entry) | {"what": None, "closed_at": None} for entry in owed]))
    else:
        print_outbox(owed, closed, now)
    return int(any(entry.parked or now - entry.created_at >= OLD_S for entry in owed))


def _drain(args: argparse.Namespace) -> int:
    from appliance.api.client import ApiClient
    from appliance.config.load import load_settings

    settings = load_settings(args.config)
    client = ApiClient(settings.paths.runtime / "api.sock")

    async def ask() -> int:
        calls = len((await client.status()).calls)
        await client.drain(args.limit)
        return calls

    calls = asyncio.run(ask())
    limit = "limits.drain_s" if args.limit is None else f"{args.limit:g} s"
    running = f"the last of {calls} calls has" if calls > 1 else "the running call has"
    stops = f"when {running} ended, after {limit} at the latest" if calls else "now"
    if settings.dialer.pauses_slowly:
        print("draining: the dialer is asked to pause; what it still sends in the next 20 s is taken")
        stops = "then" if not calls else f"then, {stops}"
        print(f"sidetone stops {stops}")
    else:
        print(f"draining: no new calls; sidetone stops {stops}")
    return 0


def _doctor(args: argparse.Namespace) -> int:
    from appliance.doctor.examine import Examination
    from appliance.doctor.findings import Finding, Level, as_json, exit_code
    from appliance.tables import print_finding, print_findings_end

    logging.disable(logging.CRITICAL)  # what matters of it is in the findings

    def tell(finding: Finding) -> None:
        if not args.json:
            print_finding(finding)

    loaded = _load(args.config)
    if loaded.settings is None or loaded.campaign is None or loaded.errors:
        findings = [
            Finding("settings", Level.FAIL, f"{error.source}: {problem}", error.hint)
            for error in loaded.errors
            for problem in error.problems
        ]
        for finding in findings:
            tell(finding)
    else:
        examination = Examination(loaded.settings, loaded.campaign, tell, confirmed=args.statuses)
        findings = examination.run(extension=args.extension, call=not args.no_call)
    if args.json:
        print(json.dumps(as_json(findings)))
    else:
        print_findings_end(findings)
    return exit_code(findings)


def _guard(args: argparse.Namespace) -> int:
    from appliance.config.load import load_settings
    from appliance.config.settings import DialerKind
    from appliance.dialers.choice import switch_of
    from appliance.guard import Watch

    settings = load_settings(args.config)
    if settings.dialer.kind is DialerKind.PBX or settings.dialer.shadow:
        why = "shadow mode tells the dialer nothing" if settings.dialer.shadow else "a plain PBX cannot be told to pause"
        print(f"nothing to guard: {why}")
        asyncio.run(_all_is_well())
        return 0
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr)

    async def serve() -> int:
        dialer = switch_of(settings)
        try:
            return await Watch(settings, dialer).run()
        finally:
            await dialer.close()

    return asyncio.run(serve())


async def _all_is_well() -> None:
    """A service manager that waits for word would call an end without it a failure."""
    from appliance.supervised import Supervised

    Supervised(alive=lambda: True).ready()


def _or_unknown(compare: Callable[[argparse.Namespace], int]) -> Callable[[argparse.Namespace], int]:
    """`compare`, with a monitoring plugin's exit code where one side of it cannot be seen."""

    @functools.wraps(compare)
    def compared(args: argparse.Namespace) -> int:
        try:
            return compare(args)
        except ConfigError:
            raise
        except SidetoneError as error:
            _complain(error)
            return 3

    return compared


@_or_unknown
def _reconcile(args: argparse.Namespace) -> int:
    import msgspec

    from appliance.dialers.vicidial.dialer import line_users
    from appliance.reconcile import Reconciliation, reconcile
    from appliance.store.outbox import outbox_path, read_outbox
    from appliance.tables import print_reconciliation

    settings, site, records = _to_compare(args)
    outbox = outbox_path(settings.paths)
    owed = {entry.call_id for entry in read_outbox(outbox) if entry.kind.value == "settle"} if outbox.exists() else set()

    users = line_users(site.agent_user, settings.capacity.lines)

    async def ask(client: Client) -> Reconciliation:
        return await reconcile(client, records, settings.dialer, users=users, owed=owed)

    found = _asked(site, ask)
    if args.json:
        print(json.dumps(msgspec.to_builtins(found)))
    else:
        print_reconciliation(found)
    return int(bool(found.differences))


@_or_unknown
def _shadow(args: argparse.Namespace) -> int:
    from appliance.calls.shadow import ShadowReport
    from appliance.reconcile import shadowed
    from appliance.tables import print_shadow

    settings, site, records = _to_compare(args)

    async def ask(client: Client) -> tuple[ShadowReport, int]:
        return await shadowed(client, records, settings.dialer)

    report, waiting = _asked(site, ask)
    if args.json:
        pairs = [{"ours": ours, "human": human, "calls": n} for (ours, human), n in report.pairs.items()]
        counts = {"calls": report.calls, "no_opinion": report.no_opinion, "agreed": report.agreed}
        print(json.dumps({**counts, "agreement": report.agreement, "waiting": waiting, "pairs": pairs}))
    else:
        print_shadow(report, waiting)
    return 0


def _to_compare(args: argparse.Namespace) -> tuple[Settings, Vicidial, list[CallRecord]]:
    """The calls of the last --hours, where the dialer is one that keeps a log of them."""
    from appliance.config.load import load_settings
    from appliance.store.database import database_path
    from appliance.store.history import calls_since

    settings = load_settings(args.config)
    if settings.dialer.vicidial is None or settings.dialer.kind.value != "vicidial":
        raise ConfigError(str(args.config), ["dialer.kind: only a vicidial keeps a log of calls to compare with"])
    since = datetime.now(UTC) - timedelta(hours=args.hours)
    return settings, settings.dialer.vicidial, calls_since(database_path(settings.paths), since)


def _asked(site: Vicidial, ask: Callable[[Client], Awaitable[_Answer]]) -> _Answer:
    """What `ask` finds out, without a write. Raises VicidialError where the dialer does not answer."""
    from appliance.dialers.vicidial.client import Client

    async def asking() -> _Answer:
        client = Client(site, read_only=True)
        try:
            return await ask(client)
        finally:
            await client.close()

    logging.disable(logging.CRITICAL)  # what went wrong is told by the error
    return asyncio.run(asking())


def _bench_media(args: argparse.Namespace) -> int:
    from appliance.bench.media import run

    return run(args.calls, seconds=args.seconds, as_json=args.json)


def _load(config: Path) -> Loaded:
    from appliance.config.load import load_all
    from appliance.engines.registry import MINDS, RECOGNIZERS, VADS, VOICES

    loaded = load_all(config, {"recognizer": RECOGNIZERS, "vad": VADS, "voice": VOICES, "mind": MINDS})
    if loaded.settings is not None and (mode := config.stat().st_mode & 0o777) & 0o077:
        print(f"warning: {config}: has a password and is open to others (mode {mode:o}): chmod 600 {config}", file=sys.stderr)
    return loaded


def _both(loaded: Loaded, errors: Sequence[SidetoneError]) -> tuple[Settings, Campaign]:
    if loaded.settings is None or loaded.campaign is None or errors:
        raise SeveralErrors(errors)
    return loaded.settings, loaded.campaign


def _engine_faults(engines: Engines, campaign: Campaign | None) -> tuple[list[BackendError], list[BackendError]]:
    """What keeps the known engines from starting, and what only makes a later one of engines.mind take over.

    Those that have a model to load are imported but not made.
    """
    from appliance.engines import registry

    def make_mind(name: str) -> object:
        make = registry.mind(name)
        return make(campaign) if campaign is not None and not registry.MINDS[name].package else make

    def fault(known: Collection[str], name: str, make: Callable[[str], object]) -> list[BackendError]:
        try:
            _ = make(name) if name in known else None
        except BackendError as error:
            return [error]
        return []

    faults = fault(registry.RECOGNIZERS, engines.recognizer, registry.recognizer)
    faults += fault(registry.VADS, engines.vad, registry.vad)
    faults += fault(registry.VOICES, engines.voice, lambda name: registry.voice(name)(engines.speaker))
    minds = [error for name in engines.mind for error in fault(registry.MINDS, name, make_mind)]
    return (faults + minds, []) if len(minds) == len(engines.mind) else (faults, minds)


def _complain(error: SidetoneError) -> None:
    for each in error.errors if isinstance(error, SeveralErrors) else [error]:
        print(f"error: {each}", file=sys.stderr)


def _seconds(text: str) -> float:
    return _number(text, 1, 3600)


def _limit(text: str) -> float:
    return _number(text, 0, 3600)


def _number(text: str, least: float, most: float) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not least <= number <= most:
        raise argparse.ArgumentTypeError(f"'{text}' should be a number from {least:g} to {most:g}")
    return number


def _hours(text: str) -> float:
    return _number(text, 0.01, 24 * 366)


def _statuses(text: str) -> list[str]:
    """ "AIQUAL,AINQ" as names."""
    return [part.strip() for part in text.split(",") if part.strip()]


def _counts(text: str) -> list[int]:
    """ "10,32" as numbers."""
    counts = [int(part) for part in text.split(",") if part.strip().isdecimal()]
    if len(counts) != len(text.split(",")) or not all(1 <= n <= 128 for n in counts):
        raise argparse.ArgumentTypeError(f"'{text}' should be numbers from 1 to 128, separated by commas")
    return counts


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' should be a number of at least 1")
    return int(text)
