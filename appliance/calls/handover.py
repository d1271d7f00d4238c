"""What the dialer is told of one call, each thing once, and what it still owes an answer to."""

from __future__ import annotations

from collections import deque

from appliance.calls import effects
from appliance.calls.effects import AnyEffect
from appliance.calls.events import CallbackLost, CallbackRefused, CallbackSet

Booked = CallbackSet | CallbackRefused | CallbackLost


class Handover:
    """`transferring`: a human was asked for, and there is no answer. `transferred`: a human has the caller."""

    def __init__(self, call: str) -> None:
        self.transferring = False
        self.transferred = False
        self._call = call
        self._tried = False
        self._unanswered = False
        self._released = False
        self._opted_out = False
        self._booking: deque[str] = deque()  # times that there is no answer to yet, in the order of asking
        self._newest: str | None = None
        self._answer: Booked | None = None  # to the newest

    @property
    def tried(self) -> bool:
        """A human was asked for: once is enough."""
        return self._tried

    @property
    def owed(self) -> bool:
        """The dialer has something to answer."""
        return self.transferring or bool(self._booking)

    @property
    def has_booked(self) -> bool:
        """The newest time is kept by the dialer."""
        return isinstance(self._answer, CallbackSet)

    @property
    def booked(self) -> Booked | None:
        """The answer to the newest time; None till it comes."""
        return self._answer

    def release(self, outcome: str, *, gone: bool = False) -> list[AnyEffect]:
        """Nothing where the dialer has let go of the call already, or is about to: a transfer under way comes first.

        Unless the caller is `gone`: then it can come to nothing.
        """
        if self._released or self.transferred or (self.transferring and not gone):
            return []
        self._released = True
        return [effects.Release(self._call, outcome, gone)]

    def transfer(self, outcome: str, slots: dict[str, str], where: str, *, overflow: bool) -> list[AnyEffect]:
        self._tried = self._unanswered = self.transferring = True
        return [effects.Transfer(self._call, outcome, slots, where, overflow)]

    def transfer_answered(self, *, well: bool) -> bool:
        """Whether this is the answer to a transfer, be it late."""
        awaited = self.transferring or (self._unanswered and not self._released)
        self.transferring = self._unanswered = False
        self.transferred = self.transferred or (awaited and well)
        return awaited

    def transfer_late(self) -> bool:
        """Wait no longer for its answer. Whether that was waited for."""
        waited, self.transferring = self.transferring, False
        return waited

    def opt_out(self, at_s: float) -> list[AnyEffect]:
        if self._opted_out:
            return []
        self._opted_out = True
        return [effects.OptOut(self._call, at_s)]

    def book(self, when: str) -> list[AnyEffect]:
        """Nothing where it is the newest already, answered or not."""
        if when == self._newest:
            return []
        self._newest, self._answer = when, None
        self._booking.append(when)
        return [effects.BookCallback(self._call, when)]

    def book_answered(self, answer: Booked) -> None:
        """Answers come in the order of asking; only the one to the newest counts."""
        if self._booking:
            self._booking.popleft()
            self._answer = None if self._booking else answer
