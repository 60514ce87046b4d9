"""The gate in front of everything: who asks, from where, and whether that may change something.

What changes something needs an operator unless its route asks for more, comes from our own
pages, and is refused in read-only mode: also for routes that are added later and forget to say.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dashboards.access.origin import same_origin
from dashboards.access.people import Role, Visit
from dashboards.access.ways import Access

SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
LOGIN: Final = "/ops/login"
LOGOUT: Final = "/ops/logout"
OPEN: Final = (LOGIN, "/static/", "/healthz")
"""What those see who have not logged in."""
RQ: Final = "/rq"

POLICY: Final = (
    "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
RQ_POLICY: Final = (
    "default-src 'none'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
"""rq-dashboard's pages are scripts in the page, which make functions of text."""
HEADERS: Final = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}

Refuse = Callable[[Scope, int, str], ASGIApp]
"""Makes the answer to a request that is refused: its scope, a status, and why."""


class Guard:
    """An ASGI application in front of another.

    Args:
        app: the other one.
        access: tells who asks.
        read_only: whether nothing is changed, whoever asks.
        refuse: makes the answer to what is refused.
    """

    def __init__(self, app: ASGIApp, access: Access, refuse: Refuse, *, read_only: bool) -> None:
        self.app = app
        self._access = access
        self._refuse = refuse
        self._read_only = read_only

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or let the other application answer."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            raise AssertionError(f"the console serves no {scope['type']}")
        headers, nonce = Headers(scope=scope), secrets.token_urlsafe(16)
        visit = Visit(self._access.visitor(headers), nonce, self._read_only)
        scope.setdefault("state", {})["visit"] = visit
        refused = self._refusal(scope, headers, visit)
        app = self.app if refused is None else self._refuse(scope, *refused)

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                _harden(MutableHeaders(scope=message), scope["path"], nonce)
            await send(message)

        await app(scope, receive, answer)

    def _refusal(
        self, scope: Scope, headers: Mapping[str, str], visit: Visit
    ) -> tuple[int, str] | None:
        path, changes = scope["path"], scope["method"] not in SAFE
        bearer = headers.get("authorization", "").lower().startswith("bearer ")
        if changes and not bearer and not same_origin(headers):
            return 403, "this was not sent by one of the console's own pages"
        if not path.startswith(OPEN) and visit.visitor is None:
            return 401, "log in first"
        if not changes or path in {LOGIN, LOGOUT}:
            return None
        if self._read_only:
            return 405, "the console is read-only; nothing was changed"
        if not visit.may(Role.OPERATOR):
            return 403, "this needs the role operator; nothing was changed"
        return None


def _harden(headers: MutableHeaders, path: str, nonce: str) -> None:
    policy = RQ_POLICY if _within(path, RQ) else POLICY.format(nonce=nonce)
    headers["content-security-policy"] = policy
    for name, value in HEADERS.items():
        headers[name] = value
    if "cache-control" not in headers:
        # Pages hold what only those may see who are logged in now.
        headers["cache-control"] = "no-store"


def _within(path: str, prefix: str) -> bool:
    return path == prefix or path.startswith(f"{prefix}/")
