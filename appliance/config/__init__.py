"""Settings and campaigns: TOML in and out, validated as a whole."""

from __future__ import annotations

from appliance.config.load import load_campaign, load_settings
from appliance.config.save import dump_settings, write_settings

__all__ = ["dump_settings", "load_campaign", "load_settings", "write_settings"]
