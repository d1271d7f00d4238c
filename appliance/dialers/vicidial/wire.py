"""One request to VICIdial: time-outs, tries, and the password that is never tried twice when it is wrong."""

from __future__ import annotations

import asyncio
import enum
import functools
import logging
import ssl
from collections.abc import Callable, Mapping
from typing import TypeVar

import httpx
import tenacity

from appliance.config.settings import Vicidial
from appliance.dialers.protocol import Health
from appliance.dialers.vicidial.replies import Refusal, Reply, Shape, parse, redacted
from appliance.errors import SidetoneError

T = TypeVar("T")

log = logging.getLogger(__name__)

SOURCE = "sidetone"  # VICIdial takes 2 to 20 characters, and keeps them in its log of API calls
READ_TRIES = 3
CONNECTIONS = 4  # to each API; together fewer than the ten wrong passwords that lock a user, for it may be changed meanwhile
IDLE_S = 2.0  # less than a web server keeps a connection: a request on one that it closes just now would be unclear
LONGEST_ANSWER_BYTES = 1 << 20
PASSING = (httpx.codes.REQUEST_TIMEOUT, httpx.codes.TOO_MANY_REQUESTS)


class Api(enum.Enum):
    AGENT = "agent API"
    ADMIN = "non-agent API"


class Function(enum.Enum):
    """What is ever asked of a VICIdial. Functions that answer SUCCESS and do nothing for a remote agent are not here."""

    AGENT_VERSION = (Api.AGENT, "version", False)
    RA_CALL_CONTROL = (Api.AGENT, "ra_call_control", True)
    VERSION = (Api.ADMIN, "version", False)
    AGENT_STATUS = (Api.ADMIN, "agent_status", False)
    LOGGED_IN_AGENTS = (Api.ADMIN, "logged_in_agents", False)
    LEAD_ALL_INFO = (Api.ADMIN, "lead_all_info", False)
    CALLID_INFO = (Api.ADMIN, "callid_info", False)
    LEAD_CALLBACK_INFO = (Api.ADMIN, "lead_callback_info", False)
    CAMPAIGNS_LIST = (Api.ADMIN, "campaigns_list", False)
    UPDATE_LEAD = (Api.ADMIN, "update_lead", True)
    UPDATE_LOG_ENTRY = (Api.ADMIN, "update_log_entry", True)
    ADD_DNC_PHONE = (Api.ADMIN, "add_dnc_phone", True)
    UPDATE_REMOTE_AGENT = (Api.ADMIN, "update_remote_agent", True)

    @property
    def api(self) -> Api:
        return self.value[0]

    @property
    def called(self) -> str:
        return self.value[1]

    @property
    def writes(self) -> bool:
        return self.value[2]


OPEN = (Function.AGENT_VERSION, Function.VERSION)
"""Asked and answered without a login."""

_RIGHTS = {
    Function.AGENT_STATUS: "View Reports",
    Function.LOGGED_IN_AGENTS: "View Reports",
    Function.CALLID_INFO: "View Reports",
    Function.LEAD_CALLBACK_INFO: "View Reports",
    Function.LEAD_ALL_INFO: "Modify Leads",
    Function.UPDATE_LEAD: "Modify Leads",
    Function.UPDATE_LOG_ENTRY: "Modify Leads",
    Function.ADD_DNC_PHONE: "Modify Lists",
    Function.UPDATE_REMOTE_AGENT: "Modify Remote Agents",
}
"""The field of the user's page that a function asks for, besides those that all of them do (non_agent_api.php)."""


class Trouble(enum.Enum):
    """Why a request did not do what it should. Only after UNCLEAR may something have been written."""

    UNREACHABLE = "unreachable"  # nothing was sent
    UNCLEAR = "unclear"  # sent, and no answer that can be read
    LOCKED = "locked"  # wrong password, or too many of them: nothing is sent any more
    FORBIDDEN = "forbidden"  # our user may not use this function
    SHUT = "shut"  # the API as such does not serve us: switched off, our address, a wrong path
    TOO_OLD = "too old"  # it does not know the function
    REFUSED = "refused"  # it said no to what was asked
    READ_ONLY = "read only"  # shadow mode: not sent


ANSWERED = (Trouble.LOCKED, Trouble.FORBIDDEN, Trouble.TOO_OLD, Trouble.REFUSED)


