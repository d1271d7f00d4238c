from __future__ import annotations

from pathlib import Path

from appliance.api import wire as api
from appliance.calls.switchboard import Switchboard
from appliance.config.load import load_campaign
from appliance.config.settings import Settings
from appliance.dialer_side import DialerSide
from appliance.sip.endpoint import SipEndpoint
from appliance.store.store import Store
from tests.box import CAMPAIGN


def test_the_last_alarms_are_kept_the_newest_first(tmp_path: Path) -> None:
    data = {
        "campaign": str(CAMPAIGN),
        "sip": {"registrar": "127.0.0.1:9", "username": "8371", "password": "secret", "bind": "127.0.0.1", "port": 0},
        "paths": {name: str(tmp_path / name) for name in ("state", "runtime", "recordings")},
    }
    settings, campaign = Settings.model_validate(data), load_campaign(CAMPAIGN)
    published: list[api.Change] = []
    side = DialerSide(
        settings,
        campaign,
        sip=SipEndpoint(settings.sip, 1, print),
        store=Store(settings.paths, recording=False),
        switchboard=Switchboard(campaign, lines=1, longest_call_s=60.0),
        happened=print,
        publish=published.append,
        posted=print,
    )
    assert side.alarms == []
    for n in range(25):
        side.alarm("voicemail", f"n{n}")
    assert [alarm.message for alarm in side.alarms] == [f"n{n}" for n in range(24, 4, -1)]
    assert side.alarms == published[:4:-1]
