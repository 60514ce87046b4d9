"""rq-dashboard over the pipeline's Redis: it shows our jobs and lets no one spoil them."""

from collections.abc import Iterator
from contextlib import nullcontext

import pytest
import redis
from flask.testing import FlaskClient

from dashboards.rq_dashboard import create_app
from pipeline.queue import JobQueue
from pipeline.store import Batch

BATCH = Batch.of("tickets.apply", ["<script>alert(1)</script>@acme/desk"], "actions")


@pytest.fixture
def page(redis_server: redis.Redis, redis_url: str) -> Iterator[FlaskClient]:
    """Give a browser's view of the dashboard, with one job queued."""
    JobQueue(redis_server).enqueue([BATCH])
    app = create_app(redis_url, lambda _environ, _job: nullcontext())
    yield app.test_client()
    app.redis_conn.close()


def test_every_lane_and_its_jobs_are_shown(page: FlaskClient) -> None:
    """The lane with its count, and the job with its description."""
    lanes = {lane["name"]: lane["count"] for lane in page.get("/0/data/queues.json").json["queues"]}
    assert lanes == {"actions": 1}
    listed = page.get("/0/data/jobs/actions/queued/10/asc/1.json").json["jobs"]
    assert [(job["id"], job["description"]) for job in listed] == [
        (BATCH.id, "tickets.apply on 1 events")
    ]
    assert page.get("/").status_code == 200
    assert page.get("/0/data/workers.json").json == {"workers": []}


def test_a_job_is_shown_as_the_json_it_is(page: FlaskClient) -> None:
    """The page of a job answers, though its data is no pickle."""
    assert page.get(f"/0/view/job/{BATCH.id}").status_code == 200
    assert page.get(f"/0/data/job/{BATCH.id}.json").json["status"] == "queued"


def test_values_of_a_job_are_escaped_where_the_page_writes_them(page: FlaskClient) -> None:
    """The template in the page writes every value of a job in the escaping form."""
    text = page.get(f"/0/view/job/{BATCH.id}").get_data(as_text=True)
    assert "<%- d.description %>" in text
    assert "<%= d." not in text


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("get", "/requeue/actions", 405),
        ("post", "/requeue/actions", 403),
        ("post", "/queue/actions/queued/empty", 403),
        ("post", "/queue/actions/compact", 403),
        ("post", f"/job/{BATCH.id}/delete", 403),
        ("post", f"/job/{BATCH.id}/requeue", 403),
    ],
)
def test_writes_from_elsewhere_and_in_bulk_are_refused(
    page: FlaskClient, redis_server: redis.Redis, method: str, path: str, status: int
) -> None:
    """By GET, from another site, or many at once: the job stays where it is."""
    answer = getattr(page, method)(path, headers={"Sec-Fetch-Site": "cross-site"})
    assert answer.status_code == status
    assert redis_server.lrange("rq:queue:actions", 0, -1) == [BATCH.id.encode()]