class VicidialError(SidetoneError):
    """A request to the dialer came to nothing. The message has no secrets."""

    def __init__(self, trouble: Trouble, message: str, *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.trouble = trouble


LOCKED_HINT = (
    "correct dialer.vicidial.user and password in sidetone.toml and restart the box; if it was corrected on the dialer:"
    " sidetone outbox retry"
)
"""A retry does not read the settings again: it would only spend another of the ten wrong passwords that lock a user."""

_REFUSED = {
    Refusal.PASSWORD: (
        Trouble.LOCKED,
        "the dialer refused the user or the password",
        LOCKED_HINT,
    ),
    Refusal.LOCKED: (
        Trouble.LOCKED,
        "the dialer has locked the API user after too many wrong passwords",
        f"wait 15 minutes, then: {LOCKED_HINT}",
    ),
    Refusal.PERMISSION: (
        Trouble.FORBIDDEN,
        "the API user may not use it",
        "",  # depends on the function
    ),
    Refusal.NOT_ACTIVE: (Trouble.SHUT, "the API is switched off", "in the dialer's System Settings: enable it"),
    Refusal.SOURCE: (Trouble.SHUT, f"the source {SOURCE!r} is not accepted", "allow it on the dialer"),
    Refusal.ADDRESS: (Trouble.SHUT, "the box's address is not allowed", "add it to the dialer's list of IP addresses"),
    Refusal.UNKNOWN_FUNCTION: (Trouble.TOO_OLD, "this build does not know it", "update the dialer"),
}


class Wire:
    """Requests to both APIs. Always POST: the password stays out of addresses, and so out of everybody's logs."""

    def __init__(self, settings: Vicidial, *, read_only: bool) -> None:
        for chatty in ("httpx", "httpcore"):
            logging.getLogger(chatty).setLevel(logging.WARNING)
        self._settings = settings
        self._read_only = read_only
        self._secrets = (settings.password.get_secret_value(),)
        base = str(settings.url).rstrip("/")
        self._urls = {Api.AGENT: base + settings.agent_path, Api.ADMIN: base + settings.admin_path}
        half_s = settings.timeout_s / 2
        # One for each API: an end that must be told now does not wait behind paperwork.
        self._http = {
            api: httpx.AsyncClient(
                timeout=httpx.Timeout(settings.timeout_s, connect=half_s, pool=half_s),
                limits=httpx.Limits(max_connections=CONNECTIONS, keepalive_expiry=IDLE_S),
                verify=_trusted(),
                trust_env=False,  # a proxy of the environment must not see the password
            )
            for api in Api
        }
        self._proven = False
        self._proving = asyncio.Lock()
        self._locked = ""
        self._troubles: dict[Api, str] = {}
        self._forbidden: set[str] = set()
        self._answered = False
        self._build = ""
        self._utc_offset_h: float | None = None

    @property
    def health(self) -> Health:
        told = [self._locked, *self._troubles.values()]
        if self._forbidden:
            told.append(f"not permitted: {', '.join(sorted(self._forbidden))}")
        return Health(
            reachable=not self._troubles if self._answered or self._troubles else None,
            locked=bool(self._locked),
            detail="; ".join(filter(None, told)),
            build=self._build,
            utc_offset_h=self._utc_offset_h,
        )

    def learned(self, build: str, utc_offset_h: float | None) -> None:
        self._build, self._utc_offset_h = build, utc_offset_h

    def unlock(self) -> None:
        if self._locked:
            log.info("the dialer's password is tried again")
        self._locked, self._proven = "", False
        self._forbidden.clear()

    async def close(self) -> None:
        for http in self._http.values():
            await http.aclose()

    async def read(self, function: Function, asked: Mapping[str, str], understand: Callable[[Reply], T]) -> T:
        """Tried again where nothing that `understand` can read came, for at most about twice `timeout_s` in all."""

        async def once() -> T:
            return await self._understood(function, asked, understand)

        try:
            return await tenacity.AsyncRetrying(
                stop=tenacity.stop_after_attempt(READ_TRIES) | tenacity.stop_after_delay(self._settings.timeout_s),
                wait=tenacity.wait_random_exponential(multiplier=0.1, max=1.0),
                retry=tenacity.retry_if_exception(_may_pass),
                reraise=True,
            )(once)
        except VicidialError as error:
            if error.trouble is Trouble.UNCLEAR and function.api not in self._troubles:
                raise self._lost(function, Trouble.UNCLEAR, error.message.removeprefix(f"{function.called}: ")) from None
            raise

    async def write(self, function: Function, asked: Mapping[str, str], understand: Callable[[Reply], T]) -> T:
        """Once: whether it has happened is for the caller to look up."""
        if self._read_only:
            raise VicidialError(Trouble.READ_ONLY, f"{function.called}: not sent in shadow mode")
        return await self._understood(function, asked, understand)

    async def _understood(self, function: Function, asked: Mapping[str, str], understand: Callable[[Reply], T]) -> T:
        """An API serves when what it says can be understood: half an answer is none, and a refusal is one."""
        try:
            found = understand(await self._ask(function, asked))
        except VicidialError as error:
            if error.trouble in ANSWERED:
                self._back(function.api)
            raise
        self._back(function.api)
        return found

    async def _ask(self, function: Function, asked: Mapping[str, str]) -> Reply:
        try:
            async with asyncio.timeout(self._settings.timeout_s):
                if function in OPEN:
                    return await self._send(function, asked)
                if not self._proven:
                    # One at a time until the password has been right once: ten wrong ones lock the user.
                    async with self._proving:
                        if not self._proven:
                            return await self._log_in(function, asked)
                return await self._log_in(function, asked)
        except TimeoutError:
            raise self._lost(function, Trouble.UNCLEAR, f"no answer within {self._settings.timeout_s:g} s") from None

    async def _log_in(self, function: Function, asked: Mapping[str, str]) -> Reply:
        if self._locked:
            raise VicidialError(Trouble.LOCKED, self._locked, hint=_REFUSED[Refusal.PASSWORD][2])
        reply = await self._send(function, {"user": self._settings.user, "pass": self._secrets[0], **asked})
        refusal = reply.refusal
        self._proven = self._proven or refusal in (None, Refusal.PERMISSION)
        if refusal is not None:
            raise self._refused(function, refusal)
        self._forbidden.discard(function.called)
        return reply

    async def _send(self, function: Function, asked: Mapping[str, str]) -> Reply:
        body = {"source": SOURCE, "function": function.called, **asked}
        try:
            async with self._http[function.api].stream("POST", self._urls[function.api], data=body) as response:
                text = await _text(response)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            raise self._lost(function, Trouble.UNREACHABLE, self._named(function, error)) from None
        except httpx.HTTPError as error:
            raise self._lost(function, Trouble.UNCLEAR, self._named(function, error)) from None
        if response.status_code in PASSING or response.status_code >= httpx.codes.INTERNAL_SERVER_ERROR:
            raise self._lost(function, Trouble.UNCLEAR, f"HTTP {response.status_code}")
        if not response.is_success:
            # VICIdial itself always says 200.
            where = "the API is elsewhere, look where it redirects to" if response.is_redirect else "no API at that address"
            raise self._lost(function, Trouble.SHUT, f"HTTP {response.status_code}: {where}", "correct dialer.vicidial.url")
        reply = parse(text, function.called, self._secrets)
        if reply.shape is Shape.PAGE:
            raise self._lost(function, Trouble.UNCLEAR, reply.told)
        if reply.shape is Shape.EMPTY:
            raise VicidialError(Trouble.UNCLEAR, f"{function.called}: {reply.told}")
        return reply

    def _named(self, function: Function, error: httpx.HTTPError) -> str:
        """What went wrong and where: httpx does not say whom it could not reach."""
        return f"{self._urls[function.api]}: {redacted(str(error) or type(error).__name__, self._secrets)}"

    def _refused(self, function: Function, refusal: Refusal) -> VicidialError:
        trouble, message, hint = _REFUSED[refusal]
        if trouble is Trouble.FORBIDDEN:
            hint = _rights(function, self._settings.user)
        if trouble is Trouble.LOCKED and not self._locked:
            self._locked = message
            log.error("%s; nothing more is sent to it", message)
        elif trouble is Trouble.FORBIDDEN and function.called not in self._forbidden:
            self._forbidden.add(function.called)
            log.error("%s: %s", function.called, message)
        elif trouble is Trouble.SHUT:
            return self._lost(function, trouble, message, hint)
        return VicidialError(trouble, f"{function.called}: {message}", hint=hint)

    def _lost(self, function: Function, trouble: Trouble, why: str, hint: str = "") -> VicidialError:
        """Its log has the change of state alone, not every request."""
        api = function.api
        if api not in self._troubles:
            log.warning("the dialer's %s does not serve: %s", api.value, why)
        self._troubles[api] = f"{api.value}: {why}"
        return VicidialError(trouble, f"{function.called}: {why}", hint=hint or f"look at {self._urls[api]}")

    def _back(self, api: Api) -> None:
        self._answered = True
        if self._troubles.pop(api, None) is not None:
            log.info("the dialer's %s answers again", api.value)


@functools.cache
def _trusted() -> ssl.SSLContext:
    """The machine's own store, so that a site's authority can be added to it. Once: reading it takes 0.1 s."""
    return ssl.create_default_context()


def _rights(function: Function, user: str) -> str:
    """What the API user needs to be given for this function."""
    fields = ["User Level 8", "Agent API Access 1"]
    if function in _RIGHTS:
        fields.append(f"{_RIGHTS[function]} 1")
    return f"in the dialer's Users page of {user}: {', '.join(fields)}, and {function.called} among its API Allowed Functions"


def _may_pass(error: BaseException) -> bool:
    return isinstance(error, VicidialError) and error.trouble in (Trouble.UNREACHABLE, Trouble.UNCLEAR)


async def _text(response: httpx.Response) -> str:
    """The body, in UTF-8 whatever it claims. Too long a one is cut: no answer of VICIdial is."""
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > LONGEST_ANSWER_BYTES:
            break
    return bytes(body[:LONGEST_ANSWER_BYTES]).decode(errors="replace")
