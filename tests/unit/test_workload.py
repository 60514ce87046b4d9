"""What a workload declares is what its events are."""

import gzip
from collections import Counter
from pathlib import Path

import pytest

from benchmarks.workload import HOT, SYNTHETIC, UnfitFileError, Workload, arriving, in_order
from pipeline import Event


def synthetic(**kinds: object) -> Workload:
    """Synthetic events."""
    return Workload.model_validate({"source": SYNTHETIC, "events": 3000, **kinds})


def test_the_same_seed_gives_the_same_events_and_another_others() -> None:
    """A figure can be measured again."""
    assert list(in_order(synthetic())) == list(in_order(synthetic()))
    assert list(in_order(synthetic())) != list(in_order(synthetic(seed=2)))


def test_events_come_in_the_order_of_their_times_and_numbers() -> None:
    """Each entity begins with what was scheduled, and stays with its tenant."""
    events = list(in_order(synthetic(tenants=5)))
    assert len({event.key for event in events}) == 3000
    assert [e.occurred_at for e in events] == sorted(e.occurred_at for e in events)
    of: dict[str, list[Event]] = {}
    for event in events:
        of.setdefault(event.entity_id, []).append(event)
    for own in of.values():
        assert own[0].type == "appointment.scheduled"
        assert [event.seq for event in own] == list(range(1, len(own) + 1))
        assert len({event.tenant for event in own}) == 1


def test_tenants_are_even_without_skew_and_uneven_with_it() -> None:
    """With a skew of 1 the first of ten has a third of all, and the last a thirtieth."""
    even = Counter(event.tenant for event in in_order(synthetic(tenants=10)))
    skewed = Counter(event.tenant for event in in_order(synthetic(tenants=10, skew=1)))
    assert len(even) == len(skewed) == 10
    assert max(even.values()) < 2 * min(even.values())
    assert skewed["t0"] > 0.25 * 3000
    assert skewed["t9"] < 0.06 * 3000


def test_the_hot_entity_has_its_share() -> None:
    """As declared, and none of it without."""
    hot = Counter(event.entity_id for event in in_order(synthetic(hot_share=0.2)))
    assert 500 < hot[HOT] < 700
    assert HOT not in Counter(event.entity_id for event in in_order(synthetic()))


def test_an_entitys_events_come_within_the_span() -> None:
    """About, and all entities get theirs; a span of all is the same as none."""
    places: dict[str, list[int]] = {}
    for number, event in enumerate(in_order(synthetic(span=300))):
        places.setdefault(event.entity_id, []).append(number)
    assert max(own[-1] - own[0] for own in places.values()) in range(200, 340)
    assert len(places) > 900  # of a thousand; some are drawn by nobody
    assert list(in_order(synthetic(span=3000))) == list(in_order(synthetic()))


@pytest.mark.parametrize("size", [200, 5000])
def test_payloads_have_about_their_size(size: int) -> None:
    """Within a fifth."""
    for event in in_order(synthetic(payload_bytes=size, events=20)):
        assert 0.8 * size < len(Event.model_dump_json(event, include={"payload"})) < 1.2 * size


def test_late_events_and_copies_are_as_many_as_declared() -> None:
    """Nothing else is changed: the different events are the same."""
    workload = synthetic(late=0.2, duplicates=0.1)
    sent = arriving(workload)
    events = list(sent.events)
    assert {event.key for event in events} == {event.key for event in in_order(workload)}
    assert len(events) - 3000 == sent.injected.duplicates
    assert 200 < sent.injected.duplicates < 400
    assert 450 < sent.injected.late < 750


def test_a_file_of_events_is_sent_as_it_is(tmp_path: Path) -> None:
    """A line of JSON each; the first so many."""
    events = list(in_order(synthetic(events=10)))
    path = tmp_path / "events.ndjson"
    path.write_text("\n".join(event.model_dump_json() for event in events))
    assert list(in_order(Workload(source=str(path), events=7))) == events[:7]
    packed = tmp_path / "events.ndjson.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert list(in_order(Workload(source=str(packed)))) == events


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.ndjson", b"{}", "line 1 is no event: event_id: Field required"),
        ("a.ndjson", b"\n", "line 1 is no event"),
        ("a.ndjson.gz", b"plain", "can't be read"),
        ("a.ndjson.gz", gzip.compress(b"{}" * 99)[:12], "can't be read"),
        ("a.ndjson", None, "can't be read"),
    ],
    ids=["no event", "empty line", "no gzip", "cut off", "absent"],
)
def test_a_file_of_something_else_is_refused_by_its_line(
    tmp_path: Path, name: str, content: bytes | None, sentence: str
) -> None:
    """Whatever is wrong with it."""
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UnfitFileError) as refused:
        list(in_order(Workload(source=str(path))))
    assert sentence in str(refused.value)
    assert str(path) in str(refused.value)
