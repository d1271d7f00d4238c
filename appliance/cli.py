"""The `sidetone` command."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import math
import sys
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from appliance import __version__
from appliance.errors import ApiError, BackendError, SeveralErrors, SidetoneError

if TYPE_CHECKING:
    from appliance.calls.campaign import Campaign
    from appliance.config.load import Loaded
    from appliance.config.settings import Engines, Settings

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

    bench = command("bench", None, "measure this machine").add_subparsers(title="benches", required=True, metavar="BENCH")
    media = bench.add_parser("media", help="own media path under load, with engines that do no work")
    media.set_defaults(command=_bench_media)
    media.add_argument(
        "--calls", type=_counts, default="10,32", metavar="N,N", help="how many calls, one run each (%(default)s)"
    )
    media.add_argument("--seconds", type=_seconds, default=15.0, metavar="S", help="how long each run measures (%(default)s)")
    media.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    return parser


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
    print(f"{args.config}: good. Campaign '{campaign.name}' asks {len(campaign.questions)} questions.")
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
        print_status(status, verdict)
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


def _drain(args: argparse.Namespace) -> int:
    from appliance.api.client import ApiClient
    from appliance.config.load import load_settings

    client = ApiClient(load_settings(args.config).paths.runtime / "api.sock")

    async def ask() -> int:
        calls = len((await client.status()).calls)
        await client.drain(args.limit)
        return calls

    calls = asyncio.run(ask())
    limit = "limits.drain_s" if args.limit is None else f"{args.limit:g} s"
    running = f"the last of {calls} calls has" if calls > 1 else "the running call has"
    print(f"draining: no new calls; sidetone stops {f'when {running} ended, after {limit} at the latest' if calls else 'now'}")
    return 0


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
