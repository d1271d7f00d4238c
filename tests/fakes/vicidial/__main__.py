"""`python -m tests.fakes.vicidial [PORT] [FILE]`: the double by itself, for people. Ends with Ctrl-C."""

from __future__ import annotations

import contextlib
import signal
import sys

from tests.fakes.vicidial.double import Double, password_of


def main() -> None:
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 0
    path = sys.argv[2] if len(sys.argv) > 2 else ":memory:"
    with Double(port=port, path=path) as double:
        print(f"dialer    {double.url}", flush=True)
        print(f"user      apiuser, password {password_of(double, 'apiuser')}")
        print("agent     9001 with 2 lines on phone 8371, campaign TESTCAMP, in-group SALESLINE")
        with contextlib.suppress(KeyboardInterrupt):
            signal.pause()


if __name__ == "__main__":
    main()
