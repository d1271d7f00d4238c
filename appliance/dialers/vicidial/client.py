"""The functions of VICIdial's two APIs that a remote agent needs, and only those."""

from __future__ import annotations

import enum
from typing import TypeVar

import msgspec

from appliance.config.settings import Vicidial
from appliance.dialers.protocol import Health
from appliance.dialers.vicidial import answers
from appliance.dialers.vicidial.fields import LeadChange, Status, clean
from appliance.dialers.vicidial.replies import Reply, Word
from appliance.dialers.vicidial.wire import Api, Function, Trouble, VicidialError, Wire

T = TypeVar("T")

IMPOSSIBLE_CALL = "V" + "0" * 19
"""In the form of a call id, but no month, day or lead is 0."""
IMPOSSIBLE_STATUS = Status("NI")


class Stage(enum.Enum):
    HANGUP = "HANGUP"
    IN_GROUP = "INGROUPTRANSFER"


class Told(enum.Enum):
    """What a write came to."""

    DONE = "done"
    ALREADY = "already"  # it was so before
    GONE = "gone"  # there is no such call, lead, log: nothing was written
    PARTLY = "partly"  # the lead has no such custom field, or the campaign no callbacks; the rest is written


class Callback(msgspec.Struct, frozen=True):
    """`at` is YYYY-MM-DD HH:MM:SS by the dialer's clock: VICIdial keeps any other form as zeros."""

    at: str
    campaign: str
    comments: str = ""


