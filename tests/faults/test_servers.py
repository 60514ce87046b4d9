"""Servers that are away, full, read-only or refuse us: said clearly, and nothing is lost."""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from pymongo import MongoClient
from pymongo.database import Database
from pymongo.errors import OperationFailure
from redis import Redis

from pipeline.clock import SystemClock
from pipeline.declarations import Lane
from pipeline.errors import Unavailable
from pipeline.locks import Locks
from pipeline.queue import BatchWorker, Heartbeats, JobQueue, Report, connect
from pipeline.registry import load
from pipeline.reporting import report
from pipeline.store import Batch, Store
from tests.acceptance.conftest import wait_for
from tests.conftest import started
from tests.facts import Document, fact
from tests.integration.harness import LONGEST_BACKOFF, Harness
from tests.processes import ended, environment
from workers.embedded import EmbeddedRedis, Proxy
from workers.sweeper import Leader

SECRET = "correct-horse"  # noqa: S105 - of a server that lives for one test
NOWHERE = {
    "Redis": "redis://127.0.0.1:1/0",
    "MongoDB": "mongodb://127.0.0.1:1/?replicaSet=none",
}


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    """Give a Redis of the test's own, to be ill-treated."""
    server = EmbeddedRedis(tmp_path)
    started(server)
    yield server
    server.stop()


class OnOwnRedis(Harness):
    """The pipeline on a Redis of its own."""

    def __init__(self, client: MongoClient[Document], name: str, server: EmbeddedRedis) -> None:
        super().__init__(client, name)
        self.redis = Redis.from_url(server.address, socket_timeout=2)
        self.lanes = JobQueue(self.redis)
        self.heartbeats = Heartbeats(self.redis, 10)
        self.sweeper = self.sweeper_of(self.redis, self.lanes, self.heartbeats)

    def hand_over(self) -> bool:
        """Enqueue what the deque holds; whether Redis took it."""
        batches = list(self.waiting)
        self.waiting.clear()
        return self.lanes.enqueue(batches)

    def sweep_and_work(self) -> None:
        """Rescue and run all there is."""
        while not self.store.records.batches.idle():
            self.clock.advance(LONGEST_BACKOFF)
            self.sweeper.sweep()
            self.work()

    def work(self) -> None:
        """Run what is in the lanes."""

        def run(batches: Sequence[Batch]) -> Report:
            return report(self.executor.run(batches))

        BatchWorker(
            self.redis, name="w", lanes=list(Lane), run=run, room=500, heartbeats=self.heartbeats
        ).work(burst=True, logging_level="CRITICAL")


