"""Groups of dead letters: what belongs together, and what persons say about it."""

from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pytest
from pymongo import MongoClient
from pymongo.database import Database
from redis import Redis

from pipeline.dead_letters import (
    Counted,
    Decisions,
    Group,
    Said,
    Standing,
    Triage,
    Where,
    counted,
    groups_of,
    tally,
)
from pipeline.dead_letters import groups as grouping
from pipeline.errors import NotFound, PipelineError
from pipeline.metrics import Counts
from pipeline.metrics.catalogue import OPERATOR_ACTIONS
from pipeline.metrics.counts import field_of
from pipeline.store import stances
from pipeline.undo import Undoing
from tests.facts import Document, fact
from tests.integration.letters import Letters, tickets
from tests.integration.sample_handlers import broken

HOUR = timedelta(hours=1)
TOLD = Where(handler="tickets.apply", error="RuntimeError", signature="told to fail on e#")


@pytest.fixture
def triage(pipeline: Letters) -> Triage:
    """Give what keeps what persons say."""
    return Triage(pipeline.store, pipeline.clock)


def standing(pipeline: Letters, where: Where = TOLD) -> Standing:
    """How the one group that matches stands; letters are counted now."""
    (found,) = counted(pipeline.store).groups(where)
    return found.standing


def test_two_causes_of_one_type_are_two_groups(pipeline: Letters) -> None:
    """And one cause that names another event each time is one."""
    pipeline.bury(*tickets(3))
    pipeline.clock.advance(HOUR)
    pipeline.bury(fact("other"))
    first, second = groups_of(pipeline.store, Where())
    assert (first.signature, first.events) == ("told to fail on other", 1)
    assert (second.signature, second.events) == ("told to fail on e#", 3)
    assert (second.oldest, second.newest) == (first.oldest - HOUR, first.oldest - HOUR)
    assert first.id != second.id
    (both,) = tally(pipeline.store)
    assert (both.error, both.events) == ("RuntimeError", 4)
    assert pipeline.dead(TOLD) == ["e0", "e1", "e2"]
    assert pipeline.decisions.requeue_all(TOLD).done == 3
    assert pipeline.dead() == ["other"]


def test_letters_that_died_before_there_were_signatures_are_a_group(pipeline: Letters) -> None:
    """Of their handler and error, as they were; beside those that have one."""
    pipeline.bury(*tickets(3))
    ledger = pipeline.store.database["ledger"]
    ledger.update_many({"_id": {"$ne": "e0@acme/desk|tickets.apply"}}, _without_signature())
    found = {one.signature: one for one in groups_of(pipeline.store, Where())}
    assert {signature: one.events for signature, one in found.items()} == {
        None: 2,
        "told to fail on e#": 1,
    }
    unsigned = Where(handler="tickets.apply", error="RuntimeError", signature="")
    assert pipeline.dead(unsigned) == ["e1", "e2"]
    (group,) = counted(pipeline.store).groups(unsigned)
    assert (group.group, group.standing) == (found[None], Standing.NEW)


def _without_signature() -> Document:
    return {"$unset": {"error.signature": ""}}


def test_only_dead_letters_have_a_signature(
    mongo: MongoClient[Document], database: Database[Document], redis_server: Redis
) -> None:
    """What is tried again has none, so nothing is made for it."""
    pipeline = Letters(mongo, database.name, redis_server, max_attempts=2)
    broken.add(("tickets.apply", "e1"))
    pipeline.submit(fact("e1"), fact("e2", entity_id="T2"))
    pipeline.work()
    rows = list(pipeline.store.database["ledger"].find())
    assert any("error" in row for row in rows)
    assert not any("signature" in row.get("error", {}) for row in rows)
    pipeline.settle()
    assert pipeline.dead(Where(signature="told to fail on e#")) == ["e1"]


