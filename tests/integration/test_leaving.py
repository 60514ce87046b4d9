"""A few events are left to the worker that is at a few of their handler, and to nobody for long."""

import threading
from collections.abc import Sequence

import pytest
from redis import Redis
from rq import Queue
from rq.timeouts import TimerDeathPenalty
from structlog.testing import capture_logs

from pipeline.declarations import Lane
from pipeline.queue import BatchWorker, Heartbeats, JobQueue, Report, taking
from pipeline.queue import worker as worker_module
from pipeline.queue.jobs import rq_queue
from pipeline.queue.taking import FEW, LEFT_MS, Taken, Taker
from pipeline.queue.worker import Run
from pipeline.store import Batch

ROOM = 500


@pytest.fixture
def lanes(redis_server: Redis) -> JobQueue:
    """Give the lanes on an empty Redis."""
    return JobQueue(redis_server)


def batch(name: str, count: int = 1, *, of: str = "tickets.apply", lane: str = "actions") -> Batch:
    """A batch of so many events."""
    return Batch.of(of, [f"{name}{number}@acme/desk" for number in range(count)], lane)


def take(taker: Taker, redis: Redis, lane: str = "actions", *, leaving: bool = True) -> Taken:
    """Take the next job of a lane."""
    queue: Queue = rq_queue(lane, redis)
    return taker.take(queue, redis.lpop(queue.key).decode(), leaving=leaving)


def ids(taken: Taken) -> list[str]:
    """Which jobs were taken."""
    return [job.id for job in taken.jobs]


def done(taker: Taker, redis: Redis) -> None:
    """Have a worker at an end with what it took."""
    with redis.pipeline() as pipe:
        taker.done(pipe)
        pipe.execute()


def test_while_a_worker_is_at_a_few_events_others_leave_it_those_of_the_same_handler(
    lanes: JobQueue, redis_server: Redis
) -> None:
    """They stay where they are, in their order, and it takes them together when it is done."""
    one, two, three = batch("a"), batch("b"), batch("c")
    first, second = Taker(redis_server, ROOM), Taker(redis_server, ROOM)
    lanes.enqueue([one])
    assert ids(take(first, redis_server)) == [one.id]
    lanes.enqueue([two, three])
    left = take(second, redis_server)
    assert not left.jobs
    assert 0 < left.left_seconds <= LEFT_MS / 1000
    assert rq_queue("actions", redis_server).get_job_ids() == [two.id, three.id]
    done(first, redis_server)
    assert ids(take(first, redis_server)) == [two.id, three.id]


def test_a_few_events_go_to_whoever_comes_when_nobody_is_at_others(
    lanes: JobQueue, redis_server: Redis
) -> None:
    """Also where the one before was somebody else."""
    one, two = batch("a"), batch("b")
    for taker, each in ((Taker(redis_server, ROOM), one), (Taker(redis_server, ROOM), two)):
        lanes.enqueue([each])
        assert ids(take(taker, redis_server)) == [each.id]
        done(taker, redis_server)
    assert not redis_server.keys("pipeline:at:*")


@pytest.mark.parametrize(
    "waiting",
    [
        [batch("b", FEW + 1)],
        [batch("b"), batch("c", FEW)],
        [batch("b"), batch("c", of="pages.count"), batch("d", FEW, of="pages.count")],
    ],
    ids=["one large job", "two jobs of one handler", "jobs of others behind it"],
)
def test_more_than_a_few_are_left_to_nobody(
    lanes: JobQueue, redis_server: Redis, waiting: Sequence[Batch]
) -> None:
    """All workers are wanted then."""
    lanes.enqueue([batch("a")])
    take(Taker(redis_server, ROOM), redis_server)
    lanes.enqueue(waiting)
    assert ids(take(Taker(redis_server, ROOM), redis_server))[0] == waiting[0].id


def test_a_few_are_left_up_to_the_last_one(lanes: JobQueue, redis_server: Redis) -> None:
    """The limit is the number of events, whatever jobs they are in."""
    lanes.enqueue([batch("a")])
    take(Taker(redis_server, ROOM), redis_server)
    lanes.enqueue([batch("b"), batch("c", FEW - 1)])
    assert take(Taker(redis_server, ROOM), redis_server).left_seconds > 0


