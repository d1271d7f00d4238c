"""Linters are tests. Each failure's output says what to mend."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NOT_OURS = {"build", ".venv", ".git"}
SHELL = sorted(
    path.relative_to(ROOT)
    for pattern in ("*.sh", ".ci/run")
    for path in ROOT.rglob(pattern)
    if path.relative_to(ROOT).parts[0] not in NOT_OURS
)


def lint(*command: str | Path) -> None:
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout}"


def test_ruff_check() -> None:
    lint(sys.executable, "-m", "ruff", "check", ".")


def test_ruff_format() -> None:
    lint(sys.executable, "-m", "ruff", "format", "--check", ".")


@pytest.mark.timeout(600)  # without its cache, on a machine that has other things to do
def test_mypy_strict() -> None:
    lint(sys.executable, "-m", "mypy")


@pytest.mark.parametrize("script", SHELL, ids=str)
def test_shellcheck(script: Path) -> None:
    assert shutil.which("shellcheck"), "apt-get install shellcheck"
    lint("shellcheck", "--external-sources", script)


def test_the_lock_has_a_hashed_version_of_every_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["test"]]
    names = {requirement.split("=")[0].split(">")[0].strip() for requirement in wanted}
    entries = (ROOT / "requirements.lock").read_text().replace("\\\n", " ").splitlines()
    locked = {entry.split("==")[0] for entry in entries if "--hash=sha256:" in entry}
    assert names - locked == {"pjsua2"}  # built here
