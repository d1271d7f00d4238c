"""The units: systemd itself reads them, and what they promise fits the code."""

from __future__ import annotations

import configparser
import inspect
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from appliance import cli, guard
from appliance.api.server import LAST_WORDS_S
from appliance.config.settings import Limits, Paths
from appliance.daemon import FAREWELL_S, SIP_STOP_S, STALLED_S
from appliance.dialer_side import PAUSE_S, STOP_S, TOLD_S
from appliance.dialers.desk import START_S
from appliance.engines.client import _STOP_WITHIN_S
from appliance.store.store import Store

UNITS = Path(__file__).parents[1] / "systemd"
README = UNITS.parent / "README.md"
BOTH = ("sidetone.service", "sidetone-guard.service")


def unit(name: str) -> configparser.ConfigParser:
    parsed = configparser.ConfigParser(interpolation=None, delimiters=("=",), comment_prefixes=("#",))
    parsed.optionxform = str  # type: ignore[assignment, method-assign]
    parsed.read(UNITS / name)
    return parsed


def instructions() -> str:
    """The commands of the README's section that makes a service of the box."""
    found = re.search(r"^## As a service\n(.*?)^## ", README.read_text(), re.MULTILINE | re.DOTALL)
    assert found is not None
    return "".join(line for line in found[1].splitlines(keepends=True) if line.startswith("    "))


def said(pattern: str) -> str:
    """What the one command like this names."""
    [found] = re.findall(pattern, instructions(), re.MULTILINE)
    return str(found)


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """The root of a machine on which the README's commands were run: the checkout, its environment, the units."""
    assert "./build.sh setup" in instructions()
    made = tmp_path / said(r"git clone \. /(\S+)") / ".venv/bin/sidetone"  # the one that build.sh installs the package in
    made.parent.mkdir(parents=True)
    made.write_text("#!/bin/sh\n")
    made.chmod(0o755)
    copied, where = re.findall(r"install -m 644 (.*) /(etc/systemd/system)$", instructions(), re.MULTILINE)[0]
    (tmp_path / where).mkdir(parents=True)
    for path in copied.split():
        shutil.copy(UNITS.parent / path, tmp_path / where)
    return tmp_path


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed here")
def test_systemd_takes_both_units_where_the_readme_puts_them(machine: Path) -> None:
    verify = ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", f"--root={machine}", *BOTH]
    done = subprocess.run(verify, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", BOTH)
def test_what_a_unit_needs_is_made_by_the_readme(machine: Path, name: str) -> None:
    service = unit(name)["Service"]
    program = service["ExecStart"].split()[0]
    assert (machine / program.lstrip("/")).exists()
    assert said(r"ln -s (\S+) /usr/local/bin/sidetone$") == program
    assert said(r"useradd --system .* (\S+)$") == service["User"]
    assert name.removesuffix(".service") in said(r"systemctl enable --now (.*)$").split()


def test_the_user_of_the_units_can_read_the_settings_and_nobody_is_warned_of_them() -> None:
    owner, path, mode = re.findall(r"chown (\S+) (\S+) && chmod (\d+) \2$", instructions(), re.MULTILINE)[0]
    assert {unit(name)["Service"]["User"] for name in BOTH} == {owner}
    assert Path(path) == cli.DEFAULT_CONFIG
    assert int(mode, 8) == 0o600


@pytest.mark.parametrize("name", BOTH)
def test_the_folders_that_systemd_makes_are_those_of_the_settings(name: str) -> None:
    service = unit(name)["Service"]
    assert Path("/var/lib", service["StateDirectory"]) == Paths().state
    if name == "sidetone.service":  # the guard asks there, and makes nothing
        assert Path("/run", service["RuntimeDirectory"]) == Paths().runtime


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