@pytest.mark.parametrize(
    ("lane", "first", "second"),
    [
        ("actions", "tickets.apply", "pages.count"),
        ("effects", "mails.send", "mails.send"),
        ("repair", "tickets.apply", "tickets.apply"),
    ],
    ids=["another handler", "effects", "repairs"],
)
def test_others_are_left_to_nobody(
    lanes: JobQueue, redis_server: Redis, lane: str, first: str, second: str
) -> None:
    """What would not be run together anyway, or waits for others outside."""
    lanes.enqueue([batch("a", of=first, lane=lane)])
    take(Taker(redis_server, ROOM), redis_server, lane)
    other = batch("b", of=second, lane=lane)
    lanes.enqueue([other])
    assert ids(take(Taker(redis_server, ROOM), redis_server, lane)) == [other.id]


def test_who_was_at_more_than_a_few_is_left_nothing(lanes: JobQueue, redis_server: Redis) -> None:
    """It takes a while until that one is done."""
    lanes.enqueue([batch("a", FEW + 1)])
    take(Taker(redis_server, ROOM), redis_server)
    one = batch("b")
    lanes.enqueue([one])
    assert ids(take(Taker(redis_server, ROOM), redis_server)) == [one.id]


def test_who_is_done_with_more_than_a_few_ends_nobodys_right_to_the_next_ones(
    lanes: JobQueue, redis_server: Redis
) -> None:
    """It had none itself."""
    lanes.enqueue([batch("a")])
    take(Taker(redis_server, ROOM), redis_server)
    large = Taker(redis_server, ROOM)
    lanes.enqueue([batch("b", FEW + 1)])
    take(large, redis_server)
    done(large, redis_server)
    lanes.enqueue([batch("c")])
    assert take(Taker(redis_server, ROOM), redis_server).left_seconds > 0


