"""The one audio format inside the product: 8 kHz mono signed 16-bit little-endian PCM in 20 ms frames.

G.711 is 8 kHz (RFC 3551 section 4.5.14); whatever a model wants is made from this in that model's front end, once.
"""

from __future__ import annotations

RATE_HZ = 8000
FRAME_S = 0.02
FRAME_SAMPLES = 160
FRAME_BYTES = 320
SILENCE = bytes(FRAME_BYTES)
