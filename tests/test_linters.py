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


def locked(name: str) -> set[tuple[str, str]]:
    """Name and version (with its marker) of every hashed entry of the lock file."""
    entries = (ROOT / name).read_text().replace("\\\n", " ").splitlines()
    pinned = (entry.split("--hash")[0].strip() for entry in entries if "--hash=sha256:" in entry)
    return {(package, version) for package, _, version in (entry.partition("==") for entry in pinned)}


@pytest.mark.parametrize(("lock", "extras"), [("requirements.lock", {"test"}), ("requirements-extras.lock", None)])
def test_a_lock_has_a_hashed_version_of_every_dependency(lock: str, extras: set[str] | None) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    optional: dict[str, list[str]] = project["optional-dependencies"]
    wanted = [*project["dependencies"], *(r for extra in extras or set(optional) for r in optional[extra])]
    names = {requirement.split("=")[0].split(">")[0].strip() for requirement in wanted}
    assert names - {package for package, _ in locked(lock)} == {"pjsua2"}  # built here


def test_the_locks_agree() -> None:
    assert locked("requirements.lock") <= locked("requirements-extras.lock")
