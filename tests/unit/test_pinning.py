"""Pins on charts: a word, a moment and a way on for what persons did; and what is left out."""

from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

from dashboards.web.pinning import LEFT_OUT, MOST, as_json, pins_of
from dashboards.web.reading import moment_of
from pipeline.queue import RINGS
from pipeline.store import Phase
from tests.dashboards.pinned import ended, note

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
HOUR = RINGS["hour"]


def at(minutes: float) -> datetime:
    """So many minutes before noon."""
    return NOON - timedelta(minutes=minutes)


def test_pins_say_what_was_done_by_whom_in_the_order_of_time() -> None:
    """However they were found."""
    found = pins_of([note(at(5)), note(at(30), "undo", actor="bob")], [ended(at(10))], HOUR, NOON)
    assert [(pin.at, pin.word) for pin in found.pins] == [
        (at(30), "undo by bob"),
        (at(10), "requeue of 1,200 letters done"),
        (at(5), "requeue by ann"),
    ]
    assert (found.ring, found.until, found.notes) == (HOUR, NOON.timestamp(), [])


def test_what_failed_or_has_no_outcome_is_told_so() -> None:
    """In words, on the pin."""
    notes = [note(at(1), outcome=None), note(at(2), outcome="failed: NotFound: none")]
    failed = [ended(at(3), Phase.FAILED)]
    assert [pin.word for pin in pins_of(notes, failed, HOUR, NOON).pins] == [
        "requeue of 1,200 letters failed",
        "requeue by ann, failed",
        "requeue by ann, cut off",
    ]


def test_an_operation_that_was_stopped_has_no_pin_of_its_end() -> None:
    """That of the note of who stopped it stands at the same moment."""
    stopped = ended(at(1), Phase.CANCELLED)
    (pin,) = pins_of([note(at(1), "cancel")], [stopped], HOUR, NOON).pins
    assert pin.word == "cancel by ann"


def test_a_pin_leads_to_its_moment_or_operation() -> None:
    """The moment to the millisecond, in which no other note is; the id as one part of a path."""
    moment = at(1) + timedelta(microseconds=1000)
    noted, end = sorted(
        pins_of([note(moment)], [ended(at(2), name="o/1")], HOUR, NOON).pins,
        key=lambda pin: pin.link,
    )
    asked = {name: values[0] for name, values in parse_qs(urlsplit(noted.link).query).items()}
    assert urlsplit(noted.link).path == "/ops/audit"
    assert moment_of(asked["since"]) == moment
    assert moment_of(asked["until"]) == moment + timedelta(milliseconds=1)
    assert end.link == "/ops/operations/o%2F1"


def test_of_more_than_a_chart_shows_the_newest_stay_and_it_is_said() -> None:
    """Of notes and operations together."""
    notes = [note(at(n / 10)) for n in range(MOST)]
    assert pins_of(notes, [], HOUR, NOON).notes == []
    found = pins_of(notes, [ended(at(0.05))], HOUR, NOON)
    assert (len(found.pins), found.notes) == (MOST, [LEFT_OUT])
    assert found.pins[0].at == notes[-2].at
    assert found.pins[-1].at == notes[0].at


def test_programs_are_told_the_same_with_times_as_the_readings_have() -> None:
    """Seconds since 1970; and every pin has an id of its own."""
    told = as_json(pins_of([note(at(1)), note(at(1), "undo")], [ended(at(1))], HOUR, NOON))
    assert {one["at"] for one in told["pins"]} == {NOON.timestamp() - 60}
    assert len({one["id"] for one in told["pins"]}) == 3
    assert (told["span"], told["seconds"], told["until"]) == ("hour", 3600, NOON.timestamp())


def test_a_name_without_end_has_a_bound_on_a_pin() -> None:
    """A proxy may name anybody anything."""
    (pin,) = pins_of([note(at(1), actor="x" * 10_000)], [], HOUR, NOON).pins
    assert len(pin.word) == 300
