"""The dependency direction of ARCHITECTURE.md, read from the imports."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted(path.relative_to(ROOT) for top in ("appliance", "tui") for path in (ROOT / top).rglob("*.py"))

EDGE = {"errors", "audio", "calls.events", "calls.effects", "calls.campaign", "config.settings"}
"""What the parts that touch the world may use of the rest, and never each other."""

ROOTS = {"bench", "campaigns", "doctor"}
"""Folders beside daemon, cli and their like: the composition root, which knows all parts."""

# The longest name that a module's own begins with decides; a module without a rule belongs to the root.
MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "audio": {"audio"},
    "calls": {"calls", "errors", "audio"},
    "config": {"config", "errors", "calls.campaign"},
    "sip": EDGE | {"sip"},
    "engines": EDGE | {"engines"},
    "dialers": EDGE | {"dialers", "calls.callbacks", "calls.summary"},
    "leds": EDGE | {"leds"},
    "store": EDGE | {"store", "dialers.protocol"},
    "health": EDGE | {"health"},
    "api": EDGE | {"api"},
    "api.wire": {"errors"},
}
PURE = ("calls", "audio", "errors", "api.wire", "store.transcript", "config.settings")
IMPURE = {"asyncio", "threading", "socket", "time", "logging", "subprocess", "sqlite3", "queue", "selectors", "random"}
ONLY_IN = {"pjsua2": {"sip"}, "numpy": {"audio", "engines", "bench"}, "sqlite3": {"store"}, "soundfile": {"store"}}


def within(name: str, layer: str) -> bool:
    return name == layer or name.startswith(f"{layer}.")


def name_of(source: Path) -> str:
    """appliance/api/wire.py -> api.wire; appliance/cli.py -> cli; tui/app.py -> tui.app"""
    parts = source.with_suffix("").parts
    parts = parts[1:] if parts[0] == "appliance" else parts
    return ".".join(part for part in parts if part != "__init__")


def imports(code: str) -> Iterator[tuple[int, str]]:
    """Every imported name, as far as it can be a module: `from a.b import c` gives a.b.c."""
    for node in ast.walk(ast.parse(code)):
        match node:
            case ast.Import(names=names):
                yield from ((node.lineno, alias.name) for alias in names)
            case ast.ImportFrom(module=str(module), names=names, level=0):
                yield from ((node.lineno, f"{module}.{alias.name}") for alias in names)
            case ast.ImportFrom():
                yield node.lineno, "relative import"


def breaches(name: str, code: str) -> list[str]:
    """What of its imports the module `name` may not have."""
    layer = max((known for known in MAY_IMPORT if within(name, known)), key=len, default=None)
    found = []
    for line, imported in imports(code):
        top = imported.split(".")[0]
        ours = imported.removeprefix("appliance.")
        if imported == "appliance.__version__":
            continue
        if top == "tests" or imported == "relative import":
            found.append(f"line {line}: {imported}")
        elif top == "appliance" and within(name, "tui"):
            found += [] if within(ours, "api") else [f"line {line}: the console sees {ours}, not only the API"]
        elif top == "appliance" and layer is not None and not any(within(ours, allowed) for allowed in MAY_IMPORT[layer]):
            found.append(f"line {line}: {layer} may not know {ours}")
        elif top in ONLY_IN and not any(within(name, home) for home in ONLY_IN[top]):
            found.append(f"line {line}: {top} belongs to {', '.join(sorted(ONLY_IN[top]))}")
        elif top in IMPURE and any(within(name, pure) for pure in PURE):
            found.append(f"line {line}: {name} is pure and imports {top}")
    return found


@pytest.mark.parametrize("source", SOURCES, ids=str)
def test_a_module_imports_only_what_its_layer_may(source: Path) -> None:
    assert breaches(name_of(source), (ROOT / source).read_text()) == []


def test_every_folder_has_a_rule() -> None:
    folders = {path.parts[1] for path in SOURCES if path.parts[0] == "appliance" and len(path.parts) > 2}
    assert folders <= set(MAY_IMPORT) | ROOTS


@pytest.mark.parametrize(
    ("name", "code", "allowed"),
    [
        ("calls.call", "import asyncio", False),
        ("calls.call", "def f():\n    import time", False),
        ("calls.call", "from appliance.engines import wire", False),
        ("calls.call", "from appliance.audio.formats import RATE_HZ", True),
        ("audio.levels", "import numpy as np", True),
        ("audio.levels", "from appliance.calls import events", False),
        ("calls.call", "import numpy", False),
        ("store.wav", "import numpy", False),
        ("store.store", "from appliance.sip import endpoint", False),
        ("store.store", "from appliance.calls import call", False),
        ("store.store", "from appliance.calls import effects, switchboard", False),
        ("store.store", "from appliance.config import load", False),
        ("engines.worker", "import pjsua2", False),
        ("engines.worker", "from appliance import daemon", False),
        ("engines.worker", "from appliance import __version__", True),
        ("engines.worker", "from . import wire", False),
        ("api.wire", "from appliance.calls.effects import Speaker", False),
        ("api.server", "from appliance.calls.effects import Speaker", True),
        ("daemon", "from appliance.sip.endpoint import SipEndpoint", True),
        ("daemon", "import tests.lab", False),
        ("tui.app", "from appliance.api.client import ApiClient", True),
        ("tui.app", "from appliance.config.load import load_settings", False),
    ],
)
def test_the_rule_itself(name: str, code: str, allowed: bool) -> None:
    assert (breaches(name, code) == []) is allowed
