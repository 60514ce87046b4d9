"""What leads have brought, against a recalculation from the raw events."""

import json
import random
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import typer
from pymongo import MongoClient
from pymongo.database import Database
from redis import Redis
from typer.testing import CliRunner, Result

from handlers.appointments.queries import LeadConversions, conversions
from pipeline.errors import PipelineError
from pipeline.event import Event
from pipeline.registry import load
from tests.facts import NOON, Document
from tests.integration.harness import Harness
from workers.cli import conversions as command
from workers.cli.context import Exit

TYPES = ("scheduled", "departed", "arrived", "cancelled", "no_show")
TENANTS = ("acme", "acme2", "acm")
# One holds what parts a key, one is the beginning of another, one is escaped in the key.
LEADS = ("ann", "an", "a:n", "a%3An", None)
CHANNELS = ("web", "web:x", None)


@pytest.fixture
def harness(mongo: MongoClient[Document], database: Database[Document]) -> Harness:
    """Give a pipeline with the handlers of appointments."""
    return Harness(mongo, database.name, load(["handlers.appointments"]))


@pytest.fixture
def watched(harness: Harness, database: Database[Document]) -> Iterator[Harness]:
    """Give a pipeline of which MongoDB writes down every operation."""
    database.create_collection("system.profile", capped=True, size=64 * 1024 * 1024)
    database.command("profile", 2)
    yield harness
    database.command("profile", 0)


def appointment(number: int, draw: random.Random) -> Event:
    """An event of some appointment, with a lead and a channel or without."""
    said = {"lead": draw.choice(LEADS), "channel": draw.choice(CHANNELS)}
    return Event(
        event_id=f"e{number}",
        tenant=draw.choice(TENANTS),
        source="desk",
        type=f"appointment.{draw.choice(TYPES)}",
        entity_id=f"A{draw.randrange(25)}",
        seq=number,
        occurred_at=NOON + timedelta(minutes=draw.randrange(60)),
        payload={name: value for name, value in said.items() if value is not None},
    )


