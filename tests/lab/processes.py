"""Child processes that cannot outlive the lab, and ports nobody else uses."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from tests.lab.faults import LabError

HOST = "127.0.0.1"
# Below the kernel's ephemeral range (32768 and up), so that no unrelated socket lands in a range we handed out.
LOWEST_PORT, HIGHEST_PORT = 10_000, 32_000


def spawn(
    argv: Sequence[str | Path],
    *,
    stdout: int | IO[bytes] = subprocess.DEVNULL,
    stderr: int | IO[bytes] = subprocess.DEVNULL,
    stdin: int = subprocess.DEVNULL,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> subprocess.Popen[bytes]:
    """Start a child in its own process group (Ctrl-C reaches only us), killed by the kernel when our process dies.

    Raises LabError where the program is missing.
    """
    command = ["setpriv", "--pdeathsig", "KILL", *map(str, argv)]
    try:
        return subprocess.Popen(
            command,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            process_group=0,
            env=None if env is None else {**os.environ, **env},
            cwd=cwd,
        )
    except OSError as error:
        raise LabError(f"{argv[0]} does not start: {error}", hint="apt-get install util-linux") from error


def end(process: subprocess.Popen[bytes], *, first: signal.Signals = signal.SIGTERM, grace_s: float = 5.0) -> int:
    """Ask the child's process group to stop, kill it after `grace_s`, and return its exit status."""
    for sent, wait_s in ((first, grace_s), (signal.SIGKILL, 5.0)):
        if process.poll() is None:
            process.send_signal(sent) if sent is not signal.SIGKILL else os.killpg(process.pid, sent)
        try:
            status = process.wait(wait_s)
        except subprocess.TimeoutExpired:
            continue
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                stream.close()
        return status
    raise LabError(f"process {process.pid} does not die")


def _free(port: int, kind: socket.SocketKind) -> bool:
    with socket.socket(socket.AF_INET, kind) as probe:
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def free_ports(count: int = 1) -> int:
    """The first of `count` consecutive ports free for UDP and TCP on loopback, on an even number as RTP wants it."""
    for _ in range(200):
        first = random.randrange(LOWEST_PORT, HIGHEST_PORT - count, 2)
        wanted = range(first, first + count)
        if all(_free(port, kind) for port in wanted for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM)):
            return first
    raise LabError(f"no {count} consecutive free ports on {HOST}", hint="is another lab running?")
