"""Stock: sums of what went and came, and the truth of a real warehouse."""

import gzip
from collections import Counter
from typing import Any

import pytest

from handlers.stock.actions import move_stock
from pipeline.event import Event
from pipeline.registry import load
from pipeline.replay import replay
from pipeline.updates import Update
from tests.facts import fact
from tests.integration.test_hotel_bookings import BOOKINGS

MOVES = BOOKINGS.with_name("retail_stock.ndjson.gz")


def moved(event_id: str, delta: object, way: str = "issued", minute: float = 0) -> Event:
    """A movement of product P1."""
    return fact(event_id, minute, type=f"stock.{way}", entity_id="P1", delta=delta)


def level(*events: Event) -> Any:
    """What is left of product P1."""
    return replay(load(["handlers.stock"]), events).documents("stock_levels").get("acme:P1")


def test_a_level_is_the_sum_of_what_went_and_came() -> None:
    """With how often, and when first and last, in whatever order they came."""
    events = [
        moved("e1", -6, minute=1),
        moved("e2", 4, "received", minute=2),
        moved("e3", 1, "returned", minute=3),
        moved("e4", -2, minute=0),
    ]
    left = level(*events)
    assert (left["level"], left["moves"]) == (-3, {"issued": 2, "received": 2})
    assert (left["first_at"], left["last_at"]) == (events[3].occurred_at, events[2].occurred_at)
    assert {**level(*reversed(events)), "_sync": 0} == {**left, "_sync": 0}


@pytest.mark.parametrize("delta", [None, "6", 1.5, True, [1]])
def test_a_movement_without_a_whole_number_is_refused(delta: object) -> None:
    """With what it says instead; the level stays as it was."""
    with pytest.raises(ValueError, match=r"payload.delta is no whole number"):
        move_stock(moved("e1", delta))
    assert level(moved("e1", delta), moved("e2", 5, "received"))["level"] == 5


def test_what_is_no_movement_is_none_of_its_business() -> None:
    """A count on the shelf, say, which is no difference."""
    assert level(fact("e1", type="stock.counted", entity_id="P1", delta=5)) is None


@pytest.fixture(scope="module")
def warehouse() -> dict[str, dict[str, Any]]:
    """Give what the handler makes of every movement of the shared data, by product."""
    if not MOVES.exists():
        pytest.skip(f"no {MOVES.name} in ../shared/data (or PIPELINE_SHARED_DATA)")
    totals: dict[str, Update] = {}
    with gzip.open(MOVES) as file:
        for event in map(Event.model_validate_json, file):
            product, moves = event.entity_id, move_stock(event)
            totals[product] = totals[product] | moves if product in totals else moves
    return {product: total.apply(None) for product, total in totals.items()}


@pytest.mark.uncounted
def test_a_real_warehouses_levels_are_what_its_source_says(
    warehouse: dict[str, dict[str, Any]],
) -> None:
    """The sum of all, two products by name, and how many are below, above and at zero."""
    levels = {product: left["level"] for product, left in warehouse.items()}
    assert sum(levels.values()) == -5_176_450
    assert (levels["22197"], levels["23005"]) == (-56_450, 14_418)
    signs = Counter((one > 0) - (one < 0) for one in levels.values())
    assert signs == {-1: 3_769, 1: 286, 0: 15}


@pytest.mark.uncounted
def test_a_real_warehouses_movements_are_counted_by_their_way(
    warehouse: dict[str, dict[str, Any]],
) -> None:
    """As many as the file has of each type."""
    ways: Counter[str] = Counter()
    for left in warehouse.values():
        ways.update(left["moves"])
    assert ways == {"issued": 531_285, "received": 10_624}
