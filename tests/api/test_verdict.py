from __future__ import annotations

from typing import Any

import msgspec
import pytest

from appliance.api.verdict import Level, Verdict, judged
from appliance.api.wire import DialerHealth, EngineHealth, Media, Registration, RegistrationState, Status, StoreHealth

GOOD = Status(
    version="1.0",
    started_at="2026-01-02T03:04:05Z",
    lines=10,
    draining=False,
    registration=Registration(RegistrationState.REGISTERED, "registered 8371 at dialer"),
    calls=[],
    engines=[EngineHealth("speech", True, {}, restarts=3), EngineHealth("mind", True, {})],
    media=Media(late_frames=7),
    store=StoreHealth(lost_rows=2),
)


def changed(**fields: Any) -> Verdict:
    return judged(msgspec.structs.replace(GOOD, **fields))


def test_what_was_bad_once_and_is_good_now_is_good() -> None:
    assert judged(GOOD) == Verdict(Level.OK, [])


@pytest.mark.parametrize(
    ("state", "level"),
    [
        (RegistrationState.TRYING, Level.WARNING),
        (RegistrationState.REFUSED, Level.CRITICAL),
        (RegistrationState.LOST, Level.CRITICAL),
        (RegistrationState.OFF, Level.CRITICAL),
    ],
)
def test_no_registration_no_calls(state: RegistrationState, level: Level) -> None:
    verdict = changed(registration=Registration(state, "why"))
    assert verdict.level is level
    assert verdict.problems[0].endswith(": why")


def test_off_is_meant_while_draining() -> None:
    verdict = changed(draining=True, registration=Registration(RegistrationState.OFF, "unregistered"))
    assert verdict == Verdict(Level.WARNING, ["draining: the box stops when the running calls have ended"])


def test_the_worst_comes_first_and_decides() -> None:
    verdict = changed(
        registration=Registration(RegistrationState.LOST, "gone"),
        engines=[EngineHealth("speech", False, {}), EngineHealth("mind", True, {})],
        store=StoreHealth(False, "disk full"),
    )
    assert verdict == Verdict(
        Level.CRITICAL, ["not registered: gone", "the speech worker is down", "calls are not kept: disk full"]
    )


def test_a_store_that_cannot_write_is_a_warning() -> None:
    assert changed(store=StoreHealth(False, "disk full")).level is Level.WARNING


@pytest.mark.parametrize(
    ("dialer", "told"),
    [
        (DialerHealth("vicidial", reachable=False, detail="timed out"), "the dialer's API does not answer: timed out"),
        (DialerHealth("vicidial", outbox=3, outbox_oldest_s=720.0), "the dialer is owed 3 entries, the oldest for 12 min"),
        (DialerHealth("vicidial", outbox_parked=2), "2 entries of the outbox cannot be delivered: sidetone outbox"),
        (DialerHealth("vicidial", mailbox=1), "1 customers left a message in the phone's voicemail box: they met nobody"),
        (
            DialerHealth("vicidial", reachable=False, locked=True, detail="BAD"),
            "the dialer refuses our password: correct sidetone.toml and restart the box; if it was corrected on the dialer: "
            "sidetone outbox retry (BAD)",
        ),
        (
            DialerHealth("vicidial", reachable=True, detail="not permitted: add_dnc_phone"),
            "the dialer: not permitted: add_dnc_phone",
        ),
        (
            DialerHealth("vicidial", reachable=True, outbox_lost=4),
            "4 entries of the outbox were lost, for the disk took none: sidetone reconcile",
        ),
    ],
)
def test_what_the_dialer_misses_is_a_warning(dialer: DialerHealth, told: str) -> None:
    assert changed(dialer=dialer) == Verdict(Level.WARNING, [told])


def test_a_dialer_that_was_never_asked_is_no_problem() -> None:
    assert changed(dialer=DialerHealth("vicidial", outbox=3, outbox_oldest_s=20.0)) == Verdict(Level.OK, [])
