"""What the guard leaves on the disk, by calling it."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance import guard_file
from appliance.errors import StoreError
from appliance.guard_file import MOST_RESCUED, Kept, Rescued, rescued_ids


def test_what_is_kept_survives(tmp_path: Path) -> None:
    state = tmp_path / "state"
    assert guard_file.read(state) == Kept()
    kept = Kept().pausing(True).rescuing(["V1"], 5.0)
    guard_file.write(state, kept)
    assert guard_file.read(state) == kept == Kept(True, (Rescued("V1", 5.0),))
    assert rescued_ids(state) == {"V1"}
    guard_file.write(state, kept.pausing(False))
    assert guard_file.read(state) == Kept(False, (Rescued("V1", 5.0),))
    assert [path.name for path in state.iterdir()] == ["guard.json"]


@pytest.mark.parametrize("nonsense", [b"", b"{", b"[]", b"true", b'{"paused_by_guard": 1}', b'{"rescued": ["V1"]}', b'"\xff"'])
def test_nonsense_is_an_empty_file(tmp_path: Path, nonsense: bytes) -> None:
    (tmp_path / "guard.json").write_bytes(nonsense)
    assert guard_file.read(tmp_path) == Kept()
    assert rescued_ids(tmp_path) == frozenset()


def test_an_earlier_version_s_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "guard.json").write_text('{"paused_by_guard": true}')
    assert guard_file.read(tmp_path) == Kept(True)


def test_only_the_last_rescued_are_kept_and_each_once() -> None:
    kept = Kept().rescuing(["old"], 1.0).rescuing(["V1"], 2.0).rescuing([f"V{n}" for n in range(MOST_RESCUED)], 3.0)
    assert len(kept.rescued) == MOST_RESCUED
    assert "old" not in kept.rescued_ids
    assert kept.rescuing(["V0"], 4.0).rescued[-1] == Rescued("V0", 4.0)
    assert kept.without(["V0", "nobody"]).rescued_ids == kept.rescued_ids - {"V0"}


def test_a_folder_that_cannot_be_written_is_an_error_with_a_hint(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="guard") as caught:
        guard_file.write(tmp_path / "file", Kept())
    assert "paths.state" in caught.value.hint