def shuffled(harness: Harness, seed: int, count: int = 400) -> list[Event]:
    """Process events in disorder, a tenth of them twice; return each once."""
    draw = random.Random(seed)
    events = [appointment(number, draw) for number in range(count)]
    arriving = events + draw.sample(events, count // 10)
    draw.shuffle(arriving)
    for start in range(0, len(arriving), 50):
        harness.process(*arriving[start : start + 50])
    return events


def recalculated(
    events: list[Event], since: datetime | None = None, until: datetime | None = None
) -> dict[tuple[str, str, str], Document]:
    """By tenant, lead and channel: outcomes, first and last time, from the raw events."""
    stories: dict[tuple[str, str], list[Event]] = defaultdict(list)
    for event in sorted(events, key=lambda e: (e.occurred_at, e.seq)):
        stories[event.tenant, event.entity_id].append(event)
    found: dict[tuple[str, str, str], list[tuple[str, datetime]]] = defaultdict(list)
    for (tenant, _), story in stories.items():
        lead = channel = "none"
        before = None
        for event in story:
            lead = event.payload.get("lead", lead)
            channel = event.payload.get("channel", channel)
            status = event.type.split(".")[1].replace("cancelled", "canceled")
            at = event.occurred_at
            within = (since is None or at >= since) and (until is None or at < until)
            if status != before and within:
                found[tenant, lead, channel].append((status, at))
            before = status
    return {
        group: {
            "outcomes": dict(Counter(status for status, _ in came)),
            "first_at": min(at for _, at in came),
            "last_at": max(at for _, at in came),
        }
        for group, came in found.items()
    }


def by_group(found: list[LeadConversions]) -> dict[tuple[str, str, str], Document]:
    """What was found in the form of the recalculation."""
    groups = {
        (one.tenant, one.lead, one.channel): {
            name: value
            for name, value in asdict(one).items()
            if name not in ("tenant", "lead", "channel")
        }
        for one in found
    }
    assert len(groups) == len(found)
    return groups


def named(group: tuple[str, str, str]) -> dict[str, str]:
    """What a group is of, by name."""
    return dict(zip(("tenant", "lead", "channel"), group, strict=True))


FILTERS: tuple[dict[str, str], ...] = (
    {},
    {"tenant": "acme"},
    {"lead": "an"},
    {"channel": "web"},
    {"tenant": "acm", "lead": "a:n"},
    {"lead": "a%3An", "channel": "web:x"},
    {"tenant": "acme2", "lead": "none", "channel": "none"},
    {"tenant": "nobody"},
)
RANGES = (
    (None, None),
    (0, 60),
    (10, 20),
    (None, 30),
    (30, None),
    (15, 16),
    (15.00001, 16.00001),
    (20, 10),
)


@pytest.mark.parametrize("seed", [5, 6])
def test_conversions_equal_a_recalculation_from_the_raw_events(harness: Harness, seed: int) -> None:
    """By every filter, in all and within every range of time; and in the order of their keys."""
    events = shuffled(harness, seed)
    for start, end in RANGES:
        since = None if start is None else NOON + timedelta(minutes=start)
        until = None if end is None else NOON + timedelta(minutes=end)
        expected = recalculated(events, since, until)
        for wanted in FILTERS:
            found = conversions(harness.store, since=since, until=until, **wanted)
            narrowed = {
                group: came
                for group, came in expected.items()
                if wanted.items() <= named(group).items()
            }
            assert by_group(found) == narrowed, (start, end, wanted)
            every = conversions(harness.store, **wanted)
            known = [(one.tenant, one.lead, one.channel) for one in every]
            assert [g for g in known if g in narrowed] == [
                (one.tenant, one.lead, one.channel) for one in found
            ]


def test_a_range_over_everything_says_what_the_table_says(harness: Harness) -> None:
    """The counts that observers added up, late events healed, and those counted anew."""
    shuffled(harness, 7)
    everything = conversions(harness.store)
    for moments in (
        {"since": datetime.min.replace(tzinfo=UTC)},
        {"until": datetime.max.replace(tzinfo=UTC)},
    ):
        assert conversions(harness.store, **moments) == everything
    assert conversions(harness.store, since=datetime.max.replace(tzinfo=UTC)) == []


def test_a_limit_takes_the_same_first_ones_either_way(harness: Harness) -> None:
    """In the order of the documents' ids."""
    shuffled(harness, 8)
    every = conversions(harness.store)
    assert conversions(harness.store, limit=5) == every[:5]
    assert conversions(harness.store, since=NOON, limit=5) == every[:5]
    assert len(conversions(harness.store, limit=0)) == 1


def test_what_a_late_event_took_back_is_not_shown(harness: Harness) -> None:
    """A group without any outcome left, and an outcome at zero."""
    ann, bob = {"lead": "ann", "channel": "web"}, {"lead": "bob", "channel": "web"}
    first = {"tenant": "acme", "source": "desk", "entity_id": "A1"}

    def event(name: str, minute: int, kind: str, payload: Document) -> Event:
        at = NOON + timedelta(minutes=minute)
        return Event(
            **first, event_id=name, type=f"appointment.{kind}", occurred_at=at, payload=payload
        )

    harness.process(event("e1", 1, "scheduled", ann), event("e3", 3, "departed", {}))
    harness.process(event("e2", 2, "departed", bob))
    found = {one.lead: one.outcomes for one in conversions(harness.store)}
    assert found == {"ann": {"scheduled": 1}, "bob": {"departed": 1}}


def test_no_tenants_name_is_refused(harness: Harness) -> None:
    """As for every query."""
    with pytest.raises(PipelineError, match="no tenant's name"):
        conversions(harness.store, tenant="acme:ann")


def operations(harness: Harness, collection: str) -> list[Document]:
    """The finds in this collection that MongoDB wrote down."""
    database = harness.store.database
    database.command("profile", 0)
    found = list(
        database["system.profile"].find({"ns": f"{database.name}.{collection}", "op": "query"})
    )
    database.command("profile", 2)
    return found


def test_conversions_of_a_lead_or_channel_are_found_by_an_index(watched: Harness) -> None:
    """Only documents that are wanted are read, and nothing is sorted."""
    shuffled(watched, 9)
    for wanted in ({"lead": "an"}, {"channel": "web"}, {"lead": "an", "tenant": "acme"}):
        watched.store.database.command("profile", 0)
        watched.store.database["system.profile"].drop()
        watched.store.database.create_collection(
            "system.profile", capped=True, size=16 * 1024 * 1024
        )
        watched.store.database.command("profile", 2)
        expected = len(conversions(watched.store, **wanted))
        (asked,) = operations(watched, "rs_lead_global_conversions")
        (field, *_) = wanted
        assert f"IXSCAN {{ {field}: 1, _id: 1 }}" in asked["planSummary"]
        assert not asked.get("hasSortStage")
        assert asked["docsExamined"] == asked["nreturned"] >= expected > 0


def test_a_range_of_time_reads_only_what_happened_in_it(watched: Harness) -> None:
    """By the timeline of the changes; nothing is scanned."""
    events = shuffled(watched, 10)
    since, until = NOON + timedelta(minutes=20), NOON + timedelta(minutes=22)
    conversions(watched.store, since=since, until=until)
    asked = [
        operation
        for operation in operations(watched, "rs_appointment_changes")
        if "valid_from" in operation["command"]["filter"]
    ]
    assert [one["planSummary"] for one in asked] == ["IXSCAN { valid_from: 1 }"]
    within = sum(since <= event.occurred_at < until for event in events)
    assert asked[0]["docsExamined"] == asked[0]["nreturned"] == within


@pytest.fixture
def run(
    harness: Harness,
    redis_server: Redis,
    monkeypatch: pytest.MonkeyPatch,
    mongo_url: str,
    redis_url: str,
) -> Any:
    """Give the command within this process, on the servers of the pipeline."""
    monkeypatch.setenv("PIPELINE_MONGO_URL", mongo_url)
    monkeypatch.setenv("PIPELINE_REDIS_URL", redis_url)
    monkeypatch.setenv("PIPELINE_DATABASE", harness.store.database.name)
    monkeypatch.setenv("PIPELINE_HANDLERS", "handlers.appointments")
    monkeypatch.setenv("COLUMNS", "200")

    def invoke(*arguments: str) -> Result:
        app = typer.Typer()
        app.callback()(lambda: None)
        command.register(app)
        return CliRunner().invoke(app, ["conversions", *arguments])

    return invoke


def test_the_command_says_what_the_function_says(run: Any, harness: Harness) -> None:
    """For programs and for people."""
    shuffled(harness, 11)
    wanted = ("--tenant", "acme", "--lead", "a:n", "--since", "2024-05-01T12:10:00Z")
    done = run(*wanted, "--until", "2024-05-01T12:40:00Z", "--json")
    assert done.exit_code == Exit.OK, done.output
    found = conversions(
        harness.store,
        tenant="acme",
        lead="a:n",
        since=NOON + timedelta(minutes=10),
        until=NOON + timedelta(minutes=40),
    )
    told = json.loads(done.stdout)
    assert told == json.loads(
        json.dumps([asdict(one) for one in found], default=datetime.isoformat)
    )
    assert told
    shown = run(*wanted)
    assert shown.exit_code == Exit.OK
    assert "a:n" in shown.output
    assert "departed" in shown.output


def test_the_command_of_a_domain_that_is_not_loaded_says_so(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Instead of an empty answer."""
    monkeypatch.setenv("PIPELINE_HANDLERS", "tests.integration.sample_handlers")
    done = run()
    assert done.exit_code == Exit.FAILED
    assert "declares the handler 'conversions.count'" in " ".join(done.output.split())