class Client:
    """One method per function. All raise `VicidialError`; reads are tried again within bounds, writes never are.

    `read_only`: nothing that writes is ever sent (shadow mode).
    """

    def __init__(self, settings: Vicidial, *, read_only: bool = False) -> None:
        self._settings = settings
        self._wire = Wire(settings, read_only=read_only)

    @property
    def health(self) -> Health:
        return self._wire.health

    def unlock(self) -> None:
        """Send again after a refused password."""
        self._wire.unlock()

    async def close(self) -> None:
        await self._wire.close()

    async def version(self, api: Api) -> answers.Version:
        """Needs no permission and no valid password."""
        function = Function.VERSION if api is Api.ADMIN else Function.AGENT_VERSION
        found = await self._wire.read(function, {}, lambda reply: _known(function, reply, answers.version(reply)))
        if api is Api.ADMIN:
            self._wire.learned(found.build, found.utc_offset_h)
        return found

    # Reads -----------------------------------------------------------------------------------------------------------

    async def agent_status(self, user: str) -> answers.AgentStatus | None:
        """None where `user` is not logged in."""

        def understand(reply: Reply) -> answers.AgentStatus | None:
            if reply.line(Word.ERROR, "AGENT NOT LOGGED IN", "AGENT NOT FOUND"):
                return None
            return _known(Function.AGENT_STATUS, reply, answers.agent_status(reply, user))

        return await self._wire.read(Function.AGENT_STATUS, {"agent_user": user, "header": "YES"}, understand)

    async def logged_in_agents(self) -> list[answers.Agent]:
        """Everybody who is logged in, remote agents too."""

        def understand(reply: Reply) -> list[answers.Agent]:
            if reply.line(Word.ERROR, "NO LOGGED IN AGENTS", "NO AGENTS"):
                return []
            return _known(Function.LOGGED_IN_AGENTS, reply, answers.agents(reply))

        return await self._wire.read(Function.LOGGED_IN_AGENTS, {"header": "YES", "show_sub_status": "YES"}, understand)

    async def lead(self, lead_id: int, *, custom: bool = False) -> dict[str, str] | None:
        """All fields of a lead by VICIdial's names, with its custom ones where asked for. None: there is no such lead."""

        def understand(reply: Reply) -> dict[str, str] | None:
            if reply.line(Word.ERROR, "LEAD NOT FOUND"):
                return None
            return _known(Function.LEAD_ALL_INFO, reply, answers.lead(reply, lead_id))

        asked = {"lead_id": str(lead_id), "header": "YES"} | ({"custom_fields": "Y"} if custom else {})
        return await self._wire.read(Function.LEAD_ALL_INFO, asked, understand)

    async def call_info(self, call_id: str) -> answers.CallInfo | None:
        """What the log says of a call that is up or over. None: it has none (yet)."""

        def understand(reply: Reply) -> answers.CallInfo | None:
            if reply.line(Word.ERROR, "CALL NOT FOUND", "CALL LOG NOT FOUND"):
                return None
            return _known(Function.CALLID_INFO, reply, answers.call_info(reply, call_id))

        return await self._wire.read(Function.CALLID_INFO, {"call_id": call_id, "detail": "YES", "header": "YES"}, understand)

    async def callbacks(self, lead_id: int) -> list[answers.CallbackInfo]:
        """The lead's callbacks; none for an unknown lead too."""

        def understand(reply: Reply) -> list[answers.CallbackInfo]:
            if reply.line(Word.ERROR, "CALLBACK NOT FOUND", "LEAD NOT FOUND"):
                return []
            return _known(Function.LEAD_CALLBACK_INFO, reply, answers.callbacks(reply, lead_id))

        return await self._wire.read(Function.LEAD_CALLBACK_INFO, {"lead_id": str(lead_id), "header": "YES"}, understand)

    async def campaigns(self) -> tuple[tuple[str, ...], ...]:
        """The rows of campaigns_list; the first column is the campaign's id."""
        return await self._wire.read(
            Function.CAMPAIGNS_LIST, {}, lambda reply: _known(Function.CAMPAIGNS_LIST, reply, reply.rows or None)
        )

    # Writes ----------------------------------------------------------------------------------------------------------

    async def control(self, call_id: str, stage: Stage, status: Status, in_group: str = "") -> Told:
        """ra_call_control: end the call, or send it to an in-group. DONE or GONE; anything else raises.

        VICIdial does not check whose call it is, so `call_id` must be ours. `agent_user` is always the first of our lines:
        the row of another one can be gone while its call is up.
        """
        asked = {"value": call_id, "agent_user": self._settings.agent_user, "stage": stage.value, "status": status.name}
        if stage is Stage.IN_GROUP:
            asked["ingroup_choices"] = in_group

        def understand(reply: Reply) -> Told:
            if reply.line(Word.ERROR, "no active call found"):
                return Told.GONE
            if reply.line(Word.SUCCESS, "hungup" if stage is Stage.HANGUP else "transfer"):
                return Told.DONE
            raise _unexpected(Function.RA_CALL_CONTROL, reply)

        return await self._wire.write(Function.RA_CALL_CONTROL, asked, understand)

    async def update_lead(
        self, lead_id: int, *, status: Status | None = None, change: LeadChange | None = None, callback: Callback | None = None
    ) -> Told:
        """Something must be there to change. GONE: no such lead. `NOTICE` alone is a success where only those parts change."""
        change = change or LeadChange()
        asked = {"search_method": "LEAD_ID", "lead_id": str(lead_id)}
        if status is not None:
            asked["status"] = status.name
        if callback is not None:
            asked |= {
                "callback": "Y",
                "callback_status": "CALLBK",
                "callback_datetime": callback.at,
                "callback_type": "ANYONE",
                "callback_comments": clean(callback.comments),
                "campaign_id": callback.campaign,
            }
        asked |= change.listed
        if change.custom:
            # Last: a custom field is only seen behind another parameter.
            asked |= {"custom_fields": "Y", **change.custom}

        def understand(reply: Reply) -> Told:
            return _lead_updated(reply, status is not None or bool(change.listed), bool(change.custom), callback is not None)

        return await self._wire.write(Function.UPDATE_LEAD, asked, understand)

    async def remove_callbacks(self, lead_id: int) -> Told:
        """All of the lead's. DONE also where it had none; GONE: no such lead."""

        def understand(reply: Reply) -> Told:
            if reply.line(Word.ERROR, "NO MATCHES FOUND"):
                return Told.GONE
            if reply.line(Word.NOTICE, "CALLBACK DELETED"):
                return Told.DONE
            raise _unexpected(Function.UPDATE_LEAD, reply)

        asked = {"search_method": "LEAD_ID", "lead_id": str(lead_id), "callback": "REMOVE"}
        return await self._wire.write(Function.UPDATE_LEAD, asked, understand)

    async def update_log_entry(self, group: str, call_id: str, status: Status) -> Told:
        """Correct the status in a call's log. `group` is its campaign, or the in-group of an inbound call."""

        def understand(reply: Reply) -> Told:
            if reply.line(Word.ERROR, "NO RECORDS UPDATED"):
                return Told.ALREADY
            if reply.line(Word.ERROR, "NO RECORDS FOUND", "GROUP NOT FOUND"):
                return Told.GONE
            if reply.line(Word.SUCCESS, "UPDATED"):
                return Told.DONE
            raise _unexpected(Function.UPDATE_LOG_ENTRY, reply)

        return await self._wire.write(
            Function.UPDATE_LOG_ENTRY, {"group": group, "call_id": call_id, "status": status.name}, understand
        )

    async def has_group(self, group: str) -> bool:
        """Is there a campaign or in-group of this id? Asked with the log entry of a call that cannot be; writes nothing."""

        def understand(reply: Reply) -> bool:
            if reply.line(Word.ERROR, "GROUP NOT FOUND"):
                return False
            if reply.line(Word.ERROR, "NO RECORDS FOUND"):
                return True
            raise _unexpected(Function.UPDATE_LOG_ENTRY, reply)

        return await self._wire.write(
            Function.UPDATE_LOG_ENTRY,
            {"group": group, "call_id": IMPOSSIBLE_CALL, "status": IMPOSSIBLE_STATUS.name},
            understand,
        )

    async def add_dnc_phone(self, phone: str, scope: str) -> Told:
        """DONE or ALREADY. VICIdial takes a `scope` that does not exist for good: it must be checked elsewhere."""

        def understand(reply: Reply) -> Told:
            if reply.line(Word.ERROR, "ALREADY EXISTS"):
                return Told.ALREADY
            if reply.line(Word.SUCCESS, "ADDED"):
                return Told.DONE
            raise _unexpected(Function.ADD_DNC_PHONE, reply)

        return await self._wire.write(Function.ADD_DNC_PHONE, {"phone_number": phone, "campaign_id": scope}, understand)

    async def update_remote_agent(self, *, active: bool | None = None, lines: int | None = None) -> Told:
        """Pause or resume our lines (None: as it is), set their number (at least 1)."""
        asked = {"agent_user": self._settings.agent_user}
        if active is not None:
            asked["status"] = "ACTIVE" if active else "INACTIVE"
        if lines is not None:
            asked["number_of_lines"] = str(lines)

        def understand(reply: Reply) -> Told:
            if reply.line(Word.SUCCESS, "UPDATED"):
                return Told.DONE
            if reply.line(Word.NOTICE, "ALREADY") or reply.line(Word.ERROR, "NO UPDATES DEFINED"):
                return Told.ALREADY
            if reply.line(Word.ERROR, "DOES NOT EXIST"):
                return Told.GONE
            raise _unexpected(Function.UPDATE_REMOTE_AGENT, reply)

        return await self._wire.write(Function.UPDATE_REMOTE_AGENT, asked, understand)


