"""What the integration tests share: the pipeline in one process, on an empty database."""

from collections.abc import Callable, Iterator, Sequence
from types import ModuleType
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.database import Database
from redis import Redis

from pipeline.settings import Settings
from tests.integration import sample_handlers
from tests.integration.command_line import CommandLine
from tests.integration.harness import Harness
from tests.integration.letters import Letters
from tests.integration.sample_handlers import broken

SAMPLE = (sample_handlers.__name__,)


@pytest.fixture
def command_line(
    monkeypatch: pytest.MonkeyPatch, mongo_url: str, redis_url: str, database: Database[Any]
) -> Callable[..., CommandLine]:
    """Give what makes a command line on the servers of the tests, with these handlers."""

    def make(
        *modules: ModuleType, handlers: Sequence[str] = SAMPLE, prefix: Sequence[str] = ()
    ) -> CommandLine:
        monkeypatch.setenv("PIPELINE_MONGO_URL", mongo_url)
        monkeypatch.setenv("PIPELINE_REDIS_URL", redis_url)
        monkeypatch.setenv("PIPELINE_DATABASE", database.name)
        monkeypatch.setenv("PIPELINE_HANDLERS", ",".join(handlers))
        return CommandLine(*modules, prefix=prefix)

    return make


@pytest.fixture
def take_along() -> int:
    """Give how many events a fold has at most that takes its observers along."""
    return Settings(_env_file=None).take_along


@pytest.fixture
def harness(
    mongo: MongoClient[dict[str, Any]], database: Database[dict[str, Any]], take_along: int
) -> Iterator[Harness]:
    """Give a pipeline with the sample handlers; none of them is told to fail."""
    broken.clear()
    yield Harness(mongo, database.name, take_along=take_along)
    broken.clear()


@pytest.fixture
def pipeline(
    mongo: MongoClient[dict[str, Any]], database: Database[dict[str, Any]], redis_server: Redis
) -> Iterator[Letters]:
    """Give a pipeline whose handlers give up at once."""
    broken.clear()
    yield Letters(mongo, database.name, redis_server, max_attempts=1)
    broken.clear()
