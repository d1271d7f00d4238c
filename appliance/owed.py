"""Which requests an engine still owes an answer: a worker that hangs is noticed by them. Pure."""

from __future__ import annotations


class Owed:
    """Requests by call and number. `now` is monotonic seconds."""

    def __init__(self) -> None:
        self._requests: set[tuple[str, int]] = set()
        self._waiting_since = 0.0

    def asked(self, call: str, request: int, now: float) -> None:
        if not self._requests:
            self._waiting_since = now
        self._requests.add((call, request))

    def answered(self, call: str, request: int, now: float, *, last: bool = True) -> None:
        """Whatever comes shows that the engine lives; the `last` of a request settles it."""
        self._waiting_since = now
        if last:
            self.forget(call, request)

    def forget(self, call: str, request: int | None = None) -> None:
        """It is not owed any more; nothing of the call is, without a `request`."""
        self._requests = {owed for owed in self._requests if owed[0] != call or request not in (None, owed[1])}

    def clear(self) -> None:
        self._requests.clear()

    def waiting_s(self, now: float) -> float:
        """How long the engine has been silent while it owed something; 0 while it owes nothing."""
        return now - self._waiting_since if self._requests else 0.0
