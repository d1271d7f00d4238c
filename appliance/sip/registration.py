"""Staying registered: what to send to the registrar, and when. Pure; time comes in as `now` (monotonic seconds).

A REGISTER that meets a dead registrar is repeated by the SIP transaction layer every 4 s at most and cannot be taken
back for 32 s. So a loss is found, and its end awaited, with OPTIONS probes, which are independent of each other, and
a REGISTER is sent the moment a probe is answered after one was not: the dialer that comes back, with its memory or
without, has us within a probe's time.
"""

from __future__ import annotations

import enum
import random

import msgspec

PROBE_S = 0.5
"""Between two probes while registered: a dialer restarts in half a second at the least, so a probe meets it away."""
LATE_S = 0.1
"""An answer later than three times the usual round trip by this much: the registrar was away for a moment."""
RTT_GAIN = 0.2
MISSED = 4
"""Probes in a row without an answer that make a loss."""
PATIENCE_S = 3.0
"""How long the first REGISTER may be unanswered before it is called a loss."""
BACKOFF_MAX_S = 4.0
ODD_ANSWER_RETRY_S = 30.0
"""After an answer that is neither acceptance, refusal nor overload."""
REFUSED_RETRY_S = 15 * 60.0
SECOND_CHANCES_S = (5.0, 15.0)
"""A password that was accepted before and is refused now: a dialer that is still starting answers so. Try again twice."""
DEAF_PROBES = 8
"""So many probes unanswered by a registrar that answers REGISTER: it does not answer OPTIONS at all."""
DEAF_REFRESH_S = 15.0
DEAF_PROBE_S = 30.0

LEAVE_S = 4.0
"""How long leaving may take. A REGISTER under way comes first (RFC 3261 section 10.2), and a dead registrar would take
32 s to be given up."""

REFUSALS = frozenset({401, 403, 404, 407})


class State(enum.Enum):
    OFF = "off"
    TRYING = "trying"
    REGISTERED = "registered"
    LOST = "lost"
    REFUSED = "refused"


class RegistrationChanged(msgspec.Struct, frozen=True):
    """The registration entered `state`. `detail` is one line for the operator."""

    state: State
    detail: str


class SendRegister(msgspec.Struct, frozen=True):
    """Send REGISTER now."""


class SendUnregister(msgspec.Struct, frozen=True):
    """Send REGISTER with an expiry of 0 now."""


class SendProbe(msgspec.Struct, frozen=True):
    """Send OPTIONS to the registrar now."""


Action = RegistrationChanged | SendRegister | SendUnregister | SendProbe


