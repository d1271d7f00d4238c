"""The simplest client there can be: one request, the body of its reply. For tests of the double, and for lab scripts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import httpx

from tests.fakes.vicidial.double import Double, password_of

AGENT, ADMIN = "/agc/api.php", "/vicidial/non_agent_api.php"


class Ask(Protocol):
    def __call__(self, function: str, /, *, method: str = "POST", user: str = "apiuser", **params: str) -> str: ...


@dataclass(frozen=True)
class Asker:
    double: Double
    client: httpx.Client
    path: str

    def __call__(self, function: str, /, *, method: str = "POST", user: str = "apiuser", **params: str) -> str:
        sent = {"source": "test", "user": user, "pass": password_of(self.double, user), "function": function, **params}
        url = self.double.url + self.path
        reply = self.client.post(url, data=sent) if method == "POST" else self.client.get(url, params=sent)
        assert (reply.status_code, reply.headers["content-type"]) == (200, "text/html; charset=utf-8")
        return reply.text