@pytest.mark.parametrize("most", [grouping.MOST_CELLS, 3])
@pytest.mark.parametrize(
    "where",
    [
        Where(),
        Where(tenant="acme"),
        Where(tenant="beta", handler="tickets.apply"),
        Where(handler="owners.count"),
        Where(error="ValueError"),
        Where(tenant="nobody"),
        Where(signature="told to fail on e#"),
        Where(signature=""),
        Where(tenant="acme", event="e0@acme/desk"),
    ],
)
def test_what_is_remembered_is_what_would_be_counted(
    pipeline: Letters, monkeypatch: pytest.MonkeyPatch, where: Where, most: int
) -> None:
    """By each filter, also where there are more groups and tenants than are remembered."""
    monkeypatch.setattr(grouping, "MOST_CELLS", most)
    pipeline.bury(*tickets(3), fact("e9", tenant="beta"), fact("x", tenant="beta", entity_id="X"))
    pipeline.clock.advance(HOUR)
    pipeline.bury(fact("e8", entity_id="B"), handler="owners.count")
    pipeline.submit(fact("d", entity_id="D", needs="open"))
    pipeline.settle()
    remembered = counted(pipeline.store)
    assert (remembered.cells is None) == (most == 3)
    letters = pipeline.letters(where)
    keys = [(one.handler, one.error["type"], one.error["signature"]) for one in letters]
    found = {one.group[:3]: one.group for one in remembered.groups(where)}
    assert {key: group.events for key, group in found.items()} == Counter(keys)
    for key, group in found.items():
        died = [one.died_at for one, its in zip(letters, keys, strict=True) if its == key]
        assert (group.oldest, group.newest) == (min(died), max(died))
    assert remembered.tally(where) == tally(pipeline.store, where)
    newest = [one.group.newest for one in remembered.groups(where)]
    assert newest == sorted(newest, reverse=True)


def test_an_acknowledged_group_that_comes_back_has_regressed(
    pipeline: Letters, triage: Triage
) -> None:
    """Not while letters of that time are left, and not when it only grows."""
    pipeline.bury(*tickets(2))
    assert standing(pipeline) is Standing.NEW
    triage.say(TOLD, Said.ACKNOWLEDGED, by="ann", note=" looks ")
    pipeline.clock.advance(HOUR)
    pipeline.bury(fact("e7", entity_id="T7"))
    assert standing(pipeline) is Standing.ACKNOWLEDGED
    (found,) = counted(pipeline.store).groups(TOLD)
    assert found.stance is not None
    assert (found.stance.by, found.stance.note, found.open) == ("ann", "looks", False)
    pipeline.clock.advance(HOUR)
    pipeline.decisions.requeue(["e0@acme/desk|tickets.apply"])
    pipeline.settle()
    assert standing(pipeline) is Standing.ACKNOWLEDGED
    pipeline.clock.advance(HOUR)
    pipeline.decisions.requeue_all(TOLD)
    assert counted(pipeline.store).groups(TOLD) == []
    pipeline.settle()
    assert standing(pipeline) is Standing.REGRESSED
    triage.say(TOLD, Said.ACKNOWLEDGED, by="bob")
    assert standing(pipeline) is Standing.ACKNOWLEDGED


def test_a_group_is_ignored_until_it_happens_again_or_for_good(
    pipeline: Letters, triage: Triage
) -> None:
    """As the person has said; what is said last holds, until it is taken back."""
    pipeline.bury(*tickets(1))
    triage.say(TOLD, Said.IGNORED_UNTIL_AGAIN, by="ann")
    assert standing(pipeline) is Standing.IGNORED
    pipeline.clock.advance(HOUR)
    pipeline.bury(fact("e7", entity_id="T7"))
    assert standing(pipeline) is Standing.AGAIN
    triage.say(TOLD, Said.IGNORED, by="ann")
    pipeline.clock.advance(HOUR)
    pipeline.bury(fact("e8", entity_id="T8"))
    assert standing(pipeline) is Standing.IGNORED
    assert triage.reopen(TOLD, by="bob")
    assert not triage.reopen(TOLD, by="bob")
    assert standing(pipeline) is Standing.NEW
    assert len(pipeline.dead()) == 3


