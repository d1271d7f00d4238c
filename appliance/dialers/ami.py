"""One connection to an Asterisk's manager interface (AMI). The protocol itself is panoramisk's.

Its `Manager` is not used: that one connects anew for ever, with a wrong password too, and PBXs bar addresses for that.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
from collections import deque
from typing import ClassVar

from panoramisk.actions import Action  # type: ignore[import-untyped]
from panoramisk.ami_protocol import AMIProtocol  # type: ignore[import-untyped]
from panoramisk.message import Message  # type: ignore[import-untyped]

ANSWER_S = 4.0
_WRONG_PASSWORD = "Authentication failed"


class AmiError(Exception):
    """The PBX cannot be reached or does not answer. The text is for an operator and has no secrets."""


class AmiRefusal(AmiError):
    """The PBX answers, and refuses the action. The text is the PBX's own."""


class BadPassword(AmiError):
    """The PBX refuses our user or password."""


def field(answer: dict[str, str], name: str) -> str:
    """Raises AmiError where the answer has no such field."""
    try:
        return answer[name]
    except KeyError:
        raise AmiError(f"the PBX's answer has no {name}") from None


class _Protocol(AMIProtocol):  # type: ignore[misc]
    encoding = "utf8"

    def __init__(self, ami: Ami) -> None:
        self._ami = ami

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.factory = self._ami
        # panoramisk logs whole actions when it fails to send them.
        self.log = logging.Logger("silent", level=logging.CRITICAL + 1)


class Ami:
    """Made by `open`. `lost` is done when the connection is gone."""

    # What panoramisk's protocol wants of its owner: it stores actions that a lost connection left open. They are dropped.
    save_stream = None
    forgetable_actions = ()
    awaiting_actions: ClassVar[deque[Action]] = deque(maxlen=0)

    def __init__(self) -> None:
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._protocol = _Protocol(self)

    @classmethod
    async def open(cls, host: str, port: int, user: str, secret: str) -> Ami:
        """Connect and log in; the secret itself is never sent. Raises AmiError, BadPassword among them."""
        ami = cls()
        try:
            async with asyncio.timeout(ANSWER_S):
                await asyncio.get_running_loop().create_connection(lambda: ami._protocol, host, port)
        except TimeoutError:
            raise AmiError(f"{host}:{port} does not answer") from None
        except OSError as error:
            code = error.errno or 0  # negative for a name that is unknown
            why = os.strerror(code) if code > 0 else "cannot be reached"
            raise AmiError(f"{host}:{port}: {why}") from None
        try:
            await ami._log_in(user, secret)
        except BaseException:
            ami.close()
            raise
        return ami

    async def _log_in(self, user: str, secret: str) -> None:
        challenge = await self.ask("Challenge", AuthType="MD5")
        key = hashlib.md5((field(challenge, "Challenge") + secret).encode(), usedforsecurity=False).hexdigest()
        try:
            await self.ask("Login", AuthType="MD5", Username=user, Key=key, Events="off")
        except AmiRefusal as refusal:
            if str(refusal) == _WRONG_PASSWORD:
                raise BadPassword(f"the manager interface refuses the user {user} or its password") from None
            raise

    @property
    def version(self) -> str:
        """The interface's own version, "5.0.5"; "" before its first line has come."""
        return self._protocol.version or ""

    async def ask(self, action: str, **fields: str) -> dict[str, str]:
        """The answer to one action. Raises AmiError."""
        return (await self._ask(action, fields, several=False))[0]

    async def ask_list(self, action: str, **fields: str) -> list[dict[str, str]]:
        """The events that an action answers with, without its response. Raises AmiError."""
        return [row for row in await self._ask(action, fields, several=True) if "Event" in row]

    async def _ask(self, action: str, fields: dict[str, str], *, several: bool) -> list[dict[str, str]]:
        # Left to itself panoramisk takes QueueAdd's "Added interface to queue" for the head of a list, and waits.
        answer = self._protocol.send(Action({"Action": action, **fields}), as_list=None if several else False)
        await asyncio.wait({answer, self.lost}, timeout=ANSWER_S, return_when=asyncio.FIRST_COMPLETED)
        if not answer.done():
            answer.cancel()
            raise AmiError(f"the PBX {'closed the connection' if self.lost.done() else 'does not answer'} ({action})")
        found = answer.result()
        messages: list[Message] = found if isinstance(found, list) else [found]
        if not messages[0].success:
            raise AmiRefusal(str(messages[0].message))
        return [dict(message) for message in messages]

    def close(self) -> None:
        if not self.lost.done():
            self.lost.set_result(None)
            self._protocol.close()

    # Called by panoramisk's protocol ---------------------------------------------------------------------------------

    def dispatch(self, event: Message) -> None:
        """Events that nobody asked for: there are nearly none, we log in without."""

    def connection_lost(self, reason: object) -> None:
        if not self.lost.done():
            self.lost.set_result(None)
