"""What the integration tests share: the pipeline in one process, on an empty database."""

from collections.abc import Iterator
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.database import Database

from tests.integration.harness import Harness
from tests.integration.sample_handlers import broken


@pytest.fixture
def harness(
    mongo: MongoClient[dict[str, Any]], database: Database[dict[str, Any]]
) -> Iterator[Harness]:
    """Give a pipeline with the sample handlers; none of them is told to fail."""
    broken.clear()
    yield Harness(mongo, database.name)
    broken.clear()
