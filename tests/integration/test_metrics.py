"""What Prometheus is told equals what the ledger says, and costs one command for each run."""

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from pymongo.database import Database
from redis import Redis
from redis.exceptions import RedisError

from pipeline.declarations import Lane
from pipeline.metrics import Counts
from pipeline.metrics.catalogue import (
    EVENT_FAILURES,
    EVENTS,
    RUN_SECONDS,
    SOURCE_LAG,
    SUBMISSIONS,
)
from pipeline.metrics.own import own_registry
from pipeline.queue import BatchWorker, JobQueue, totals
from pipeline.store import Batch
from tests.facts import Document, fact
from tests.integration import sample_handlers
from tests.integration.sample_handlers import broken
from workers.bootstrap import Application
from workers.metrics import Metrics, Shared
from workers.metrics.standing import look
from workers.worker import run_of

Samples = dict[tuple[str, ...], float]
Applications = Callable[..., Application]


@pytest.fixture(autouse=True)
def nothing_broken() -> Iterator[None]:
    """Start and end without a handler that is told to fail."""
    broken.clear()
    yield
    broken.clear()


def work(app: Application) -> None:
    """Run all jobs in a worker that ends when the lanes are empty."""
    with app.executor("worker-1") as executor:
        worker = BatchWorker(
            app.redis,
            name="worker-1",
            lanes=list(Lane),
            run=run_of(app, executor, app.verifier("worker-1")),
            room=500,
            heartbeats=app.heartbeats,
            counts=app.counts,
        )
        worker.work(burst=True, logging_level="CRITICAL")


def scraped(app: Application, *, leads: bool = True) -> Samples:
    """What a sweeper tells, as Prometheus reads it."""
    metrics = Metrics(app.registry.tables(), Shared(app, lambda: look(app)))
    metrics.tell(None, leads=leads)
    text = generate_latest(own_registry("sweeper", metrics)).decode()
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_what_is_counted_equals_the_ledger(
    application_of: Applications, database: Database[Document]
) -> None:
    """Late, doubled and failing events among them; the ledger is counted by MongoDB."""
    app = application_of(sample_handlers, max_attempts=1, metrics_tenants={"acme": 60.0})
    broken.update({("tickets.apply", "e3"), ("owners.count", "e5")})
    events = [fact(f"e{n}", minute=n, entity_id=f"t{n % 3}", add=1) for n in range(30)]
    app.dispatcher.submit([*events[10:], events[12]])
    work(app)
    app.dispatcher.submit(events)
    work(app)
    app.send_counts()
    told = scraped(app)

    stored = Counter(
        (row["_id"].rpartition("|")[2], row["state"]) for row in database.ledger.find()
    )
    assert stored["tickets.apply", "dead"] == stored["owners.count", "dead"] == 1
    for handler in {handler for handler, _ in stored}:
        # Which of both an event is may change when a late one heals; it was counted once.
        applied = stored[handler, "done"] + stored[handler, "skipped"]
        counted = [told["pipe_events_total", handler, state] for state in ("done", "skipped")]
        assert sum(counted) == told["pipe_event_e2e_seconds_count", handler] == applied
        assert told["pipe_events_total", handler, "dead"] == stored[handler, "dead"]
    late = database.ledger.count_documents({"mark": "late"})
    assert late
    assert told["pipe_events_out_of_order_total", "tickets.apply", "late"] == late
    assert told["pipe_event_lateness_seconds_count", "tickets.apply"] == late
    assert told["pipe_event_failures_total", "RuntimeError", "tickets.apply"] == 1
    assert told["pipe_intake_events_total", "accepted", "acme"] == 30
    assert told["pipe_intake_events_total", "duplicate", "acme"] == 21
    assert told["pipe_intake_submissions_total", "stored"] == 2
    assert told["pipe_trouble_events", "owners.count", "dead"] == 1
    received = max(event["received_at"] for event in database.events.find())
    noted = told["pipe_intake_last_received_timestamp_seconds", "acme"]
    assert noted == pytest.approx(received.replace(tzinfo=UTC).timestamp(), abs=60)


def test_a_tenant_that_is_not_named_is_one_of_the_others(application_of: Applications) -> None:
    """So that tenants do not make series without end."""
    app = application_of(sample_handlers)
    app.dispatcher.submit([fact("e1")])
    assert scraped(app)["pipe_intake_events_total", "accepted", "_other"] == 1


