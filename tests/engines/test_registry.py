from __future__ import annotations

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


def test_a_backend_is_described_with_its_packages_version() -> None:
    assert registry.described(registry.RECOGNIZERS, "pocketsphinx").startswith("pocketsphinx 5")
    assert registry.described(registry.MINDS, "scripted") == "scripted"
