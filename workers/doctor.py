"""Look at everything the pipeline needs on this machine and say, in one line each, what is wrong.

Nothing here raises for a fault it finds and nothing prints: a check is a value. Addresses appear
with their secrets masked.
"""

import importlib.util
import os
import platform
import re
import shutil
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import redis
from pymongo import MongoClient, WriteConcern
from pymongo.errors import PyMongoError
from redis.backoff import NoBackoff
from redis.retry import Retry

from workers.embedded import (
    MONGOD,
    REDIS_SERVER,
    EmbeddedError,
    EmbeddedMongo,
    EmbeddedRedis,
    Program,
)

PACKAGES = (
    "prometheus_client",
    "psutil",
    "pydantic",
    "pydantic_settings",
    "pymongo",
    "redis",
    "rich",
    "rq",
    "structlog",
    "tenacity",
    "typer",
)
PYTHON = (3, 11)
REDIS_VERSION = (6, 2)
MONGO_VERSION = (6, 0)
FREE_DISK = 1024**3  # bytes
CORES = 2
CLOCK_FROM = datetime(2025, 1, 1, tzinfo=UTC)
CLOCK_TOLERANCE = 2.0  # seconds between this clock and a server's; leases last longer
SERVER_TIMEOUT = 3.0  # seconds
PROBE = "doctor_probe"  # collection written to and dropped

ADDRESS = re.compile(r"(?<![\w+.\-:@/%])([a-z][a-z0-9+.\-]*://)", re.IGNORECASE)
"""Where an address begins; in the middle of a word it may be a part of a password."""
SECRET_OPTION = re.compile(
    r"([?&][^=&]*(?:password|token|secret|authmechanismproperties)[^=&]*=)[^&]*", re.IGNORECASE
)


@dataclass(frozen=True)
class Check:
    """One thing looked at.

    Attributes:
        name: What was looked at.
        ok: Whether the pipeline can work with what was found.
        detail: What was found.
        hint: What to do about it; empty if nothing.
    """

    name: str
    ok: bool
    detail: str
    hint: str = ""


def checks(*, redis_url: str | None, mongo_url: str | None, data_dir: Path) -> Iterator[Check]:
    """Look at everything, one check at a time.

    Args:
        redis_url: Address of Redis, or None for an embedded one.
        mongo_url: Address of MongoDB, or None for an embedded one.
        data_dir: Folder of the embedded servers' data; need not exist yet.
    """
    yield _python()
    yield _packages()
    yield _cores()
    yield _clock()
    yield _folder(data_dir)
    yield _program(REDIS_SERVER, redis_url)
    yield from _redis(redis_url or EmbeddedRedis.running_address(data_dir))
    yield _program(MONGOD, mongo_url)
    yield from _mongo(mongo_url or EmbeddedMongo.running_address(data_dir))


def without_secret(text: str) -> str:
    """Mask the password and other secrets of every address in a text, or of one alone.

    Too much is masked rather than too little.
    """
    before, *addresses = ADDRESS.split(text)
    if not addresses:
        return SECRET_OPTION.sub(r"\1***", _masked(before))
    for at in range(1, len(addresses), 2):
        addresses[at] = _masked(addresses[at])
    return SECRET_OPTION.sub(r"\1***", "".join((before, *addresses)))


def _masked(address: str) -> str:
    """An address without its scheme, and what follows it, without the password."""
    user, at, host = address.rpartition("@")
    name, colon, _ = user.partition(":")
    return f"{name}{colon}***{at}{host}" if colon else address


def _python() -> Check:
    wanted = ".".join(map(str, PYTHON))
    found = f"{platform.python_version()} ({platform.system()} on {platform.machine()})"
    return _judged(
        "python", sys.version_info[:2] >= PYTHON, found, f"Use Python {wanted} or newer."
    )


def _packages() -> Check:
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    found = f"missing: {', '.join(missing)}" if missing else f"all {len(PACKAGES)} found"
    return _judged("packages", not missing, found, "Run make setup, and start pipeline from .venv.")


