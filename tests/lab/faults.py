"""What can go wrong in the lab itself, as opposed to in the appliance under test."""

from __future__ import annotations

from appliance.errors import SidetoneError


class LabError(SidetoneError):
    """The lab cannot do its work: something is missing, a process did not start, a port is taken."""

    exit_code = 3
