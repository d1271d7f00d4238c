"""A line that VICIdial says, how it comes to say it, and what the client makes of it."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
from pydantic import SecretStr

from appliance.dialers.vicidial.client import Client
from appliance.dialers.vicidial.fields import Status
from appliance.dialers.vicidial.replies import Reply, Word
from appliance.dialers.vicidial.wire import VicidialError, Wire
from tests.dialers.vicidial.conftest import Settings
from tests.dialers.vicidial.scripted import run
from tests.fakes.vicidial import Dialect, Double, password_of
from tests.fakes.vicidial.asker import ADMIN

NI = Status("NI")
ANY = "<>"
"""In a line: what differs from call to call."""


@dataclass
class Scene:
    """A call on line 9001, and the client. `wire` is for requests that the client has no method for."""

    site: Double
    client: Client
    wire: Wire
    call: str
    lead: int


@dataclass(frozen=True)
class Says:
    """An answer that only the wire has read: it must have this word, and the phrase in its reason."""

    word: Word
    phrase: str


@dataclass(frozen=True)
class Line:
    """`said` as the source has it, `docs` as the documentation does where that differs. "" is an empty answer.

    `came`: what the client returns, the trouble that it raises, `Says`, or a question about what it returned.
    `given`: what is so before. `settings`: the client's own.
    """

    said: str
    ask: Callable[[Scene], Awaitable[object]]
    came: object
    given: Callable[[Scene], object] = lambda scene: None
    docs: str | None = None
    settings: dict[str, Any] = field(default_factory=dict)

    def wording(self, dialect: Dialect) -> str:
        return self.docs if dialect is Dialect.DOCS and self.docs is not None else self.said


def dashed(said: str) -> str:
    """An error of the non-agent API in the documentation's form: a dash, and no bars around the data."""
    return re.sub(r"^(ERROR: [^:]*): \|?(.*?)\|?$", r"\1 - \2", said)


def matches(wording: str, line: str) -> bool:
    return re.fullmatch(re.escape(wording).replace(re.escape(ANY), r"[^|\n]*"), line) is not None


def lock_out(scene: Scene, user: str = "apiuser") -> None:
    """Somebody else tries ten wrong passwords."""
    with httpx.Client(verify=False) as stranger:  # noqa: S501 there is no TLS here, and the context takes long
        for _ in range(10):
            sent = {"source": "other", "user": user, "pass": "wrong", "function": "agent_status"}
            stranger.post(scene.site.url + ADMIN, data=sent)


def play(site: Double, settings: Settings, line: Line) -> None:
    """Have the double say the line; AssertionError where it does not, or where the client makes something else of it."""
    lead = site.next_lead()
    assert lead is not None
    call = site.call_answered(lead, f"SIP/carrier-{lead}")
    assert call is not None
    user = line.settings.get("user", "apiuser")
    of_client = settings(**({"password": SecretStr(password_of(site, user))} | line.settings))

    async def scenario() -> tuple[object, int]:
        scene = Scene(site, Client(of_client), Wire(of_client, read_only=False), call, lead)
        try:
            line.given(scene)
            since = len(site.ledger.requests)
            try:
                return await line.ask(scene), since
            except VicidialError as error:
                return error.trouble, since
        finally:
            await scene.client.close()
            await scene.wire.close()

    came, since = run(scenario())
    replies = [seen.reply.removesuffix("\n") for seen in site.ledger.requests[since:]]
    wording = line.wording(site.site.dialect)
    heard = {text for reply in replies for text in (reply, *reply.split("\n"))}
    assert any(matches(wording, text) for text in heard), f"the double said {replies}, not {wording!r}"
    if isinstance(line.came, Says):
        assert isinstance(came, Reply)
        assert came.line(line.came.word, line.came.phrase) is not None, came
    elif callable(line.came):
        assert line.came(came), came
    else:
        assert came == line.came