def test_who_is_done_too_late_ends_nobodys_right_to_the_next_ones(
    lanes: JobQueue, redis_server: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own was over by then, and another may have taken it."""
    slow = Taker(redis_server, ROOM)
    monkeypatch.setattr(taking, "LEFT_MS", 1)
    lanes.enqueue([batch("a")])
    take(slow, redis_server)
    while redis_server.keys("pipeline:at:*"):
        pass
    monkeypatch.setattr(taking, "LEFT_MS", 3_600_000)
    lanes.enqueue([batch("b")])
    take(Taker(redis_server, ROOM), redis_server)
    done(slow, redis_server)
    lanes.enqueue([batch("c")])
    assert take(Taker(redis_server, ROOM), redis_server).left_seconds > 0


def test_a_worker_that_ends_when_the_lanes_are_empty_leaves_nothing(
    lanes: JobQueue, redis_server: Redis
) -> None:
    """Or it would end too soon."""
    one, two = batch("a"), batch("b")
    lanes.enqueue([one])
    take(Taker(redis_server, ROOM), redis_server)
    lanes.enqueue([two])
    assert ids(take(Taker(redis_server, ROOM), redis_server, leaving=False)) == [two.id]


def test_a_worker_in_a_burst_runs_what_another_is_left(
    lanes: JobQueue, redis_server: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has nobody to wait for: what is there when it comes is its work."""
    monkeypatch.setattr(taking, "LEFT_MS", 3_600_000)
    lanes.enqueue([batch("a")])
    take(Taker(redis_server, ROOM), redis_server)
    one = batch("b")
    lanes.enqueue([one])
    assert another_runs(redis_server, burst=True) == [one.id]


def test_a_job_that_is_there_no_more_is_nobodys_work(lanes: JobQueue, redis_server: Redis) -> None:
    """The next one need not wait for it."""
    gone, one = batch("a"), batch("b")
    lanes.enqueue([gone])
    redis_server.delete(f"rq:job:{gone.id}")
    assert take(Taker(redis_server, ROOM), redis_server) == Taken([])
    lanes.enqueue([one])
    assert ids(take(Taker(redis_server, ROOM), redis_server)) == [one.id]


def worker_of(redis: Redis, name: str, run: Run) -> BatchWorker:
    """A worker of all lanes."""
    return BatchWorker(
        redis, name=name, lanes=list(Lane), run=run, room=ROOM, heartbeats=Heartbeats(redis, 10)
    )


def another_runs(redis: Redis, *, burst: bool = False) -> list[str]:
    """Which jobs another worker runs first."""
    ran: list[str] = []

    def run(batches: Sequence[Batch]) -> Report:
        ran.extend(one.id for one in batches)
        return Report()

    worker_of(redis, "other", run).work(burst=burst, max_jobs=1, logging_level="CRITICAL")
    return ran


def test_what_is_left_to_a_worker_that_died_is_done_by_another_a_moment_later(
    lanes: JobQueue, redis_server: Redis
) -> None:
    """Nobody has to find out that it is dead."""
    lanes.enqueue([batch("a")])
    take(Taker(redis_server, ROOM), redis_server)
    one = batch("b")
    lanes.enqueue([one])
    assert another_runs(redis_server) == [one.id]


def test_a_worker_that_leaves_a_few_events_takes_what_is_in_other_lanes(
    lanes: JobQueue, redis_server: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As soon as it is there."""
    monkeypatch.setattr(taking, "LEFT_MS", 3_600_000)
    lanes.enqueue([batch("a")])
    take(Taker(redis_server, ROOM), redis_server)
    left, other = batch("b"), batch("c", of="mails.send", lane="effects")
    lanes.enqueue([left, other])
    assert another_runs(redis_server) == [other.id]
    assert rq_queue("actions", redis_server).get_job_ids() == [left.id]


def test_what_is_left_for_less_than_a_millisecond_is_not_waited_for_without_end(
    lanes: JobQueue, redis_server: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis takes so short a timeout for none, and the worker would stand still for a minute."""

    class Leaving(Taker):
        """Puts the first job back, for a time that is nearly over."""

        left = False

        def take(self, queue: Queue, job_id: str, *, leaving: bool) -> Taken:
            """The first is left to another, who is done with its own in the next moment."""
            if self.left:
                return super().take(queue, job_id, leaving=leaving)
            self.left = True
            redis_server.lpush(queue.key, job_id)
            return Taken(left_seconds=0.0009)

    monkeypatch.setattr(worker_module, "Taker", Leaving)
    one = batch("a")
    lanes.enqueue([one])
    with capture_logs() as said:
        assert another_runs(redis_server) == [one.id]
    assert not [line for line in said if line["event"] == "redis_away"]


@pytest.mark.parametrize("fails", [False, True], ids=["done", "failed"])
def test_two_workers_run_what_comes_while_one_is_at_it_together_and_in_its_order(
    lanes: JobQueue, redis_server: Redis, monkeypatch: pytest.MonkeyPatch, *, fails: bool
) -> None:
    """Whoever was at it, also where its run has failed."""
    monkeypatch.setattr(taking, "LEFT_MS", 3_600_000)
    begun, let_go = threading.Event(), threading.Event()
    runs: list[list[str]] = []
    first, *others = batch("a"), batch("b"), batch("c"), batch("d")

    def run(batches: Sequence[Batch]) -> Report:
        runs.append([one.id for one in batches])
        begun.set()
        assert let_go.wait(30)
        if fails and len(runs) == 1:
            raise RuntimeError("told to fail")
        return Report()

    slow = worker_of(redis_server, "slow", run)
    slow.death_penalty_class = TimerDeathPenalty  # the other one wants the main thread
    lanes.enqueue([first])
    thread = threading.Thread(target=lambda: _two_jobs(slow), daemon=True)
    thread.start()
    assert begun.wait(30)
    lanes.enqueue(others)
    assert take(Taker(redis_server, ROOM), redis_server).left_seconds > 0
    let_go.set()
    thread.join(30)
    assert runs == [[first.id], [one.id for one in others]]


def _two_jobs(worker: BatchWorker) -> None:
    """Two runs of a worker, without the rest of its loop, which takes signals."""
    for _ in range(2):
        found = worker.dequeue_job_and_maintain_ttl(30)
        assert found is not None
        worker.execute_job(*found)
