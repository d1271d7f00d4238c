"""Whatever a dialer says, in its INVITEs and over its API, the caller hears nothing of it: the real command, end to end."""

from __future__ import annotations

import itertools
import json
import sqlite3
import statistics
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from appliance.bench.peer import HOST, Caller
from tests.box import Box, eventually
from tests.doctor.site import vicidial
from tests.fakes.vicidial import Double, FaultKind
from tests.integration.wire_dialer import WireDialer

QUIET = b"\xff" * 160
LOUD = 0x60  # of a PCMU byte without its sign, inverted: about -24 dBov
LINES = 28
TIMEOUT_S = 0.5


class Listener(Caller):
    """A caller who is silent till told to speak, and notes when the box is heard."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.called_at_s = 0.0
        self.speaks_until = 0.0
        self.heard_at_s: list[float] = []
