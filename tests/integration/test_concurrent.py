"""Several workers at once on the same documents: nothing is lost, nothing waits for ever."""

import random
import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor

import pytest

from pipeline.event import Event
from tests.facts import Document, fact
from tests.integration.harness import BOTH_WAYS, Harness
from tests.integration.sample_handlers import broken

pytestmark = BOTH_WAYS

WORKERS = 4


def run_at_once(harness: Harness) -> None:
    """Run all that waits, and all that follows, with as many executors as there are workers."""
    start = threading.Barrier(WORKERS)

    def work(number: int) -> None:
        executor = harness.executor_of(f"worker-{number}")
        start.wait()
        while True:
            try:
                batch = harness.waiting.popleft()
            except IndexError:
                return
            assert not harness.run(batch, executor=executor).failures

    # A worker that finds nothing ends, though another may be about to hand on more.
    while harness.waiting:
        start.reset()
        with ThreadPoolExecutor(WORKERS) as pool:
            for done in [pool.submit(work, number) for number in range(WORKERS)]:
                done.result(timeout=60)


def views(count: int) -> list[Event]:
    """Views of two pages."""
    return [fact(f"v{n}", n, type="page.viewed", page=f"p{n % 2}", views=n) for n in range(count)]


def test_commutative_batches_on_one_document_lose_no_update(harness: Harness) -> None:
    """Every batch touches the same two documents."""
    events = views(120)
    for at in range(0, 120, 6):
        harness.submit(*events[at : at + 6])
    run_at_once(harness)
    assert harness.document("page_totals", "acme:p0")["views"] == sum(range(0, 120, 2))
    assert harness.document("page_totals", "acme:p1")["views"] == sum(range(1, 120, 2))


def test_one_batch_run_by_all_workers_at_once_has_one_effect(harness: Harness) -> None:
    """A job delivered many times: one claims it, the others find it done."""
    events = views(20)
    harness.submit(*events)
    harness.waiting = deque(list(harness.waiting) * WORKERS)
    run_at_once(harness)
    assert harness.document("page_totals", "acme:p1")["views"] == sum(range(1, 20, 2))


def test_a_batch_that_is_run_again_leaves_the_records_of_those_run_with_it(
    harness: Harness,
) -> None:
    """The first of two run together fails, and is run again by another worker, later."""
    one, two = fact("e1", entity_id="T1"), fact("e2", entity_id="T2")
    harness.submit(one)
    harness.submit(two)
    broken.add(("tickets.apply", "e1"))
    first, second = harness.waiting
    harness.waiting.clear()
    harness.run(first, second)
    broken.clear()
    again = harness.store.records.batches.waiting([first.id])[first.id][0]
    harness.run(again, executor=harness.executor_of("worker-2"))
    rows = harness.row(one, "tickets.apply"), harness.row(two, "tickets.apply")
    runs = harness.store.records.batches.runs([row.job for row in rows])
    assert [runs[row.job].worker for row in rows] == ["worker-2", "worker-1"]


def test_submitting_the_same_events_at_once_accepts_each_once(harness: Harness) -> None:
    """Of several doors that take the same event, one accepts it and the others see a copy."""
    events = views(30)
    start = threading.Barrier(WORKERS)

    def submit(seed: int) -> int:
        mine = random.Random(seed).sample(events, len(events))
        start.wait()
        return len(harness.submit(*mine).accepted)

    with ThreadPoolExecutor(WORKERS) as pool:
        accepted = sum(pool.map(submit, range(WORKERS)))
    assert accepted == len(events)
    assert harness.store.database["events"].count_documents({}) == len(events)
    run_at_once(harness)
    assert harness.document("page_totals", "acme:p1")["views"] == sum(range(1, 30, 2))


@pytest.mark.parametrize("seed", range(3))
def test_folds_and_observers_at_once_and_in_disorder_end_as_in_order(
    harness: Harness, seed: int
) -> None:
    """Late events heal derived documents while other workers add to them."""
    draw = random.Random(seed)
    events = [
        fact(
            f"e{n}",
            n,
            entity_id=f"T{draw.randrange(3)}",
            owner=draw.choice(["ann", "bob"]),
            status=draw.choice(["open", "done"]),
            add=draw.randrange(5),
        )
        for n in range(60)
    ]
    for event in events:
        harness.submit(event)
    harness.drain()
    expected = harness.domain()
    wipe(harness)
    draw.shuffle(events)
    for at in range(0, len(events), 5):
        harness.submit(*events[at : at + 5])
    run_at_once(harness)
    assert harness.store.records.batches.idle()
    assert harness.domain() == expected


def wipe(harness: Harness) -> None:
    """Empty every collection."""
    nothing: Document = {}
    for name in harness.store.database.list_collection_names():
        harness.store.database[name].delete_many(nothing)