def _lead_updated(reply: Reply, listed: bool, custom: bool, callback: bool) -> Told:
    if reply.line(Word.ERROR, "NO MATCHES FOUND"):
        return Told.GONE
    if reply.line(Word.NOTICE, "CALLBACK NOT ADDED", "CUSTOM FIELDS NOT ADDED"):
        return Told.PARTLY
    has_list = not listed or reply.line(Word.SUCCESS, "UPDATED") is not None
    has_custom = not custom or reply.line(Word.NOTICE, "FIELDS VALUES UPDATED") is not None
    has_callback = not callback or reply.line(Word.NOTICE, "CALLBACK ADDED", "CALLBACK UPDATED") is not None
    if has_list and has_callback and (has_custom or listed or callback):
        return Told.DONE if has_custom else Told.PARTLY
    raise _unexpected(Function.UPDATE_LEAD, reply)


def _known(function: Function, reply: Reply, found: T | None) -> T:
    if found is None:
        raise _unexpected(function, reply)
    return found


def _unexpected(function: Function, reply: Reply) -> VicidialError:
    """A refusal in words, or nothing that can be read: then a write may have happened."""
    said = reply.line(Word.ERROR)
    if said is not None:
        return VicidialError(Trouble.REFUSED, f"{function.called}: {said.reason}")
    return VicidialError(Trouble.UNCLEAR, f"{function.called}: answered with what cannot be understood: {reply.told}")
