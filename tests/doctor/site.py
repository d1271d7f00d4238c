"""Settings for the double's site."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from appliance.calls.campaign import Campaign
from appliance.config.load import load_campaign
from appliance.config.settings import Settings
from tests.box import CAMPAIGN
from tests.fakes.vicidial.double import Double, password_of

REST = {"registrar": "127.0.0.1:9", "username": "8371", "password": "secret", "bind": "127.0.0.1", "port": 0}


def campaign() -> Campaign:
    return load_campaign(CAMPAIGN)


def vicidial(double: Double, **changes: object) -> dict[str, Any]:
    """The section [dialer.vicidial]."""
    section = {
        "url": double.url,
        "user": "apiuser",
        "password": password_of(double, "apiuser"),
        "agent_user": "9001",
        "campaign": "TESTCAMP",
        "transfer_to": "SALESLINE",
        "timeout_s": 2.0,
    }
    return section | changes


def settings(double: Double, folder: Path, **changes: object) -> Settings:
    data = {
        "campaign": str(CAMPAIGN),
        "sip": REST,
        "capacity": {"lines": 2},
        "paths": {"state": str(folder / "state"), "runtime": str(folder / "run"), "recordings": str(folder / "recordings")},
        "dialer": {"kind": "vicidial", "vicidial": vicidial(double, **changes)},
    }
    return Settings.model_validate(data)