def _cores() -> Check:
    affinity = getattr(os, "sched_getaffinity", None)  # not on macOS
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    hint = f"It will work, slowly: give it {CORES} cores or more."
    return _judged("cores", cores >= CORES, f"{cores} usable", hint)


def _clock() -> Check:
    now = datetime.now(UTC)
    hint = "Set the system clock, best by a time service (timedatectl set-ntp true)."
    return _judged("clock", now >= CLOCK_FROM, f"{now:%Y-%m-%d %H:%M:%S} UTC", hint)


def _folder(data_dir: Path) -> Check:
    folder = data_dir.absolute()
    existing = next(place for place in (folder, *folder.parents) if place.exists())
    hint = "Name another folder with PIPELINE_DATA_DIR, or free some space."
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
        free = shutil.disk_usage(existing).free
    except OSError as error:
        return Check("data folder", ok=False, detail=f"{folder}: {error.strerror}", hint=hint)
    found = f"{folder}, {free / 1024**3:.1f} GiB free"
    return _judged("data folder", free > FREE_DISK, found, hint)


def _program(program: Program, url: str | None) -> Check:
    if url:
        return Check(program.command, ok=True, detail=f"not needed: {program.setting} is set")
    try:
        version = program.version()
        return Check(program.command, ok=True, detail=f"{version} at {program.find()}")
    except EmbeddedError as error:
        return Check(program.command, ok=False, detail="cannot be used", hint=str(error))


def _redis(url: str | None) -> Iterator[Check]:
    if url is None:
        yield Check("redis", ok=True, detail="not running; an embedded one starts on demand")
        return
    shown = without_secret(url)
    hint = "Start Redis, or correct PIPELINE_REDIS_URL."
    retry = Retry(NoBackoff(), 0)
    try:
        client = redis.Redis.from_url(
            url,
            socket_timeout=SERVER_TIMEOUT,
            socket_connect_timeout=SERVER_TIMEOUT,
            retry=retry,
        )
    except ValueError:  # its text may hold a part of the password
        yield Check("redis", ok=False, detail=f"{shown} is not an address of Redis", hint=hint)
        return
    try:
        found = list(_redis_facts(client, shown))
    except (redis.RedisError, OSError) as error:
        found = [Check("redis", ok=False, detail=f"{shown}: {_said(error)}", hint=hint)]
    finally:
        client.close()
    yield from found


def _redis_facts(client: redis.Redis, shown: str) -> Iterator[Check]:
    before = time.time()
    seconds, microseconds = client.time()
    after = time.time()
    info = client.info()
    version = str(info["redis_version"])
    wanted = ".".join(map(str, REDIS_VERSION))
    hint = f"Use Redis {wanted} or newer."
    yield _judged("redis", _at_least(version, REDIS_VERSION), f"{version} at {shown}", hint)
    policy = str(info.get("maxmemory_policy", "unknown"))
    hint = "Set maxmemory-policy noeviction in Redis: any other may drop queued work."
    yield _judged("redis memory", policy == "noeviction", f"maxmemory-policy {policy}", hint)
    yield _redis_persistence(client, aof=bool(info.get("aof_enabled")))
    yield _same_clock("redis clock", seconds + microseconds / 1e6, before, after)


def _redis_persistence(client: redis.Redis, *, aof: bool) -> Check:
    hint = "Set appendonly yes in Redis: a restart then keeps what is queued."
    if aof:
        return Check("redis persistence", ok=True, detail="append-only file")
    with suppress(redis.RedisError):  # hosted ones often refuse CONFIG
        if cast("dict[str, str]", client.config_get("save")).get("save"):
            return Check("redis persistence", ok=True, detail="snapshots only", hint=hint)
    return Check("redis persistence", ok=False, detail="off", hint=hint)