def test_only_what_is_declared_or_listed_is_told(application_of: Applications) -> None:
    """Whatever else stands in Redis; sibling observers are one label."""
    app = application_of(sample_handlers)
    for handler in ("owners.count+tenants.count", "owners.count+gone.away", "gone.away"):
        app.counts.observe(RUN_SECONDS, [(1.0, 1)], (handler,))
    for error in ("ValueError", "Oops17"):
        app.counts.add(EVENT_FAILURES, ("owners.count", error))
    app.send_counts()
    told = scraped(app)
    handlers = {labels[0] for (name, *labels) in told if name == "pipe_run_duration_seconds_sum"}
    assert "owners.count+tenants.count" in handlers
    assert not any("gone.away" in handler for handler in handlers)
    errors = {labels[0] for (name, *labels) in told if name == "pipe_event_failures_total"}
    assert errors == {"ValueError"}


def test_a_run_costs_one_command_in_a_round_trip_that_is_made_anyway(
    application_of: Applications, redis_server: Redis
) -> None:
    """However many events it has; counted by Redis itself."""
    app = application_of(sample_handlers)
    app.dispatcher.submit([fact(f"e{n}", entity_id=f"t{n}", add=1) for n in range(40)])
    redis_server.config_resetstat()
    work(app)
    stats = redis_server.info("commandstats")
    runs = sum(n for (name, *_), n in scraped(app).items() if name == "pipe_run_events_count")
    assert runs == 3  # the fold on more events than take observers along, those, what is below
    assert stats["cmdstat_eval"]["calls"] == 3 * runs  # beginning, end, counts
    assert stats["cmdstat_hincrby"]["calls"] < 20 * runs


def test_observers_that_are_taken_along_are_counted_as_a_run_of_their_own(
    application_of: Applications,
) -> None:
    """With their events, and a batch of their lane; the time is the fold's."""
    app = application_of(sample_handlers)
    app.dispatcher.submit([fact("e1", add=1), fact("e2", entity_id="T2", add=1)])
    work(app)
    told = scraped(app)
    along = "owners.count+tenants.count"
    assert told["pipe_run_events_count", along] == 1
    assert told["pipe_run_events_sum", along] == 2
    assert ("pipe_run_duration_seconds_count", along) not in told
    assert told["pipe_run_duration_seconds_count", "tickets.apply"] == 1
    assert told["pipe_batches_total", "observers", "done"] == 2  # what is below them, too
    assert told["pipe_events_total", "owners.count", "done"] == 2


def test_processes_count_together_and_commands_that_end_leave_their_counts(
    application_of: Applications, redis_server: Redis
) -> None:
    """What one process has counted, another tells."""
    one, two = application_of(sample_handlers), application_of(sample_handlers)
    one.counts.add(EVENTS, ("tickets.apply", "done"), 2)
    two.counts.add(EVENTS, ("tickets.apply", "done"), 3)
    one.send_counts()
    JobQueue(redis_server, two.counts).enqueue([Batch.of("tickets.apply", ["e"], "actions")])
    assert scraped(one)["pipe_events_total", "tickets.apply", "done"] == 5


def test_who_does_not_lead_tells_of_itself_only(application_of: Applications) -> None:
    """The sum over all processes is then the sum."""
    told = scraped(application_of(sample_handlers), leads=False)
    pipe = {name for name, *_ in told if name.startswith("pipe_")}
    assert pipe == {"pipe_build_info"}
    assert ("process_resident_memory_bytes",) in told


def test_counts_wait_for_a_redis_that_is_away(application_of: Applications) -> None:
    """And the pipeline does not fail of it."""
    app = application_of(sample_handlers)
    nowhere = Redis(port=1, socket_connect_timeout=1)
    lanes, counts = JobQueue(nowhere, app.counts), app.counts
    counts.add(EVENTS, ("tickets.apply", "done"), 2)
    assert not lanes.enqueue([Batch.of("tickets.apply", ["e"], "actions")])
    assert not lanes.take_off(["e"])
    totals.flush(counts, app.redis)
    assert scraped(app)["pipe_events_total", "tickets.apply", "done"] == 2


def test_the_age_of_a_lane_is_that_of_its_oldest_batch(
    application_of: Applications, database: Database[Document], redis_server: Redis
) -> None:
    """Whether it waits in Redis, or in the outbox since Redis was wiped; retries do not count."""
    app = application_of(sample_handlers)
    app.dispatcher.submit([fact("e1")])
    app.dispatcher.submit([fact("e2", entity_id="t2")])
    long_ago = datetime.now(UTC) - timedelta(hours=2)
    first = app.queue.lengths()
    assert first["actions"] == 2
    batches = list(database.batches.find())
    oldest = batches[0]["_id"]
    database.batches.update_one({"_id": oldest}, {"$set": {"created_at": long_ago}})
    assert scraped(app)["pipe_lane_oldest_batch_age_seconds", "actions"] == pytest.approx(7200, 0.1)
    assert scraped(app)["pipe_lane_oldest_batch_age_seconds", "effects"] == 0
    redis_server.flushall()
    assert scraped(app)["pipe_lane_oldest_batch_age_seconds", "actions"] == 0
    database.batches.update_one({"_id": oldest}, {"$set": {"due_at": long_ago}})
    told = scraped(app)
    assert told["pipe_lane_oldest_batch_age_seconds", "actions"] == pytest.approx(7200, 0.1)
    assert told["pipe_outbox_overdue_seconds",] == pytest.approx(7200, 0.1)
    database.batches.update_one({"_id": oldest}, {"$set": {"attempt": 1}})
    assert scraped(app)["pipe_lane_oldest_batch_age_seconds", "actions"] == 0


