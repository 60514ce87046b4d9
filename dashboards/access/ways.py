"""The ways in: a token of the owner, users with passwords, or a proxy that knows the visitor."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from typing import Final

from dashboards.access.people import Role, Visitor
from dashboards.access.sessions import COOKIE, Sessions
from dashboards.access.tries import Tries
from dashboards.access.users import Users
from pipeline.settings import Settings

OWNER: Final = "owner"
BY_TOKEN: Final = "token"  # noqa: S105 - the name of a way, not a token
BY_PASSWORD: Final = "user"  # noqa: S105 - as above
TOKEN_FILE: Final = "console.token"  # noqa: S105 - as above
GROUP: Final = "pipeline-"
"""What the names of groups begin with by which a proxy tells roles."""


class Access:
    """Tells who a request comes from.

    Args:
        settings: which ways there are.
    """

    def __init__(self, settings: Settings) -> None:
        proxy = settings.console_proxy_secret
        self._proxy = None if proxy is None else proxy.get_secret_value().encode()
        self.users = Users(settings.console_users)
        self.tries = Tries()
        given = settings.console_token
        token = given.get_secret_value() if given else _kept(settings.data_dir)
        self.sessions = Sessions(hashlib.blake2b(token.encode(), person=b"session").digest())
        alone = not self.users and self._proxy is None
        self.token = token if given is not None or alone else None

    def visitor(self, headers: Mapping[str, str]) -> Visitor | None:
        """Who sent these headers; None where nobody known did.

        Roles are looked up anew for each request, so a change of them counts at once.
        """
        return self._by_proxy(headers) or self._by_bearer(headers) or self._by_cookie(headers)

    def log_in(self, name: str, password: str) -> str | None:
        """The cookie for a user and password, or the token alone; None where they are wrong."""
        if not name:
            return self.sessions.write(OWNER, BY_TOKEN) if self._is_token(password) else None
        user = self.users.check(name, password)
        if user is None:
            return None
        return self.sessions.write(name, f"{BY_PASSWORD}:{user.digest[-16:]}")

    def _by_proxy(self, headers: Mapping[str, str]) -> Visitor | None:
        given = headers.get("x-pipeline-proxy-secret", "").encode()
        if self._proxy is None or not hmac.compare_digest(given, self._proxy):
            return None
        name = headers.get("x-forwarded-user", "").strip()[:64]
        groups = [group.strip() for group in headers.get("x-forwarded-groups", "").split(",")]
        known = (Role.of(group.removeprefix(GROUP)) for group in groups if group.startswith(GROUP))
        roles = [role for role in known if role is not None]
        return Visitor(name, max(roles)) if name and roles else None

    def _by_bearer(self, headers: Mapping[str, str]) -> Visitor | None:
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self._is_token(given.strip()):
            return Visitor(OWNER, Role.ADMIN)
        return None

    def _by_cookie(self, headers: Mapping[str, str]) -> Visitor | None:
        try:
            morsel = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
        except CookieError:
            return None
        session = self.sessions.read(morsel.value) if morsel else None
        if session is None:
            return None
        name, way = session
        if way == BY_TOKEN:
            return Visitor(name, Role.ADMIN) if self.token else None
        user = self.users.get(name)
        # A session ends with the password it was begun with.
        if user is None or way != f"{BY_PASSWORD}:{user.digest[-16:]}":
            return None
        return Visitor(name, user.role)

    def _is_token(self, given: str) -> bool:
        return self.token is not None and hmac.compare_digest(given.encode(), self.token.encode())


def _kept(folder: Path) -> str:
    """The token in the data folder, made at first; where none can be kept, one of this process."""
    path, made = folder / TOKEN_FILE, secrets.token_urlsafe(24)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(opened, "w", encoding="ascii") as file:
            file.write(made)
    except FileExistsError:
        # Empty while the other process is between making it and writing it.
        return path.read_text(encoding="ascii").strip() or made
    except OSError:
        return made
    return made
