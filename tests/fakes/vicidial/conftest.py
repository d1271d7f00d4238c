from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.fakes.vicidial import Double, SteppedClock, Timing
from tests.fakes.vicidial.asker import ADMIN, AGENT, Ask, Asker


@pytest.fixture
def double() -> Iterator[Double]:
    """On a stepped clock; control always wins the race, so that a case is what it says. Ticks at 5.0 s, 15.04 s ..."""
    with Double(clock=SteppedClock(), timing=Timing(race_lost_share=0.0)) as made:
        made.set_user("apiuser", api_allowed_functions="ALL_FUNCTIONS")
        yield made


@pytest.fixture(scope="session")
def client() -> Iterator[httpx.Client]:
    """One for all: making one takes longer than most tests here."""
    with httpx.Client() as made:
        yield made


@pytest.fixture
def agent(double: Double, client: httpx.Client) -> Ask:
    return Asker(double, client, AGENT)


@pytest.fixture
def admin(double: Double, client: httpx.Client) -> Ask:
    return Asker(double, client, ADMIN)