@contextmanager
def working(where: dict[str, str], folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """A worker process within the block, and its log."""
    log = folder / "worker.log"
    with log.open("wb") as output:
        worker = subprocess.Popen(
            [sys.executable, "-m", "workers", "worker"], env=where, stdout=output, stderr=output
        )
    try:
        yield worker, log
    finally:
        worker.kill()
        worker.wait()


@pytest.fixture
def pipeline(
    mongo: MongoClient[Document], database: Database[Document], own_redis: EmbeddedRedis
) -> OnOwnRedis:
    """Give the pipeline on that Redis."""
    return OnOwnRedis(mongo, database.name, own_redis)


def test_a_redis_killed_while_events_come_in_loses_none(
    pipeline: OnOwnRedis, own_redis: EmbeddedRedis
) -> None:
    """They are accepted, since MongoDB has them, and done when Redis is back."""
    events = [fact(f"e{n}", entity_id=f"T{n}") for n in range(5)]
    own_redis.kill()
    assert len(pipeline.submit(*events).accepted) == 5
    assert not pipeline.hand_over()
    own_redis.restart()
    pipeline.sweep_and_work()
    assert pipeline.document("tenant_totals", "acme")["tickets"] == 5


def test_a_full_redis_stops_nothing_that_is_in_hand_and_loses_nothing(
    pipeline: OnOwnRedis,
) -> None:
    """With noeviction every write is refused; what was taken before is run, and the rest later."""
    one, two = fact("e1", entity_id="T1"), fact("e2", entity_id="T2")
    pipeline.submit(one)
    assert pipeline.hand_over()
    pipeline.redis.config_set("maxmemory", 1)
    pipeline.submit(two)
    assert not pipeline.hand_over()
    pipeline.redis.config_set("maxmemory", 0)
    worker = BatchWorker(
        pipeline.redis,
        name="full",
        lanes=list(Lane),
        run=lambda batches: report(pipeline.executor.run(batches)),
        room=500,
        heartbeats=pipeline.heartbeats,
    )
    worker.register_birth()
    taken = worker.dequeue_job_and_maintain_ttl(None)
    assert taken is not None
    pipeline.redis.config_set("maxmemory", 1)
    worker.execute_job(*taken)
    chain = {"tickets.apply", "owners.count", "tenants.count", "statuses.count"}
    assert pipeline.states(one) == dict.fromkeys(chain, "done")
    pipeline.redis.config_set("maxmemory", 0)
    pipeline.sweep_and_work()
    assert set(pipeline.states(two).values()) == {"done"}
    assert pipeline.document("tenant_totals", "acme")["tickets"] == 2


def test_a_worker_outlives_a_redis_that_is_full_when_it_begins(
    mongo: MongoClient[Document],
    database: Database[Document],
    mongo_url: str,
    own_redis: EmbeddedRedis,
    tmp_path: Path,
) -> None:
    """RQ can't write down that it is there; the same process does so when there is room."""
    harness = Harness(mongo, database.name, handlers=load(["handlers.appointments"]))
    with Redis.from_url(own_redis.address) as client:
        client.config_set("maxmemory", 1)
        with working(
            environment(mongo_url, own_redis.address, database=database.name), tmp_path
        ) as (
            worker,
            log,
        ):
            wait_for(lambda: b"redis_away" in log.read_bytes(), "Redis refuses it")
            client.config_set("maxmemory", 0)
            harness.submit(fact("e1", type="appointment.booked"))
            JobQueue(client).enqueue(list(harness.waiting))
            wait_for(lambda: harness.states(fact("e1")), "the event is done")
            assert worker.poll() is None


def test_a_redis_with_another_password_refuses_us_in_one_sentence(
    own_redis: EmbeddedRedis,
) -> None:
    """The sentence names the setting, and no password."""
    with Redis.from_url(own_redis.address) as client:
        client.config_set("requirepass", SECRET)
        wrong = own_redis.address.replace("redis://", "redis://:wrong-pony@")
        for url in (own_redis.address, wrong):
            with pytest.raises(Unavailable, match="PIPELINE_REDIS_URL") as told:
                connect(url)
            assert "wrong-pony" not in str(told.value)
        right = own_redis.address.replace("redis://", f"redis://:{SECRET}@")
        connect(right).close()
        client.execute_command("AUTH", SECRET)
        client.config_set("requirepass", "")


def test_a_read_only_replica_of_redis_is_not_taken(
    own_redis: EmbeddedRedis, tmp_path: Path
) -> None:
    """Its first write would fail; the sentence names its primary."""
    replica = EmbeddedRedis(tmp_path / "replica")
    started(replica)
    try:
        with Redis.from_url(replica.address) as client:
            client.replicaof("127.0.0.1", int(own_redis.address.split(":")[2].split("/")[0]))
        with pytest.raises(Unavailable, match=r"read-only replica of 127\.0\.0\.1"):
            connect(replica.address)
    finally:
        replica.kill()  # a replica that has just begun takes a minute to end by itself


@pytest.mark.parametrize("code", [13, 14031, 10107])
def test_a_mongodb_that_takes_no_writes_is_not_the_events_fault(
    pipeline: OnOwnRedis, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """No right, no space, no primary: the batch stays pending and no attempt is counted."""
    event = fact("e1")
    pipeline.submit(event)
    (batch,) = pipeline.waiting

    def refuse(*_: object) -> None:
        raise OperationFailure("refused", code)

    with monkeypatch.context() as patched:
        patched.setattr(Store, "_once", refuse)
        with pytest.raises(Unavailable, match="takes no writes now"):
            pipeline.run(batch)
    assert pipeline.states(event) == {}
    pipeline.drain()
    assert set(pipeline.states(event).values()) == {"done"}


@pytest.mark.parametrize(
    ("command", "absent"),
    [("worker", "Redis"), ("sweeper", "Redis"), ("status", "Redis"), ("worker", "MongoDB")],
)
def test_a_command_whose_server_is_absent_says_so_and_ends_with_status_4(
    command: str, absent: str, mongo_url: str, redis_url: str
) -> None:
    """A supervisor tries again; a person reads one sentence."""
    addresses = {"MongoDB": mongo_url, "Redis": redis_url} | {absent: NOWHERE[absent]}
    run = ended([command], environment(addresses["MongoDB"], addresses["Redis"]))
    assert run.returncode == 4
    assert f"{absent} does not answer" in run.stderr
    assert "Traceback" not in run.stderr


def test_of_two_sweepers_one_leads_and_the_other_takes_over_when_it_ends(
    redis_server: Redis,
) -> None:
    """By its word at once; after a kill when the lease is over."""
    locks = Locks(redis_server, SystemClock())
    one, two = Leader(locks, "one", 1.0), Leader(locks, "two", 1.0)
    assert one.leads()
    assert not two.leads()
    assert one.leads()
    one.resign()
    assert two.leads()
    assert not one.leads()
    redis_server.flushall()
    assert one.leads() != two.leads()


def test_a_worker_outlives_a_redis_that_is_cut_off_and_killed(
    mongo: MongoClient[Document],
    database: Database[Document],
    mongo_url: str,
    own_redis: EmbeddedRedis,
    tmp_path: Path,
) -> None:
    """The same process goes on when Redis is back, and ends when it is told to."""
    harness = Harness(mongo, database.name, handlers=load(["handlers.appointments"]))
    port = int(own_redis.address.rpartition(":")[2].partition("/")[0])
    with Proxy(port) as proxy, Redis.from_url(own_redis.address) as client:
        address = f"redis://127.0.0.1:{proxy.port}/0"
        where = environment(mongo_url, address, database=database.name)
        with working(where, tmp_path) as (worker, _):
            wait_for(Heartbeats(client, 10).running, "the worker beats")
            proxy.cut()
            proxy.cut()
            own_redis.kill()
            own_redis.restart()
            harness.submit(fact("e1", type="appointment.booked"))
            JobQueue(client).enqueue(list(harness.waiting))
            wait_for(lambda: harness.states(fact("e1")), "the event is done")
            assert worker.poll() is None
            worker.terminate()
            assert worker.wait(60) == 0


def test_a_sweeper_told_to_end_again_and_again_ends(mongo_url: str, redis_url: str) -> None:
    """A signal that arrives while another is being handled must not make it wait for itself."""
    for _ in range(3):
        sweeper = subprocess.Popen(
            [sys.executable, "-m", "workers", "sweeper"],
            env=environment(mongo_url, redis_url, sweep_interval=0.001),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        try:
            assert sweeper.stderr is not None
            assert any(b"sweeper_started" in line for line in sweeper.stderr)
            for _ in range(500):
                sweeper.terminate()
            assert sweeper.wait(60) == 0
        finally:
            sweeper.kill()
            sweeper.wait()
            sweeper.stderr.close()