def test_a_group_stands_as_a_whole_wherever_a_part_of_it_is_shown(
    pipeline: Letters, triage: Triage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tenant whose first letter came after the acknowledgement has not regressed alone."""
    pipeline.bury(*tickets(1))
    triage.say(TOLD, Said.ACKNOWLEDGED, by="ann")
    pipeline.clock.advance(HOUR)
    pipeline.bury(fact("e7", tenant="beta"))
    for remembered in (counted(pipeline.store), Counted(pipeline.store, None)):
        (found,) = remembered.groups(Where(tenant="beta"))
        assert (found.group.events, found.standing) == (1, Standing.ACKNOWLEDGED)


def test_a_clock_that_is_behind_that_of_the_workers_makes_nothing_happen_again(
    pipeline: Letters, triage: Triage
) -> None:
    """What had died when a person said it was there to be seen."""
    pipeline.bury(*tickets(1))
    pipeline.clock.advance(-HOUR)
    triage.say(TOLD, Said.IGNORED_UNTIL_AGAIN, by="ann")
    assert standing(pipeline) is Standing.IGNORED


def test_what_was_said_longest_ago_is_forgotten_first(
    pipeline: Letters, triage: Triage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that storage is bounded; a forgotten group is shown as new."""
    monkeypatch.setattr(stances, "MOST", 2)
    for name in ("one", "two", "three"):
        pipeline.bury(fact(name, entity_id=name))
        pipeline.clock.advance(HOUR)
        triage.say(_told(name), Said.IGNORED, by="ann")
    kept = pipeline.store.records.stances.all().values()
    assert {one.signature for one in kept} == {"told to fail on two", "told to fail on three"}
    assert standing(pipeline, _told("one")) is Standing.NEW


def _told(name: str) -> Where:
    return replace(TOLD, signature=f"told to fail on {name}")


def test_what_cant_be_said_is_refused(pipeline: Letters, triage: Triage) -> None:
    """Of a group that is not, or not named whole, or in too many words."""
    pipeline.bury(*tickets(1))
    with pytest.raises(NotFound):
        triage.say(_told("nobody"), Said.IGNORED, by="ann")
    with pytest.raises(PipelineError, match="500"):
        triage.say(TOLD, Said.IGNORED, by="ann", note="x" * 501)
    for where in (Where(handler="tickets.apply", error="RuntimeError"), Where(signature="x")):
        with pytest.raises(PipelineError, match="handler, error and signature"):
            triage.say(where, Said.IGNORED, by="ann")
        with pytest.raises(PipelineError, match="handler, error and signature"):
            triage.reopen(where, by="ann")
    assert pipeline.store.records.stances.all() == {}


def test_groups_have_ids_of_their_own() -> None:
    """Whatever their parts hold."""
    parts = [("a", "b", "c"), ("a", "b", None), ("a", "b", ""), ("a", "bc", ""), ("ab", "c", "")]
    at = fact("x").occurred_at
    ids = {Group(*one, 1, at, at).id for one in parts}
    assert len(ids) == len(parts)
    assert all(len(one) == 12 for one in ids)


def test_what_persons_do_is_counted_wherever_they_do_it(pipeline: Letters) -> None:
    """By how many letters or events it changed; what changed nothing is not."""
    counts = Counts()
    parts = (pipeline.store, pipeline.registry, pipeline.lanes, pipeline.clock, pipeline.settings)
    decisions, undoing = Decisions(*parts, counts), Undoing(*parts, counts)
    triage = Triage(pipeline.store, pipeline.clock, counts)
    pipeline.bury(*tickets(5))
    triage.say(TOLD, Said.ACKNOWLEDGED, by="ann")
    triage.say(TOLD, Said.IGNORED, by="ann")
    assert [triage.reopen(TOLD, by="ann") for _ in range(2)] == [True, False]
    letters = [letter.id for letter in pipeline.letters()]
    for _ in range(2):
        decisions.requeue(letters[:2])
        decisions.discard(letters[2:], "not ours")
        undoing.undo("e4@acme/desk", by="ann", reason="")
    undoing.redo("e4@acme/desk")
    undoing.redo("e4@acme/desk")
    added = counts.take().added
    done = {"acknowledge": 1, "ignore": 1, "reopen": 1, "requeue": 2, "discard": 3}
    expected = {**done, "undo": 1, "redo": 1}
    assert added == {
        field_of(OPERATOR_ACTIONS.name, (action,)): times for action, times in expected.items()
    }
