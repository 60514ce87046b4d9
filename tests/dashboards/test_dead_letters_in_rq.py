"""Dead letters in rq-dashboard: shown with their cause, and requeued by its button."""

from collections.abc import Iterator
from contextlib import nullcontext

import pytest
from flask.testing import FlaskClient
from pymongo import MongoClient
from pymongo.database import Database
from redis import Redis

from dashboards.rq_dashboard import create_app
from tests.facts import Document, fact
from tests.integration.letters import Letters, job_of
from tests.integration.sample_handlers import broken

BURIED = fact("e1", status="open")
FROM_THE_PAGE = {"Sec-Fetch-Site": "same-origin"}


@pytest.fixture
def pipeline(
    mongo: MongoClient[Document], database: Database[Document], redis_server: Redis
) -> Letters:
    """Bury an event; its handler would go through now."""
    broken.clear()
    pipeline = Letters(mongo, database.name, redis_server, max_attempts=1)
    pipeline.bury(BURIED)
    broken.clear()
    return pipeline


@pytest.fixture
def page(redis_url: str) -> Iterator[FlaskClient]:
    """Give a browser's view of the dashboard."""
    app = create_app(redis_url, lambda _environ, _job: nullcontext())
    yield app.test_client()
    app.redis_conn.close()


def shown(page: FlaskClient) -> list[str]:
    """Ids of the failed jobs that the page lists."""
    listed = page.get("/0/data/jobs/actions/failed/10/asc/1.json").json
    return [job["id"] for job in listed["jobs"]]


@pytest.mark.parametrize("wiped", [False, True])
def test_a_dead_letter_is_shown_and_requeued_by_the_button(
    pipeline: Letters, page: FlaskClient, *, wiped: bool
) -> None:
    """It has one attempt, and what follows it goes on; after a wipe of Redis as well."""
    if wiped:
        pipeline.redis.flushall()
        pipeline.sweep()
    assert shown(page) == [job_of(BURIED)]
    told = page.get(f"/0/data/job/{job_of(BURIED)}.json").json
    assert "told to fail on e1" in told["exc_info"]
    answer = page.post(f"/job/{job_of(BURIED)}/requeue", headers=FROM_THE_PAGE)
    assert answer.status_code == 200
    pipeline.work()
    assert shown(page) == []
    assert set(pipeline.states(BURIED).values()) == {"done"}


def test_a_discarded_letter_is_shown_no_more(pipeline: Letters, page: FlaskClient) -> None:
    """The button goes with it."""
    pipeline.decisions.discard([letter.id for letter in pipeline.letters()], "a test of ours")
    assert shown(page) == []
