"""The file of users: names, roles, and passwords as scrypt digests."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import secrets
from pathlib import Path
from typing import Any, Final, NamedTuple

from dashboards.access.people import Role
from pipeline.errors import SettingError

NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
SHORTEST: Final = 10
LONGEST: Final = 200
MOST_USERS: Final = 1_000
COST: Final = 2**14
"""Of scrypt, with blocks of 8: some 40 ms and 16 MiB."""


class User(NamedTuple):
    """One line of the file."""

    role: Role
    digest: str


class Users:
    """The users of a file, read again when it has changed.

    Args:
        path: the file; None for no users.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._read: tuple[int, dict[str, User]] = 0, {}

    def __bool__(self) -> bool:
        return self._path is not None

    def get(self, name: str) -> User | None:
        """The user of this name, as the file says now.

        Raises:
            SettingError: the file can't be read.
        """
        if self._path is None:
            return None
        try:
            changed = self._path.stat().st_mtime_ns
            if changed != self._read[0]:
                self._read = changed, _parsed(self._path)
        except OSError as error:
            raise SettingError(f"the users can't be read: {error}") from None
        return self._read[1].get(name)

    def check(self, name: str, password: str) -> User | None:
        """The user, if the password is right; takes as long where there is no such user."""
        user = self.get(name)
        right = matches(password, user.digest if user else _NOBODY)
        return user if right else None


def put(path: Path, name: str, role: Role, password: str) -> None:
    """Add a user to the file, or change one.

    Raises:
        SettingError: the name or the password can't be used, or the file can't be read.
    """
    if not NAME.fullmatch(name):
        raise SettingError(f"{name!r} is no name of a user; letters, digits and . _ @ - are")
    if not SHORTEST <= len(password) <= LONGEST:
        raise SettingError(f"a password takes {SHORTEST} to {LONGEST} characters")
    users = _parsed(path) if path.exists() else {}
    users[name] = User(role, digest(password))
    told = {n: {"role": u.role.word, "password": u.digest} for n, u in users.items()}
    beside = path.with_name(f".{path.name}.new")
    opened = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(opened, "w", encoding="utf-8") as file:
        json.dump(told, file, indent=1)
    beside.replace(path)


def digest(password: str, salt: bytes | None = None) -> str:
    """`<salt>:<scrypt of it>`, in hexadecimal."""
    salt = salt or secrets.token_bytes(16)
    made = hashlib.scrypt(password.encode(), salt=salt, n=COST, r=8, p=1, dklen=32)
    return f"{salt.hex()}:{made.hex()}"


def matches(password: str, kept: str) -> bool:
    """Whether the digest is that of the password."""
    if len(password) > LONGEST:
        return False
    return hmac.compare_digest(digest(password, bytes.fromhex(kept.partition(":")[0])), kept)


_NOBODY: Final = f"{'00' * 16}:{'00' * 32}"


def _parsed(path: Path) -> dict[str, User]:
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        users = {
            name: User(_role(one["role"]), str(one["password"])) for name, one in found.items()
        }
        for user in users.values():
            bytes.fromhex(user.digest.replace(":", ""))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise SettingError(f"{path} is no file of users: {error}") from None
    if len(users) > MOST_USERS:
        raise SettingError(f"{path} holds {len(users):,} users; up to {MOST_USERS:,} are accepted")
    return users


def _role(word: str) -> Role:
    role = Role.of(word)
    if role is None:
        raise ValueError(f"{word!r} is no role")
    return role
