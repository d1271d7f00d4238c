"""How busy the machine's cores are, all processes together (proc_stat(5))."""

from __future__ import annotations

from pathlib import Path

_STAT = Path("/proc/stat")
_IDLE, _IOWAIT = 3, 4


class CpuShare:
    """Each call of `since_last` tells the share of all cores' time that was used since the one before, 0 to 1."""

    def __init__(self, stat: Path = _STAT) -> None:
        self._stat = stat
        self._idle, self._total = self._read()

    def since_last(self) -> float:
        idle, total = self._read()
        passed, free = total - self._total, idle - self._idle
        self._idle, self._total = idle, total
        return 1 - free / passed if passed > 0 else 0.0

    def _read(self) -> tuple[int, int]:
        with self._stat.open() as stat:
            ticks = [int(field) for field in stat.readline().split()[1:9]]  # guests' time is in user's already
        return ticks[_IDLE] + ticks[_IOWAIT], sum(ticks)
