"""Starting the recognizer's process. Imports next to nothing, so that it can be the first thing a worker does."""

from __future__ import annotations

import socket
import subprocess
import sys


class EarProcess:
    """A started recognizer process with nothing loaded yet; `socket` is our end of its connection."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-m", "appliance.engines.ear", str(theirs.fileno())]
            self._process = subprocess.Popen(command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
        self.socket = ours

    def end(self) -> None:
        self.socket.close()
        self._process.kill()
        self._process.wait()
