"""A verification comes to its end, and leaves nothing behind, whatever befalls it."""

import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.client_session import ClientSession
from pymongo.database import Database
from pymongo.errors import AutoReconnect, DocumentTooLarge
from redis import Redis

from pipeline.errors import Unavailable
from pipeline.replay import Difference
from pipeline.store import Batch
from pipeline.store.events import Events
from pipeline.store.snapshots import HISTORY, HISTORY_SECONDS
from pipeline.store.verifications import ASKED_FOR, Verifications
from pipeline.verification import Finding, History, Repairer, Unknown
from pipeline.verification.entity import look_at
from pipeline.verification.findings import cut
from tests.facts import Document, fact
from tests.integration.sample_handlers import broken
from tests.integration.verifying import Verifying, found, told


@pytest.fixture
def pipeline(mongo: MongoClient[Document], database: Database[Document]) -> Iterator[Verifying]:
    """Give a pipeline in which a story has happened."""
    broken.clear()
    yield told(Verifying(mongo, database.name, max_attempts=2))
    broken.clear()


def run_all(pipeline: Verifying, batches: Sequence[Batch]) -> None:
    """Run the units, and those that follow from them."""
    waiting = list(batches)
    while waiting:
        waiting += pipeline.verifier.run(waiting.pop(0)).following


