from __future__ import annotations

from pathlib import Path

import pytest

from appliance.engines import registry
from appliance.errors import BackendError


@pytest.mark.parametrize("kind", ["recognizer", "vad", "voice", "mind"])
def test_an_unknown_name_is_an_error_that_lists_what_exists(kind: str) -> None:
    with pytest.raises(BackendError, match=f"engines.{kind}: there is no 'nonsense'") as caught:
        getattr(registry, kind)("nonsense")
    assert "choose one of" in caught.value.hint


def test_a_missing_package_is_an_error_that_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    absent = registry.Backend("no_such_package_here.backend", "no-such-package")
    monkeypatch.setitem(registry.VOICES, "absent", absent)
    with pytest.raises(BackendError, match="not installed") as caught:
        registry.voice("absent")
    assert caught.value.hint == "pip install no-such-package"


@pytest.mark.parametrize("kind", ["recognizer", "vad", "voice", "mind"])
def test_a_fault_that_a_backend_did_not_foresee_is_told_with_its_type(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(getattr(registry, f"{kind.upper()}S"), "broken", registry.Backend("tests.engines.broken"))
    make = getattr(registry, kind)("broken")
    why = rf"engines.{kind}: 'broken' does not load \(ZeroDivisionError: no model has zero layers\)"
    with pytest.raises(BackendError, match=why) as caught:
        make()
    assert caught.value.hint
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_a_module_that_fails_while_imported_is_a_fault_of_the_backend(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "half_a_package.py").write_text("raise OSError('libfoo.so.1: cannot open shared object file')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(registry.VOICES, "half", registry.Backend("half_a_package", "half-a-package"))
    with pytest.raises(BackendError, match=r"engines.voice: 'half' does not load \(OSError: libfoo"):
        registry.voice("half")


def test_a_backend_is_described_with_its_packages_version() -> None:
    assert registry.described(registry.RECOGNIZERS, "pocketsphinx").startswith("pocketsphinx 5")
    assert registry.described(registry.MINDS, "scripted") == "scripted"
