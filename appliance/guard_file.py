"""What the guard leaves on the disk for its own restart and for the daemon's: one small file, never half-written."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

import msgspec

from appliance.errors import StoreError

MOST_RESCUED = 200
"""More calls than any box has up at once, so that those of one crash are never pushed out by each other."""


class Rescued(msgspec.Struct, frozen=True):
    """A customer whom the guard sent to a human. `call_id` is the dialer's own, `at` seconds since 1970."""

    call_id: str
    at: float


class Kept(msgspec.Struct, frozen=True):
    """`paused_by_guard`: the pause that is on is the guard's. `rescued`: the last of them, the newest at the end."""

    paused_by_guard: bool = False
    rescued: tuple[Rescued, ...] = ()

    @property
    def rescued_ids(self) -> frozenset[str]:
        return frozenset(each.call_id for each in self.rescued)

    def pausing(self, owns: bool) -> Kept:
        return msgspec.structs.replace(self, paused_by_guard=owns)

    def rescuing(self, call_ids: Collection[str], at: float) -> Kept:
        """Each once, with its latest time."""
        others = self.without(call_ids).rescued
        return msgspec.structs.replace(self, rescued=(*others, *(Rescued(each, at) for each in call_ids))[-MOST_RESCUED:])

    def without(self, call_ids: Collection[str]) -> Kept:
        return msgspec.structs.replace(self, rescued=tuple(each for each in self.rescued if each.call_id not in call_ids))


def read(state_folder: Path) -> Kept:
    """A missing or broken file is an empty one."""
    try:
        return msgspec.json.decode(_path(state_folder).read_bytes(), type=Kept)
    except (OSError, UnicodeDecodeError, msgspec.DecodeError):
        return Kept()


def write(state_folder: Path, kept: Kept) -> None:
    """Returns when a power cut would not lose it. Raises StoreError."""
    path = _path(state_folder)
    new = path.with_suffix(".new")
    try:
        state_folder.mkdir(mode=0o750, parents=True, exist_ok=True)
        with new.open("wb") as file:
            file.write(msgspec.json.encode(kept))
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    except OSError as e:
        raise StoreError(f"{path}: {e.strerror}", hint="may this user write paths.state? is the disk full?") from None


def rescued_ids(state_folder: Path) -> frozenset[str]:
    """The dialer's ids of the calls whose customers the guard sent to a human, or may have: its answer can be lost.

    An id is here before the dialer is told, so whoever finds a call gone from the dialer and its id here knows why.
    """
    return read(state_folder).rescued_ids


def _path(state_folder: Path) -> Path:
    return state_folder / "guard.json"
