"""Which dialer the settings name: adding one is its file and a line here."""

from __future__ import annotations

from typing import assert_never

from appliance.config.settings import DialerKind, Settings
from appliance.dialers.pbx import PbxDialer
from appliance.dialers.protocol import Dialer
from appliance.dialers.queue import QueueDialer
from appliance.dialers.queue_switch import QueueSwitch
from appliance.dialers.vicidial.dialer import VicidialDialer


def dialer_of(settings: Settings) -> Dialer:
    """The dialer that the settings name. Nothing is sent yet."""
    choice = settings.dialer
    match choice.kind:
        case DialerKind.VICIDIAL:
            assert choice.vicidial is not None  # the settings say so
            statuses = frozenset(choice.dispositions.values())
            return VicidialDialer(choice.vicidial, lines=settings.capacity.lines, shadow=choice.shadow, statuses=statuses)
        case DialerKind.QUEUE:
            assert choice.queue is not None
            return QueueDialer(choice.queue, settings.sip, choice.transfer_to)
        case DialerKind.PBX:
            return PbxDialer(choice.transfer_to)
        case _:
            assert_never(choice.kind)


def switch_of(settings: Settings) -> Dialer:
    """The same dialer for the guard: it pauses and resumes, and never is a second one of what the daemon is."""
    choice = settings.dialer
    if choice.kind is DialerKind.QUEUE and choice.queue is not None:
        return QueueSwitch(choice.queue, settings.sip)
    return dialer_of(settings)