class TestHistory:
    """MongoDB keeps it for a pass, and afterwards for as long as before."""

    @pytest.fixture(autouse=True)
    def _short(self, mongo: MongoClient[Document]) -> Iterator[None]:
        """Let it be kept for 7 seconds, which nobody else has said."""
        before = mongo.admin.command({"getParameter": 1, HISTORY: 1})[HISTORY]
        mongo.admin.command({"setParameter": 1, HISTORY: 7})
        yield
        mongo.admin.command({"setParameter": 1, HISTORY: before})

    def test_the_last_of_several_passes_restores_it(self, pipeline: Verifying) -> None:
        """Not the first one that ends, since the other still needs it."""
        kept_for = pipeline.store.history_kept_for
        _, one = pipeline.verifier.begin()
        _, other = pipeline.verifier.begin()
        for batches, expected in ((one, HISTORY_SECONDS), (other, 7)):
            assert kept_for() == HISTORY_SECONDS
            run_all(pipeline, batches)
            assert kept_for() == expected

    def test_a_pass_that_could_not_begin_restores_it(
        self, pipeline: Verifying, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Nobody would ever end it."""

        def fail(*_: object) -> None:
            raise Unavailable("away")

        monkeypatch.setattr(Verifications, "begin", fail)
        with pytest.raises(Unavailable):
            pipeline.verifier.begin()
        assert pipeline.store.history_kept_for() == 7

    def test_the_sweeper_restores_it_where_a_worker_died(
        self, pipeline: Verifying, redis_server: Redis
    ) -> None:
        """As soon as what is kept reaches back to no pass's moment any more."""
        sweeper = pipeline.sweeper_of(redis_server)
        History(pipeline.store, pipeline.clock).moment("v-of-the-dead")
        pipeline.clock.advance(timedelta(seconds=HISTORY_SECONDS - 1))
        sweeper.sweep()
        assert pipeline.store.history_kept_for() == HISTORY_SECONDS
        pipeline.clock.advance(timedelta(seconds=2))
        sweeper.sweep()
        assert pipeline.store.history_kept_for() == 7
        assert pipeline.store.records.verifications.remembering() is None

    def test_what_somebody_else_has_set_meanwhile_stays(
        self, pipeline: Verifying, mongo: MongoClient[Document]
    ) -> None:
        """A person's word counts more than ours."""
        history = History(pipeline.store, pipeline.clock)
        history.moment("v-one")
        mongo.admin.command({"setParameter": 1, HISTORY: 600})
        history.leave("v-one")
        assert pipeline.store.history_kept_for() == 600

    def test_what_somebody_else_has_set_between_two_passes_is_restored(
        self, pipeline: Verifying, mongo: MongoClient[Document]
    ) -> None:
        """Or what a MongoDB was started with anew."""
        history = History(pipeline.store, pipeline.clock)
        history.moment("v-one")
        mongo.admin.command({"setParameter": 1, HISTORY: 3})
        history.moment("v-two")
        for name in ("v-one", "v-two"):
            assert pipeline.store.history_kept_for() == HISTORY_SECONDS
            history.leave(name)
        assert pipeline.store.history_kept_for() == 3


@pytest.mark.parametrize(
    ("of", "name"),
    [
        (Verifications, "sums_after"),
        (Verifications, "units"),
        (Verifications, "unit"),
        (Verifications, "get"),
        (Events, "_bodies"),
        (Events, "load"),
    ],
)
def test_a_database_that_is_away_for_a_moment_is_asked_again(
    pipeline: Verifying, monkeypatch: pytest.MonkeyPatch, of: type, name: str
) -> None:
    """Nothing is told as what can't be told, and no handler is blamed."""
    pipeline.store.database.tickets.update_one({}, {"$set": {"status": "lost"}})
    real: Callable[..., Any] = getattr(of, name)
    failed: list[int] = []

    def once(*arguments: Any) -> Any:
        if not failed:
            failed.append(1)
            raise AutoReconnect("not primary")
        return real(*arguments)

    monkeypatch.setattr(of, name, once)
    (finding,) = pipeline.verify(repairs=True)
    assert isinstance(finding, Difference)
    assert failed


def tried(pipeline: Verifying, *, repairs: bool) -> list[Finding]:
    """What a verification has found whose first unit comes to no end when it is first tried."""
    name, waiting = pipeline.verifier.begin(repairs=repairs)
    with pytest.raises(Unavailable):
        pipeline.verifier.run(waiting[0])
    run_all(pipeline, waiting)
    verification = pipeline.store.records.verifications.get(name)
    assert verification is not None
    assert verification.ended_at is not None
    return found(pipeline, name)


def too_slow(*_: object, **__: object) -> None:
    """Outlive MongoDB's transaction."""
    raise Unavailable("MongoDB did not complete a transaction within 30 s")


def test_a_look_that_outlives_its_transaction_again_is_given_up(
    pipeline: Verifying, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The derived tables are looked at nevertheless, and nothing is told of them."""
    monkeypatch.setattr("pipeline.verification.passes.entities", too_slow)
    findings = tried(pipeline, repairs=False)
    assert [one.id for one in findings if one.table == "0/1"] != []
    assert all(isinstance(one, Unknown) for one in findings)
    assert "within 30 s" in str(next(one for one in findings if one.table == "0/1"))


def test_a_repair_that_outlives_its_transaction_again_is_told_and_the_others_are_done(
    pipeline: Verifying, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One entity's; the other entity of the same step is put right."""
    database, real = pipeline.store.database, Repairer.entity
    slow, other = (doc["_id"] for doc in database.tickets.find().sort("_id").limit(2))
    database.tickets.update_many({"_id": {"$in": [slow, other]}}, {"$set": {"status": "lost"}})

    def entity(self: Repairer, tenant: str, entity_id: str) -> Any:
        if f"{tenant}:{entity_id}" == slow:
            too_slow()
        return real(self, tenant, entity_id)

    monkeypatch.setattr(Repairer, "entity", entity)
    unknown = [one for one in tried(pipeline, repairs=True) if isinstance(one, Unknown)]
    assert [(one.table, one.id) for one in unknown] == [("entities", slow)]
    assert "could not be put right" in unknown[0].why
    assert {(one.table, one.id) for one in pipeline.verify()} == {("tickets", slow)}


def test_tries_are_of_one_step(pipeline: Verifying) -> None:
    """A unit of many steps is not given up for what befell it at the first ones."""
    name, _ = pipeline.verifier.begin()
    kept = pipeline.store.records.verifications
    unit = kept.units(name)[0]
    assert kept.note_try(unit.id) == 1
    before = kept.unit(unit.id)
    assert before is not None
    assert before.last_try
    kept.advance(before, None, done=False, counts={})
    after = kept.unit(unit.id)
    assert after is not None
    assert not after.last_try


def test_what_is_too_large_to_be_noted_ends_its_unit(
    pipeline: Verifying, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sum that fits into no document, say; what it counts in can't be told."""

    def refuse(*_: object) -> None:
        raise DocumentTooLarge("a document of 17 MB")

    monkeypatch.setattr(Verifications, "put_sums", refuse)
    findings = pipeline.verify()
    assert all(isinstance(one, Unknown) for one in findings)
    assert any("a document of 17 MB" in str(one) for one in findings)
    assert all(unit.done for unit in pipeline.asked_for())


def test_long_values_are_cut_in_findings(pipeline: Verifying) -> None:
    """And it is said how long they were."""
    pipeline.store.database.tickets.update_one({}, {"$set": {"status": "x" * 10**6}})
    (finding,) = pipeline.verify()
    assert isinstance(finding, Difference)
    assert "xxx... (cut: 1,000,0" in finding.actual
    assert len(finding.actual) < 1_000
    assert str(cut(2**70)).startswith(f"{2**70}... (cut: ")
    assert cut([1, 2]) == [1, 2]


def test_what_was_added_up_is_dropped_in_chunks_and_not_in_a_transaction(
    pipeline: Verifying, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There may be millions of sums, which no transaction holds; the last 2 passes are kept."""
    monkeypatch.setattr("pipeline.store.verifications.CHUNK", 3)
    monkeypatch.setattr("pipeline.verification.passes.KEPT", 2)
    drop, sessions = Verifications._drop, list[ClientSession | None]()  # noqa: SLF001 - watched

    def watched(self: Verifications, *arguments: Any) -> None:
        sessions.append(self._session)
        drop(self, *arguments)

    monkeypatch.setattr(Verifications, "_drop", watched)
    pipeline.store.database.tickets.update_one({}, {"$set": {"status": "lost"}})
    for _ in range(4):
        pipeline.verify()
    assert sessions
    assert set(sessions) == {None}
    left = pipeline.everything()
    known = {one.id for one in pipeline.store.records.verifications.newest(9, ASKED_FOR)}
    assert len(known) == 2
    assert left["verification_sums"] == {}
    for name in ("verification_units", "verification_findings"):
        assert {id_.partition("/")[0] for id_ in left[name]} == known


def test_a_look_at_one_entity_keeps_nothing_of_the_others(
    mongo: MongoClient[Document],
    database: Database[Document],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However many of them count in the same totals."""
    monkeypatch.setattr("pipeline.store.ledger.SCANNED", 100)
    pipeline = Verifying(mongo, database.name)

    def peak() -> int:
        tracemalloc.start()
        pipeline.store.rehearse(lambda records: look_at(records, pipeline.registry, "acme", "T0"))
        size = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return size

    def happen(part: int) -> None:
        ids = range(part * 300, part * 300 + 300)
        pipeline.process(*(fact(f"e{n}", n, entity_id=f"T{n}", add=1) for n in ids))

    happen(0)
    few = peak()
    for part in range(1, 8):
        happen(part)
    assert peak() < 2 * few
