"""The `sidetone` command."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from appliance import __version__
from appliance.errors import SidetoneError

DEFAULT_CONFIG = Path("/etc/sidetone/sidetone.toml")


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run the command and exit: 0 well, 1 a fault of the world, 2 a fault in configuration or usage."""
    args = _parser().parse_args(argv)
    try:
        code = args.command(args)
    except SidetoneError as error:
        print(f"error: {error}", file=sys.stderr)
        code = error.exit_code
    except KeyboardInterrupt:
        code = 130
    sys.exit(code)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="sidetone", description="A voice agent that survives real phone calls.")
    parser.add_argument("--version", action="version", version=f"sidetone {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    def command(name: str, function: object, text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(command=function)
        return sub

    def with_config(sub: argparse.ArgumentParser) -> argparse.ArgumentParser:
        sub.add_argument("--config", type=Path, default=DEFAULT_CONFIG, metavar="FILE", help="settings (%(default)s)")
        return sub

    run = with_config(command("run", _run, "register with the dialer and take calls until stopped"))
    run.add_argument("-v", "--verbose", action="store_true", help="log more")
    with_config(command("check", _check, "check settings and campaign, and say what is wrong with them"))
    status = with_config(command("status", _status, "show what the running appliance is doing"))
    status.add_argument("--json", action="store_true", help="as one JSON object")
    calls = with_config(command("calls", _calls, "list the latest calls"))
    calls.add_argument("-n", type=int, default=20, metavar="N", help="how many (%(default)s)")
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
    from appliance.config.load import load_campaign, load_settings
    from appliance.daemon import Daemon

    logging.basicConfig(
        level=logging.DEBUG if args.verbose else logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    settings = load_settings(args.config)
    campaign = load_campaign(settings.campaign)

    async def serve() -> int:
        return await Daemon(settings, campaign).run()

    return asyncio.run(serve())


def _check(args: argparse.Namespace) -> int:
    from appliance.config.load import load_campaign, load_settings

    settings = load_settings(args.config)
    campaign = load_campaign(settings.campaign)
    print(f"{args.config}: good. Campaign '{campaign.name}': {len(campaign.questions)} questions.")
    return 0


def _status(args: argparse.Namespace) -> int:
    from appliance.api.client import ApiClient
    from appliance.config.load import load_settings
    from appliance.tables import print_status

    client = ApiClient(load_settings(args.config).paths.runtime / "api.sock")
    status = asyncio.run(client.status())
    if args.json:
        print(json.dumps(status.as_json()))
    else:
        print_status(status)
    return 0


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


def _counts(text: str) -> list[int]:
    """ "10,32" as numbers; argparse turns the ValueError into a usage message."""
    counts = [int(part) for part in text.split(",")]
    if not all(1 <= n <= 128 for n in counts):
        raise ValueError
    return counts
