"""Where speech is in a recording: two independent detectors. Pure.

Both return stretches of speech as (first sample, one past the last sample). They look at different things, so that
where they agree about an edge, it is there: one at energy over an adaptive floor, the other at how the spectrum of the
telephone band departs from that of the line's own noise.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

RATE_HZ = 8000
HOP = 80  # 10 ms
JOIN_FRAMES = 12  # silences up to this many hops inside a word or between two words do not end a stretch
FEWEST_FRAMES = 4  # shorter bursts are clicks

Pcm = npt.NDArray[np.int16]
Stretch = tuple[int, int]


def _stretches(active: npt.NDArray[np.bool_]) -> list[Stretch]:
    """Runs of active hops as samples, near ones joined, bursts dropped."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], active, [False])).astype(np.int8)))
    joined: list[list[int]] = []
    for begin, end in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        if joined and begin - joined[-1][1] <= JOIN_FRAMES:
            joined[-1][1] = end
        else:
            joined.append([begin, end])
    return [(b * HOP, e * HOP) for b, e in joined if int(active[b:e].sum()) >= FEWEST_FRAMES]


def by_energy(pcm: Pcm) -> list[Stretch]:
    """Energy per 10 ms over a floor that is the call's own quiet level."""
    count = len(pcm) // HOP
    if count < FEWEST_FRAMES:
        return []
    frames = pcm[: count * HOP].reshape(count, HOP).astype(np.float64)
    level_db = 10 * np.log10(np.mean(frames**2, axis=1) / 32768**2 + 1e-9)
    floor_db = float(np.clip(np.percentile(level_db, 10), -75, -45))
    peak_db = float(np.percentile(level_db, 95))
    threshold_db = max(floor_db + 9, min(peak_db - 38, -40.0), -58.0)
    return _stretches(level_db > threshold_db)


def by_spectrum(pcm: Pcm) -> list[Stretch]:
    """Divergence of each 20 ms window's log spectrum (300-3400 Hz) from the quiet windows', every 10 ms."""
    count = len(pcm) // HOP - 1
    if count < FEWEST_FRAMES:
        return []
    windows = np.lib.stride_tricks.sliding_window_view(pcm, 2 * HOP)[::HOP][:count].astype(np.float32)
    spectrum = np.abs(np.fft.rfft(windows * np.hanning(2 * HOP).astype(np.float32), axis=1))[:, 6:69] / 32768
    bands = np.log10(np.add.reduceat(spectrum**2, np.arange(0, 63, 9), axis=1) + 1e-6)
    total = bands.sum(axis=1)
    quiet = bands[total <= np.percentile(total, 15)]
    centre, spread = quiet.mean(axis=0), np.maximum(quiet.std(axis=0), 0.15)
    divergence = np.sqrt(np.mean(np.maximum((bands - centre) / spread, 0) ** 2, axis=1))
    window = divergence > 3.0
    # The first active window has the onset in its second half, the last one has the end in its first half.
    return _stretches(np.concatenate(([False], window[:-1] & window[1:], [False])))
