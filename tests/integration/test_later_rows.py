"""Later rows read in parts are all later rows, each once and in order."""

import random

import pytest

from pipeline.executor import later
from pipeline.executor.later import LaterRows
from tests.facts import fact
from tests.integration.harness import Harness
from tests.integration.sample_handlers import apply_ticket

# The rows of the second and third lie among those of the first, by their ids.
ENTITIES = ("T", "T|2024-05-01T12:03", "T|2024-05-01T12:07", "T2", "S")
LONG = 40


@pytest.fixture
def long(harness: Harness) -> Harness:
    """Give a pipeline with documents of many rows."""
    harness.process(*(fact(f"{t}-{n}", n, entity_id=t) for t in ENTITIES for n in range(LONG)))
    return harness


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("first", "per_document"), [(0, 1), (3, 2), (16, 8), (500, 1)])
def test_read_in_parts_they_are_those_that_are_there(
    long: Harness, monkeypatch: pytest.MonkeyPatch, seed: int, first: int, per_document: int
) -> None:
    """Wherever the first part is cut, from wherever each document is asked for, it itself too."""
    monkeypatch.setattr(later, "FIRST", first)
    monkeypatch.setattr(later, "PER_DOCUMENT", per_document)
    draw = random.Random(seed)
    chosen = draw.sample(ENTITIES, draw.choice([1, 2, 5]))
    starts = {entity: draw.randrange(LONG) for entity in chosen}
    orders = {
        f"acme:{entity}": fact(f"{entity}-{n}", n, entity_id=entity).order
        for entity, n in starts.items()
    }
    rows = LaterRows(long.store.records, apply_ticket, orders)
    for entity, start in starts.items():
        kept = list(rows.of(f"acme:{entity}"))
        expected = [f"{entity}-{n}@acme/desk" for n in range(start, LONG)]
        assert [one.row.event for one in kept] == expected
        assert [one.event.key for one in kept] == expected
        assert all(one.row.key == f"acme:{entity}" for one in kept)


def test_what_is_not_asked_for_is_not_read(long: Harness) -> None:
    """A document that has no later rows has none, and the others are read in part."""
    orders = {f"acme:{entity}": fact("0").order for entity in ENTITIES}
    rows = LaterRows(long.store.records, apply_ticket, orders)
    assert list(rows.of("acme:unknown")) == []
    assert 0 < len(rows.records) < LONG * len(ENTITIES)
    assert list(LaterRows(long.store.records, apply_ticket, {}).of("acme:T")) == []
