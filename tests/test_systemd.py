"""The units: systemd itself reads them, and what they promise fits the code."""

from __future__ import annotations

import configparser
import inspect
import shutil
import subprocess
from pathlib import Path

import pytest

from appliance import cli, guard
from appliance.api.server import LAST_WORDS_S
from appliance.config.settings import Limits
from appliance.daemon import FAREWELL_S, SIP_STOP_S, STALLED_S
from appliance.dialer_side import PAUSE_S, STOP_S, TOLD_S
from appliance.dialers.desk import START_S
from appliance.engines.client import _STOP_WITHIN_S
from appliance.store.store import Store

UNITS = Path(__file__).parents[1] / "systemd"
BOTH = ("sidetone.service", "sidetone-guard.service")


def unit(name: str) -> configparser.ConfigParser:
    parsed = configparser.ConfigParser(interpolation=None, delimiters=("=",), comment_prefixes=("#",))
    parsed.optionxform = str  # type: ignore[assignment, method-assign]
    parsed.read(UNITS / name)
    return parsed


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed here")
def test_systemd_takes_both_units(tmp_path: Path) -> None:
    for name in BOTH:
        text = (UNITS / name).read_text().replace("/opt/sidetone/bin/sidetone", "/bin/true")
        (tmp_path / name).write_text(text.replace("User=sidetone", "User=root"))
    units = [tmp_path / name for name in BOTH]
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", *units], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", BOTH)
def test_the_command_of_a_unit_is_one_of_ours(name: str) -> None:
    command = unit(name)["Service"]["ExecStart"].split()
    assert Path(command[0]).name == "sidetone"
    assert cli._parser().parse_args(command[1:]).command is not None


def test_a_stop_leaves_the_time_that_the_drain_needs() -> None:
    limit_s = float(unit("sidetone.service")["Service"]["TimeoutStopSec"])
    store_s = inspect.signature(Store.stop).parameters["limit_s"].default
    parts_s = SIP_STOP_S + STOP_S + START_S + store_s + _STOP_WITHIN_S + LAST_WORDS_S
    beside_the_drain_s = TOLD_S + PAUSE_S + FAREWELL_S + parts_s
    assert limit_s >= Limits().drain_s + beside_the_drain_s + 20
    told = "".join(line for line in (UNITS / "sidetone.service").read_text().splitlines(keepends=True) if line.startswith("#"))
    assert f"limits.drain_s ({Limits().drain_s:.0f} s by default) and {limit_s - Limits().drain_s:.0f} s" in told


def test_the_guard_s_stop_leaves_the_time_that_a_rescue_may_take() -> None:
    assert float(unit("sidetone-guard.service")["Service"]["TimeoutStopSec"]) >= guard.STOP_S + 15


def test_a_stop_ends_the_daemon_alone_while_calls_are_up() -> None:
    assert unit("sidetone.service")["Service"]["KillMode"] == "mixed"


def test_the_watchdogs_wait_longer_than_what_they_watch() -> None:
    assert float(unit("sidetone.service")["Service"]["WatchdogSec"]) > 2 * STALLED_S
    assert float(unit("sidetone-guard.service")["Service"]["WatchdogSec"]) > guard.STUCK_S


def test_a_crashed_daemon_is_back_within_the_guards_grace() -> None:
    service = unit("sidetone.service")
    assert service["Service"]["Restart"] == "always"
    assert float(service["Service"]["RestartSec"]) < guard.Times().grace_s / 4
    assert service["Unit"]["StartLimitIntervalSec"] == "0"


def test_the_guard_does_not_go_with_the_daemon() -> None:
    about = unit("sidetone-guard.service")["Unit"]
    assert "sidetone.service" in about["After"]
    bound = ("Requires", "BindsTo", "PartOf", "Requisite", "Upholds")
    assert [key for key in bound if key in about] == []
    assert unit("sidetone-guard.service")["Service"]["Restart"] == "on-failure"
