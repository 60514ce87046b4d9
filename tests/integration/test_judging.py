"""The judge of the disorder runs finds what is wrong, and counts what was late."""

from datetime import timedelta

from benchmarks.disorder import shuffled
from benchmarks.judging import Verdict, judge
from pipeline.event import Event
from tests.facts import fact
from tests.integration.harness import Harness


def lines_of(*events: Event) -> list[bytes]:
    """The events as the lines that the judge reads."""
    return [event.model_dump_json().encode() for event in events]


def judged(harness: Harness, *events: Event) -> Verdict:
    """What the judge says after these events."""
    return judge(harness.store, harness.registry, lines_of(*events))


def test_a_right_run_is_found_right(harness: Harness) -> None:
    """Late events are counted, and the rows that they have changed."""
    events = [fact(f"e{n}", n, add=1, owner=f"o{n % 2}") for n in range(4)]
    harness.process(events[0], events[2], events[3])
    harness.clock.advance(timedelta(seconds=1))
    harness.process(events[1])
    verdict = judged(harness, *events)
    assert (verdict.wrong_documents, verdict.wrong_rows, verdict.details()) == (0, 0, [])
    assert (verdict.late, verdict.healed) == (1, 2)


def test_a_run_in_order_has_nothing_late_and_nothing_healed(harness: Harness) -> None:
    """The validity of a row that ends is no healing."""
    events = [fact(f"e{n}", n, add=1) for n in range(4)]
    for event in events:
        harness.process(event)
        harness.clock.advance(timedelta(seconds=1))
    verdict = judged(harness, *events)
    assert (verdict.late, verdict.healed) == (0, 0)


def test_wrong_documents_and_rows_are_counted_and_told(harness: Harness) -> None:
    """One document changed, one gone, one too many; a row gone."""
    events = [fact(f"e{n}", n, entity_id=f"T{n}") for n in range(4)]
    harness.process(*events)
    database = harness.store.database
    database["tickets"].update_one({"_id": "acme:T1"}, {"$set": {"points": 7}})
    database["tickets"].delete_one({"_id": "acme:T2"})
    database["tickets"].insert_one({"_id": "acme:T9"})
    database["ledger"].delete_one({"_id": "e3@acme/desk|tenants.count"})
    verdict = judged(harness, *events)
    assert (verdict.wrong_documents, verdict.wrong_rows) == (3, 1)
    told = "\n".join(verdict.details())
    assert "tickets[acme:T1].points is 7, should be 0" in told
    assert "e3@acme/desk in tenants.count: no row" in told


def test_total_disorder_is_the_same_for_the_same_seed() -> None:
    """All lines, a tenth of them twice, and in another order for another seed."""
    lines = [b"%d" % n for n in range(200)]
    arriving = shuffled(lines, 1)
    assert arriving == shuffled(lines, 1) != shuffled(lines, 2)
    assert set(arriving) == set(lines)
    assert len(arriving) == 220
    assert max(map(arriving.count, arriving)) == 2
    displaced = [abs(arriving.index(line) - n) for n, line in enumerate(lines)]
    assert max(displaced) > 100
