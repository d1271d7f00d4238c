"""The `sidetone` command."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from appliance import __version__
from appliance.errors import ApiError, ConfigError, SidetoneError

if TYPE_CHECKING:
    from appliance.calls.campaign import Campaign
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

    bench = command("bench", None, "measure this machine").add_subparsers(title="benches", required=True, metavar="BENCH")
    media = bench.add_parser("media", help="own media path under load, with engines that do no work")
    media.set_defaults(command=_bench_media)
    media.add_argument(
        "--calls", type=_counts, default="10,32", metavar="N,N", help="how many calls, one run each (%(default)s)"
    )
    media.add_argument("--seconds", type=float, default=15.0, metavar="S", help="how long each run measures (%(default)s)")
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
    settings, campaign = _load(args.config)

    # The media clock's thread must get the interpreter within a frame, whatever the loop is doing: at the default of 5 ms
    # four of 751 beats of 32 calls were over 5 ms late, at 0.5 ms none.
    sys.setswitchinterval(0.0005)

    async def serve() -> int:
        return await Daemon(settings, campaign).run()

    return asyncio.run(serve())


def _check(args: argparse.Namespace) -> int:
    from appliance.engines import registry

    settings, campaign = _load(args.config)
    registry.recognizer(settings.engines.recognizer)
    registry.vad(settings.engines.vad)
    registry.voice(settings.engines.voice)(settings.engines.speaker)
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


def _bench_media(args: argparse.Namespace) -> int:
    from appliance.bench.media import run

    return run(args.calls, seconds=args.seconds, as_json=args.json)


def _load(config: Path) -> tuple[Settings, Campaign]:
    """Settings and campaign; engines that nobody knows are a fault of the settings, found before anything starts."""
    from appliance.config.load import load_campaign, load_settings

    settings = load_settings(config)
    if unknown := _unknown_engines(settings.engines):
        raise ConfigError(str(config), unknown)
    return settings, load_campaign(settings.campaign)


def _unknown_engines(engines: Engines) -> list[str]:
    from appliance.engines.registry import MINDS, RECOGNIZERS, VADS, VOICES

    asked = [
        ("recognizer", engines.recognizer, RECOGNIZERS),
        ("vad", engines.vad, VADS),
        ("voice", engines.voice, VOICES),
        *(("mind", mind, MINDS) for mind in engines.mind),
    ]
    return [
        f"engines.{part}: there is no '{name}', choose from {', '.join(sorted(known))}"
        for part, name, known in asked
        if name not in known
    ]


def _complain(error: SidetoneError) -> None:
    print(f"error: {error}", file=sys.stderr)


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
