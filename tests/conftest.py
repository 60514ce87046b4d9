"""Real servers for every test that asks: started once, on first use, in a folder of their own.

Where no server can be started a test is skipped with the reason, except under CI=true, where a
test that did not run is a failure.
"""

import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import redis
from hypothesis import settings as profiles
from pydantic import SecretStr
from pymongo import MongoClient
from pymongo.database import Database

from pipeline.settings import Settings
from tests import longest_first
from tests.databases import empty
from tests.uncounted import uncounted
from workers.bootstrap import Application, Servers, application
from workers.embedded import EmbeddedError, EmbeddedMongo, EmbeddedRedis, EmbeddedServer

Document = dict[str, Any]

# The console of the command line looks once, when it is made, and a worker of xdist has 80.
os.environ["COLUMNS"] = "200"

IN_CI = os.environ.get("CI", "").lower() == "true"

# Real servers answer in their own time, so no example has a deadline.
profiles.register_profile("default", deadline=None)
profiles.register_profile("ci", deadline=None, derandomize=True)
profiles.load_profile("ci" if IN_CI else "default")


@pytest.hookimpl(trylast=True)  # after the dice of pytest-randomly
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files that take longest first; xdist gives them out in this order."""
    if gone := longest_first.gone():
        raise pytest.UsageError(f"tests/longest_first.py names what is gone: {', '.join(gone)}")
    items.sort(key=lambda item: longest_first.rank(item.path))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[Any]:
    """Run tests that are marked so, and what is set up for them, without counting lines."""
    if item.get_closest_marker("uncounted") is None:
        return (yield)
    with uncounted():
        return (yield)


def started(server: EmbeddedServer) -> str:
    """Start a server for tests and return its address, or skip (in CI: fail) with the reason."""
    try:
        return server.start()
    except EmbeddedError as error:
        if IN_CI:
            pytest.fail(str(error), pytrace=False)
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def servers_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the session's servers."""
    return tmp_path_factory.mktemp("servers")


@pytest.fixture(scope="session")
def redis_url(servers_dir: Path) -> Iterator[str]:
    """Address of a Redis for the whole session."""
    server = EmbeddedRedis(servers_dir)
    try:
        yield started(server)
    finally:
        server.stop()


@pytest.fixture
def redis_server(redis_url: str) -> Iterator[redis.Redis]:
    """Connect to an empty Redis; what a test leaves is flushed."""
    client = redis.Redis.from_url(redis_url)
    client.flushall()
    yield client
    client.flushall()
    client.close()


@pytest.fixture(scope="session")
def mongo_url(servers_dir: Path) -> Iterator[str]:
    """Address of a MongoDB replica set for the whole session."""
    server = EmbeddedMongo(servers_dir, cache_gb=0.5)
    try:
        yield started(server)
    finally:
        server.stop()


@pytest.fixture(scope="session")
def mongo(mongo_url: str) -> Iterator[MongoClient[Document]]:
    """Connect to the session's MongoDB."""
    with MongoClient[Document](mongo_url) as client:
        yield client


@pytest.fixture(scope="session")
def prepared_once(mongo: MongoClient[Document]) -> Iterator[Database[Document]]:
    """Give the session's database, dropped at its end."""
    name = f"test_{uuid.uuid4().hex}"
    yield mongo[name]
    mongo.drop_database(name)


@pytest.fixture
def database(prepared_once: Database[Document]) -> Iterator[Database[Document]]:
    """Give a database without any document; what a test leaves is taken out."""
    yield prepared_once
    empty(prepared_once)


@pytest.fixture
def application_of(
    database: Database[Document], mongo_url: str, redis_url: str, redis_server: redis.Redis
) -> Iterator[Callable[..., Application]]:
    """Give a function that makes an application of a module's handlers, with other settings."""
    with ExitStack() as stack:

        def make(handlers: ModuleType, **changes: Any) -> Application:
            settings = Settings(
                mongo_url=SecretStr(mongo_url),
                redis_url=SecretStr(redis_url),
                database=database.name,
                handlers=[handlers.__name__],
                **changes,
            )
            return stack.enter_context(application(settings, Servers(mongo_url, redis_url)))

        yield make