class Registration:
    """The registration of one phone. Each method takes `now` and returns what to do, in order."""

    def __init__(self, *, registrar: str, username: str, expires_s: int, rng: random.Random | None = None) -> None:
        self.state = State.OFF
        self._registrar = registrar
        self._username = username
        self._expires_s = expires_s
        self._rng = rng or random.Random()
        self._reset(0.0)

    def _reset(self, now: float) -> None:
        self._register_at: float | None = None
        self._probe_at: float | None = None
        self._patience_until: float | None = None
        self._leave_by: float | None = None
        self._pending: type[SendRegister | SendUnregister] | None = None
        self._accepted = False
        self._refusals = 0
        self._attempt = 0
        self._lost_since = now
        self._untrusted = ""
        self._probe_sent_at: float | None = None
        self._missed = 0
        self._unanswered_ever = 0
        self._probes_work = False
        self._rtt_s = 0.0

    @property
    def deadline(self) -> float | None:
        """When `handle_timer` wants to be called."""
        times = (self._register_at, self._probe_at, self._patience_until, self._leave_by)
        return min((t for t in times if t is not None), default=None)

    # What the appliance wants ----------------------------------------------------------------------------------------

    def register(self, now: float) -> list[Action]:
        """Start, or try again at once after a refusal. Nothing while it is under way or done."""
        if self.state not in (State.OFF, State.REFUSED):
            return []
        pending = self._pending
        self._reset(now)
        self._pending = pending
        self._patience_until = now + PATIENCE_S
        out: list[Action] = [self._enter(State.TRYING, f"registering {self._username} at {self._registrar}")]
        return out + self._register(now) + self._probe(now)

    def unregister(self, now: float) -> list[Action]:
        """Leave. What the registrar may know of us is taken back, after the REGISTER that is under way if there is one.
        `OFF` comes with its answer, or after `LEAVE_S` without."""
        if self.state is State.OFF or self._leave_by is not None:
            return []
        self._stop_timers()
        self._leave_by = now + LEAVE_S
        if self._pending is not None:
            return []
        return self._take_back(known=self._accepted and self.state is not State.REFUSED)

    # What happened ---------------------------------------------------------------------------------------------------

    def on_answer(self, now: float, code: int, reason: str, expires_s: float) -> list[Action]:
        """The REGISTER has ended: with an answer, or without one (`code` 0). `expires_s` is what the registrar granted."""
        sent, self._pending = self._pending, None
        if self.state is State.OFF or self._leave_by is not None:
            still_known = self._accepted and self._leave_by is not None and code not in REFUSALS
            return self._take_back(known=sent is SendRegister and (200 <= code < 300 or still_known))
        if sent is SendUnregister:  # wanted again before it was answered
            return self._register(now)
        if 200 <= code < 300:
            return self._on_accepted(now, expires_s)
        if code in REFUSALS:
            return self._on_refused(now, f"{code} {reason}")
        return self._on_failed(now, code, reason)

    def _take_back(self, *, known: bool) -> list[Action]:
        if known:
            self._pending = SendUnregister
            return [SendUnregister()]
        return self._left("unregistered")

    def _left(self, detail: str) -> list[Action]:
        self._leave_by = None
        return [] if self.state is State.OFF else [self._enter(State.OFF, detail)]

    def _on_accepted(self, now: float, expires_s: float) -> list[Action]:
        was, self._accepted = self.state, True
        self._refusals = self._attempt = self._missed = 0
        self._untrusted = ""
        self._patience_until = None
        granted_s = expires_s if expires_s > 0 else float(self._expires_s)
        self._register_at = now + min(granted_s / 2, DEAF_REFRESH_S if self._deaf() else granted_s)
        self._probe_sent_at = None
        self._probe_at = now + PROBE_S
        if was is State.REGISTERED:
            return []
        away = f", after {now - self._lost_since:.1f} s" if was is State.LOST else ""
        return [self._enter(State.REGISTERED, f"registered {self._username} at {self._registrar}{away}")]

    def _on_refused(self, now: float, answer: str) -> list[Action]:
        self._stop_timers()
        self._refusals += 1
        if self._accepted and self._refusals <= len(SECOND_CHANCES_S):
            self._register_at = now + SECOND_CHANCES_S[self._refusals - 1]
            return self._lose(now, f"{self._registrar} refuses {self._username}, which it knew before ({answer}); trying again")
        self._register_at = now + REFUSED_RETRY_S
        if self.state is State.REFUSED:
            return []
        return [
            self._enter(
                State.REFUSED,
                f"{self._registrar} refuses {self._username} ({answer}): check sip.username and sip.password"
                f" (on VICIdial the phone's Registration Password); next try in {REFUSED_RETRY_S / 60:.0f} minutes",
            )
        ]

    def _on_failed(self, now: float, code: int, reason: str) -> list[Action]:
        if code == 0 or code == 408 or code >= 500:
            # Where probes are answered, the next answer sends the REGISTER; this is for registrars deaf to OPTIONS.
            self._register_at = now + (ODD_ANSWER_RETRY_S if self._probes_work and code == 0 else self._backoff_s())
        else:
            self._register_at = now + ODD_ANSWER_RETRY_S
        if self.state is State.REFUSED:
            self._register_at = now + REFUSED_RETRY_S
            return []
        if self._probe_at is None:
            self._probe_at = now + PROBE_S
        what = f"answers {code} {reason}" if code else "does not answer"
        return self._lose(now, f"{self._registrar} {what}; trying on")

    def on_probe_answer(self, now: float) -> list[Action]:
        """The registrar answered OPTIONS, with whatever code: it lives."""
        self._probes_work = True
        if self._probe_sent_at is None:  # one of the retransmissions to a registrar that was away
            return []
        rtt_s = now - self._probe_sent_at
        away = self._missed > 0 or 0.0 < self._rtt_s < (rtt_s - LATE_S) / 3
        self._rtt_s += (rtt_s - self._rtt_s) * (RTT_GAIN if self._rtt_s else 1.0)
        self._probe_sent_at = None
        self._missed = 0
        if self.state is State.LOST or (self.state is State.REGISTERED and away):
            self._attempt = 0
            self._probe_at = now + PROBE_S
            return self._register(now)
        return []

    def on_transport_lost(self, now: float) -> list[Action]:
        """The connection to the registrar is gone (TCP): what it knew of us through it is gone too."""
        if self.state is not State.REGISTERED or self._leave_by is not None:
            return []
        self._missed += 1
        return self._probe(now)

    def on_untrusted(self, now: float, why: str) -> list[Action]:
        """Whoever is at the registrar's address showed a certificate (TLS) that is not to be trusted, and the connection was
        given up for it. It is told once until the registrar accepts us, and tried on as after any loss."""
        if self.state in (State.OFF, State.REFUSED) or self._leave_by is not None or why == self._untrusted:
            return []
        if self.state is not State.LOST:
            self._lost_since = now
        self._untrusted, self._patience_until = why, None
        return [
            self._enter(
                State.LOST,
                f"the dialer's certificate is not trusted: {why}; check sip.registrar and sip.tls_ca; trying on",
            )
        ]

    def handle_timer(self, now: float) -> list[Action]:
        """Call at `deadline`, or at any time."""
        if self._leave_by is not None and now >= self._leave_by:
            return self._left(f"unregistered; {self._registrar} does not answer")
        out: list[Action] = []
        if self._patience_until is not None and now >= self._patience_until:
            self._patience_until = None
            out += self._lose(now, f"{self._registrar} does not answer; trying on")
        if self._probe_at is not None and now >= self._probe_at:
            out += self._probe(now)
        if self._register_at is not None and now >= self._register_at:
            self._register_at = None
            out += self._register(now)
        return out

    # Steps -----------------------------------------------------------------------------------------------------------

    def _register(self, now: float) -> list[Action]:
        if self._pending is not None:
            # It cannot be taken back, and its own repetition reaches a registrar that is back within 4 s.
            self._register_at = now + BACKOFF_MAX_S
            return []
        self._pending = SendRegister
        return [SendRegister()]

    def _probe(self, now: float) -> list[Action]:
        out: list[Action] = []
        if self._probe_sent_at is not None:
            self._missed += 1
            self._unanswered_ever += 1
            if self._probes_work and self._missed >= MISSED and self.state is State.REGISTERED:
                out += self._lose(now, f"{self._registrar} does not answer; trying on")
        self._probe_sent_at = now
        if self.state is State.LOST:
            self._probe_at = now + self._backoff_s()
        elif self._deaf():
            self._probe_at = now + DEAF_PROBE_S
            self._register_at = min(self._register_at or now, now + DEAF_REFRESH_S)
        else:
            self._probe_at = now + PROBE_S
        return [*out, SendProbe()]

    def _deaf(self) -> bool:
        """The registrar answers REGISTER and never OPTIONS."""
        return self._accepted and not self._probes_work and self._unanswered_ever >= DEAF_PROBES

    def _lose(self, now: float, detail: str) -> list[Action]:
        self._patience_until = None
        if self.state is State.LOST:
            return []
        self._lost_since = now
        return [self._enter(State.LOST, detail)]

    def _enter(self, state: State, detail: str) -> RegistrationChanged:
        self.state = state
        return RegistrationChanged(state, detail)

    def _stop_timers(self) -> None:
        self._register_at = self._probe_at = self._patience_until = None
        self._probe_sent_at = None

    def _backoff_s(self) -> float:
        """1 s, then up to 2, then up to 4: jittered, so that a dialer's phones do not all come back in one moment."""
        self._attempt += 1
        return self._rng.uniform(1.0, min(BACKOFF_MAX_S, 2.0 ** (self._attempt - 1)))
