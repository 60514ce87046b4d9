"""Make a MongoDB a replica set of one, once in its life: without one it has no transactions."""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass
from typing import Any, Final

from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError
from pymongo.uri_parser import parse_uri

from pipeline.errors import SettingError, Unavailable
from pipeline.store.client import NO_ADDRESS

POLL: Final = 0.2  # seconds
ANSWER_TIMEOUT_MS: Final = 2_000
HOPELESS: Final = frozenset({13, 18, 59, 76})
"""Codes that waiting won't change: no right, no login, a mongos, started without --replSet."""


@dataclass(frozen=True, slots=True)
class Initiated:
    """A replica set that has a primary.

    Attributes:
        name: of the set.
        member: host and port of its one member, as the address names them.
        new: whether it was initiated just now.
    """

    name: str
    member: str
    new: bool


def initiate(url: str, patience: float) -> Initiated:
    """Initiate the set that an address names, unless it was before; wait until it has a primary.

    Its member gets the name that the address has for it: clients are told that name by the
    server, and have to reach it there. A server that is only starting is waited for.

    Args:
        url: Address of one MongoDB, with the name of the set: `mongodb://host:port/?replicaSet=x`.
        patience: Seconds until it is given up.

    Raises:
        SettingError: The address is none, names no set, or names several servers.
        Unavailable: The server does not answer in time or can't be in that set.
    """
    name, member = _wanted(url)
    deadline = time.monotonic() + patience
    new, trouble = False, "no election"
    with _direct(url) as client:
        while True:
            try:
                hello = client.admin.command("hello")
                if _leads(hello, name, member):
                    return Initiated(name, member, new)
                if "setName" not in hello:
                    # Where another has just done so this fails, and the next look tells.
                    client.admin.command("replSetInitiate", _config(name, member))
                    new = True
                    trouble = f"is {member} the name that the set's configuration has for it?"
            except PyMongoError as error:
                trouble = _said(error)
                if isinstance(error, OperationFailure) and error.code in HOPELESS:
                    raise Unavailable(f"{member} can't be initiated: {trouble}") from None
            if time.monotonic() >= deadline:
                raise Unavailable(
                    f"the replica set {name!r} of {member} has no primary after {patience:g} s: "
                    f"{trouble}"
                )
            time.sleep(POLL)


def _wanted(url: str) -> tuple[str, str]:
    """The set's name and its member's address."""
    try:
        with warnings.catch_warnings(action="ignore"):
            parts = parse_uri(url)
    except (ValueError, PyMongoError):  # their text may hold a part of the password
        raise SettingError(NO_ADDRESS) from None
    name, nodes = parts["options"].get("replicaSet"), parts["nodelist"]
    if not name:
        raise SettingError("PIPELINE_MONGO_URL names no replica set; add ?replicaSet=pipeline")
    if len(nodes) != 1:
        raise SettingError(
            f"PIPELINE_MONGO_URL names {len(nodes)} servers; only a set of one is initiated here, "
            "others with rs.initiate(...) in mongosh"
        )
    host, port = nodes[0]
    return str(name), f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _direct(url: str) -> MongoClient[dict[str, Any]]:
    """Connect to this one server, whatever its set is called: it does not know it yet."""
    with warnings.catch_warnings(action="ignore"):
        return MongoClient(
            url,
            replicaSet=None,
            directConnection=True,
            serverSelectionTimeoutMS=ANSWER_TIMEOUT_MS,
            connectTimeoutMS=ANSWER_TIMEOUT_MS,
            socketTimeoutMS=ANSWER_TIMEOUT_MS,
        )


def _leads(hello: dict[str, Any], name: str, member: str) -> bool:
    """Whether the server is in the set and can be written to, or names who can."""
    found = hello.get("setName", name)
    if found != name:
        raise Unavailable(f"{member} is in the replica set {found!r}, not {name!r}")
    return bool(hello.get("setName") and (hello.get("isWritablePrimary") or hello.get("primary")))


def _config(name: str, member: str) -> dict[str, Any]:
    return {"_id": name, "members": [{"_id": 0, "host": member}]}


def _said(error: PyMongoError) -> str:
    """What the server or the driver says, in one line without the driver's details."""
    details = error.details if isinstance(error, OperationFailure) else None
    return str((details or {}).get("errmsg") or str(error).partition(", Timeout")[0])
