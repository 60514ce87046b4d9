"""Care: cases through a hospital, and the truth of a thousand real ones."""

import gzip
import json
import random
from collections import Counter, defaultdict
from typing import Any

import pytest

from pipeline.event import Event
from pipeline.registry import load
from pipeline.replay import Tables, replay
from tests.facts import fact
from tests.integration.test_hotel_bookings import BOOKINGS

SEPSIS = BOOKINGS.with_name("sepsis.ndjson.gz")


def step(activity: str, minute: float, department: str | None = "A", case: str = "C1") -> Event:
    """An activity in a case."""
    payload = {} if department is None else {"resource": department}
    return fact(f"{case}-{minute}", minute, type=activity, entity_id=case, payload=payload)


def run(*events: Event) -> Tables:
    """The tables after these."""
    tables = replay(load(["handlers.care"]), events)
    assert tables.failures == []
    return tables


def case_of(*events: Event) -> dict[str, Any]:
    """The case C1 after these."""
    return run(*events).documents("care_cases")["acme:C1"]


def test_a_case_goes_through_phases_and_measuring_changes_none() -> None:
    """Each phase by the activity that begins it."""
    way = [
        ("er_registration", "emergency"),
        ("er_triage", "emergency"),
        ("crp", "emergency"),
        ("admission_nc", "ward"),
        ("leucocytes", "ward"),
        ("admission_ic", "intensive_care"),
        ("iv_antibiotics", "intensive_care"),
        ("release_b", "released"),
        ("return_er", "emergency"),
    ]
    events = [step(activity, minute) for minute, (activity, _) in enumerate(way)]
    for count, (activity, phase) in enumerate(way, 1):
        found = case_of(*events[:count])
        assert (found["activity"], found["phase"]) == (activity, phase)
        assert found["activities"] == count
    assert case_of(step("crp", 0))["phase"] == "unknown"


def test_visits_and_the_last_release_are_kept() -> None:
    """Coming again is a visit more; how it was released stays, and when."""
    first, *others = (
        step("er_registration", 0),
        step("release_a", 1),
        step("return_er", 2),
        step("care.release_c", 3),
        step("lacticacid", 4),
    )
    assert case_of(first)["visits"] == 1
    assert case_of(first)["release"] is None
    found = case_of(first, *others)
    assert (found["visits"], found["release"]) == (2, "release_c")
    assert found["released_at"] == others[2].occurred_at


@pytest.mark.parametrize("said", [None, "?", ""])
def test_a_department_that_is_not_known_is_none(said: str | None) -> None:
    """Whatever way the source has to say so."""
    assert case_of(step("crp", 0, "A"), step("crp", 1, said))["department"] == "none"


def test_an_activity_is_counted_with_what_came_before_it() -> None:
    """By department; the first of a case follows on nothing."""
    tables = run(
        step("er_registration", 0),
        step("crp", 1, "B"),
        step("crp", 2, "B"),
        step("crp", 0, "B", case="C2"),
    )
    found = tables.documents("care_activities")["acme:B:crp"]
    assert found["times"] == 3
    assert found["follows"] == {"er_registration": 1, "crp": 1, "nothing": 1}
    assert (found["department"], found["activity"]) == ("B", "crp")
    standing = tables.documents("care_phases")["acme"]
    assert (standing["cases"], standing["standing"]) == (2, {"emergency": 1, "unknown": 1})


@pytest.fixture(scope="module")
def lines() -> list[bytes]:
    """Give the real events, each a line."""
    if not SEPSIS.exists():
        pytest.skip(f"no {SEPSIS.name} in ../shared/data (or PIPELINE_SHARED_DATA)")
    with gzip.open(SEPSIS) as file:
        return list(file)


@pytest.fixture(scope="module")
def hospital(lines: list[bytes]) -> Tables:
    """Give the tables after all of them, in disorder and a tenth twice."""
    draw = random.Random(5)
    arriving = lines + draw.sample(lines, len(lines) // 10)
    draw.shuffle(arriving)
    return run(*map(Event.model_validate_json, arriving))


def test_every_real_case_ends_as_its_source_says(hospital: Tables) -> None:
    """Also the many whose last events happened at the same moment as those before."""
    cases = [document for _, document in hospital["care_cases"].entries()]
    ends = Counter(case["activity"] for case in cases)
    assert (len(cases), ends["release_a"], ends["return_er"]) == (1_050, 393, 291)
    assert sum(case["activities"] for case in cases) == 15_214


def test_what_followed_what_equals_a_recalculation(hospital: Tables, lines: list[bytes]) -> None:
    """Counted from the lines by the source's own sequence."""
    stories: dict[str, list[tuple[int, str, str]]] = defaultdict(list)
    for event in map(json.loads, lines):
        department = event["payload"]["resource"].replace("?", "none")
        stories[event["entity_id"]].append((event["seq"], department, event["type"]))
    expected: dict[str, Counter[str]] = defaultdict(Counter)
    phases: Counter[str] = Counter()
    begins = {"er": "emergency", "return": "emergency", "release": "released"}
    begins |= {"admission nc": "ward", "admission ic": "intensive_care"}
    for story in stories.values():
        before, phase = "nothing", "unknown"
        for _, department, activity in sorted(story):
            expected[f"hospital:{department}:{activity}"][before] += 1
            before = activity
            first = activity.replace("admission_", "admission ").partition("_")[0]
            phase = begins.get(first, phase)
        phases[phase] += 1
    found = hospital.documents("care_activities")
    assert {key: document["follows"] for key, document in found.items()} == expected
    assert {key: document["times"] for key, document in found.items()} == {
        key: follows.total() for key, follows in expected.items()
    }
    standing = hospital.documents("care_phases")["hospital"]["standing"]
    assert {phase: count for phase, count in standing.items() if count} == phases
