"""A dialer to talk to: the double of VICIdial, in both wordings."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest
from pydantic import HttpUrl, SecretStr

from appliance.config.settings import Vicidial
from tests.fakes.vicidial import Dialect, Double, SteppedClock, password_of


@pytest.fixture(params=list(Dialect), ids=lambda dialect: str(dialect.value))
def site(request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture) -> Iterator[Double]:
    """On a clock that only `step` moves. Afterwards it fails on what must never be done to a dialer."""
    caplog.set_level(logging.DEBUG)
    with Double(clock=SteppedClock(), dialect=cast(Dialect, request.param), leads=10) as double:
        double.define_status("XFER", "DNC", "CALLBK")
        yield double
        double.check(caplog.text)
        assert double.delivered_twice() == []


Settings = Callable[..., Vicidial]


@pytest.fixture
def settings(site: Double) -> Settings:
    def made(**changed: Any) -> Vicidial:
        values: dict[str, Any] = {
            "url": HttpUrl(site.url),
            "user": "apiuser",
            "password": SecretStr(password_of(site, "apiuser")),
            "agent_user": "9001",
            "campaign": "TESTCAMP",
            "transfer_to": "SALESLINE",
            "timeout_s": 1.0,
        }
        return Vicidial(**(values | changed))

    return made