def test_live_workers_and_started_batches_without_one_are_told(
    application_of: Applications, redis_server: Redis
) -> None:
    """A started batch whose worker beats no more is an orphan."""
    app = application_of(sample_handlers)
    for name, jobs in (("w1", ["j1"]), ("w2", [])):
        redis_server.sadd("rq:workers", f"rq:worker:{name}")
        app.heartbeats.beat(name, jobs)
    redis_server.sadd("rq:workers", "rq:worker:gone")
    for execution, worker in (("j1:1", "w1"), ("j2:1", "gone")):
        redis_server.zadd("rq:wip:actions", {execution: 2e9})
        redis_server.hset(f"rq:execution:{execution}", "worker_name", worker)
    told = scraped(app)
    assert (told["pipe_workers", "busy"], told["pipe_workers", "idle"]) == (1, 1)
    assert told["pipe_lane_orphaned_batches", "actions"] == 1
    assert told["pipe_lane_jobs", "actions", "started"] == 2


def test_nothing_is_sent_where_nothing_was_counted(redis_server: Redis) -> None:
    """An idle process does not touch the totals."""
    redis_server.config_resetstat()
    totals.flush(Counts(), redis_server)
    assert "cmdstat_eval" not in redis_server.info("commandstats")
    assert totals.read(redis_server) == totals.Read({}, {})


def test_lags_of_many_centuries_add_up(redis_server: Redis) -> None:
    """Who takes in the past of ten years, million by million, counts nothing that overflows."""
    counts = Counts()
    for _ in range(3):
        counts.observe(SOURCE_LAG, [(3.2e8, 100_000_000)])
        totals.flush(counts, redis_server)
    (total,) = [n for name, n in totals.read(redis_server).totals.items() if name.endswith("s")]
    assert total == pytest.approx(9.6e16)
    assert not counts.take()


def test_sums_keep_microseconds_and_counts_stay_whole(redis_server: Redis) -> None:
    """However they are sent: what is read is what was counted."""
    counts = Counts()
    for seconds in (0.000_001, 0.25, 12.5):
        counts.observe(SOURCE_LAG, [(seconds, 2)])
        counts.add(SUBMISSIONS, ("stored",), 3)
        totals.flush(counts, redis_server)
    found = totals.read(redis_server).totals
    (total,) = [n for name, n in found.items() if name.endswith("s")]
    assert total == pytest.approx(25.500_002, abs=1e-7)
    assert sorted(n for n in found.values() if n != total) == [2, 4, 9]  # by bucket, and stored


def test_a_count_that_cant_be_added_keeps_no_job_from_its_lane(redis_server: Redis) -> None:
    """Somebody wrote into the totals; the others go on."""
    counts = Counts()
    counts.add(SUBMISSIONS, ("stored",), 2)
    (spoilt,) = counts.take().added
    redis_server.hset(totals.TOTALS, spoilt, "seven")
    counts.add(SUBMISSIONS, ("stored",), 2)
    counts.add(SUBMISSIONS, ("overloaded",))
    lanes = JobQueue(redis_server, counts)
    assert lanes.enqueue([Batch.of("tickets.apply", ["e1@acme/desk"], Lane.ACTIONS)])
    redis_server.hdel(totals.TOTALS, spoilt)
    assert sorted(totals.read(redis_server).totals.values()) == [1]
    assert not counts.take()


def test_counts_wait_for_a_redis_that_is_full(redis_server: Redis) -> None:
    """That is no fault of a field."""
    counts = Counts()
    counts.add(SUBMISSIONS, ("stored",), 2)
    redis_server.config_set("maxmemory", 1)
    try:
        with pytest.raises(RedisError):
            totals.flush(counts, redis_server)
    finally:
        redis_server.config_set("maxmemory", 0)
    totals.flush(counts, redis_server)
    assert list(totals.read(redis_server).totals.values()) == [2]