def _mongo(url: str | None) -> Iterator[Check]:
    if url is None:
        yield Check("mongodb", ok=True, detail="not running; an embedded one starts on demand")
        return
    shown = without_secret(url)
    hint = "Start MongoDB, or correct PIPELINE_MONGO_URL (host, user, name of the replica set)."
    milliseconds = int(SERVER_TIMEOUT * 1000)
    try:
        with warnings.catch_warnings(action="ignore"):
            client = MongoClient[dict[str, Any]](
                url,
                serverSelectionTimeoutMS=milliseconds,
                connectTimeoutMS=milliseconds,
                socketTimeoutMS=3 * milliseconds,
            )
    except (
        ValueError,
        PyMongoError,
    ):  # their text, and a warning's, may hold a part of the password
        yield Check("mongodb", ok=False, detail=f"{shown} is not an address of MongoDB", hint=hint)
        return
    with client:
        try:
            found = list(_mongo_facts(client, shown))
        except PyMongoError as error:
            found = [Check("mongodb", ok=False, detail=f"{shown}: {_said(error)}", hint=hint)]
    yield from found


def _mongo_facts(client: MongoClient[dict[str, Any]], shown: str) -> Iterator[Check]:
    before = time.time()
    hello = client.admin.command("hello")
    after = time.time()
    version = str(client.server_info()["version"])
    wanted = ".".join(map(str, MONGO_VERSION))
    hint = f"Use MongoDB {wanted} or newer."
    yield _judged("mongodb", _at_least(version, MONGO_VERSION), f"{version} at {shown}", hint)
    yield _same_clock("mongodb clock", _epoch(hello["localTime"]), before, after)
    replica_set = _mongo_replica_set(hello)
    yield replica_set
    if replica_set.ok:
        yield _mongo_majority(client)
        yield _mongo_transaction(client)


def _mongo_replica_set(hello: dict[str, Any]) -> Check:
    if hello.get("msg") == "isdbgrid":
        return Check("mongodb replica set", ok=True, detail="sharded cluster")
    name = hello.get("setName")
    hint = (
        "Transactions need a replica set, and one member is enough: start mongod with "
        "--replSet pipeline, add ?replicaSet=pipeline to PIPELINE_MONGO_URL, and run "
        "pipeline initiate once."
    )
    return _judged("mongodb replica set", name is not None, str(name or "standalone"), hint)


def _mongo_majority(client: MongoClient[dict[str, Any]]) -> Check:
    concern = WriteConcern(w="majority", wtimeout=int(SERVER_TIMEOUT * 1000))
    probe = client.get_default_database("pipeline").get_collection(PROBE, write_concern=concern)
    hint = "Let the user write, and look at rs.status(): a majority of members must be up."
    try:
        probe.insert_one({"checked": "majority"})
        probe.drop()
    except PyMongoError as error:
        return Check("mongodb majority", ok=False, detail=_said(error), hint=hint)
    return Check("mongodb majority", ok=True, detail="a majority confirms writes")


def _mongo_transaction(client: MongoClient[dict[str, Any]]) -> Check:
    probe = client.get_default_database("pipeline")[PROBE]
    hint = "Transactions need a replica set on WiredTiger, and a user with readWrite."
    try:
        with client.start_session() as session, session.start_transaction():
            probe.insert_one({"checked": "transaction"}, session=session)
        probe.drop()
    except PyMongoError as error:
        return Check("mongodb transaction", ok=False, detail=_said(error), hint=hint)
    return Check("mongodb transaction", ok=True, detail="commits")


def _same_clock(name: str, theirs: float, before: float, after: float) -> Check:
    """Compare a server's clock with ours, read just before and just after asking it."""
    apart = max(before - theirs, theirs - after, 0.0)
    hint = "Set both clocks by a time service: leases are counted in seconds."
    return _judged(name, apart <= CLOCK_TOLERANCE, f"{apart:.1f} seconds apart", hint)


def _epoch(moment: datetime) -> float:
    """Seconds since 1970 of a date as MongoDB gives it: UTC, often without saying so."""
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _judged(name: str, ok: bool, detail: str, hint: str) -> Check:  # noqa: FBT001 (private)
    return Check(name, ok, detail, "" if ok else hint)


def _at_least(version: str, wanted: tuple[int, ...]) -> bool:
    numbers = tuple(int(part) for part in re.findall(r"\d+", version)[: len(wanted)])
    return numbers >= wanted


def _said(error: Exception) -> str:
    """First sentence of an error from a driver, short enough for a line."""
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"[:160]
