"""Looking: status, search, events, notes."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query
from pydantic import AwareDatetime, BaseModel, Field

from dashboards.access import Role
from dashboards.console import TheConsole, TheVisit
from dashboards.web.charting import RingName, as_json
from dashboards.web.pinning import as_json as pins_json
from pipeline.beside import as_json as beside_json
from pipeline.beside import beside
from pipeline.story import as_json as story_json
from pipeline.story import story
from pipeline.timeline import bars_json, timelines
from pipeline.tracing import as_json as trace_json
from pipeline.undo import key_of

router = APIRouter(tags=["looking"])


class Asked(BaseModel):
    """Which notes of what persons did are meant; all that is given must hold."""

    actor: str | None = None
    action: str | None = None
    event: str | None = None
    since: AwareDatetime | None = None
    until: AwareDatetime | None = None
    before: str | None = None
    limit: Annotated[int, Field(ge=1, le=500)] = 50


@router.get("/status")
def status(console: TheConsole) -> dict[str, Any]:
    """The pipeline as it stands, and how many seconds ago that was."""
    seen = console.status.now()
    oldest = console.app.queue.oldest(console.app.clock.now())
    return {**asdict(seen.value), "oldest": oldest, "age": round(seen.age, 3)}


@router.get("/readings")
def readings(console: TheConsole, span: RingName = "hour") -> dict[str, Any]:
    """How things went in the last hour or day, column by column; null where it is not known.

    `until` and `at` are seconds since 1970, `step` the seconds between two readings. Rates are
    those since the reading before. `notes` says what a chart can't show.
    """
    return as_json(console.courses[span].fresh())


@router.get("/pins")
def pins(console: TheConsole, span: RingName = "hour") -> dict[str, Any]:
    """What persons did in the last hour or day, and which operations ended; the oldest first.

    `until` and `at` are seconds since 1970. `notes` says what is left out.
    """
    return pins_json(console.pins[span].fresh())


@router.get("/search")
def search(console: TheConsole, q: Annotated[str, Query(max_length=300)]) -> dict[str, Any]:
    """What an id may mean: events, entities, documents, a job."""
    return asdict(console.search(q))


@router.get("/events/{key:path}")
def event(console: TheConsole, visit: TheVisit, key: str) -> list[dict[str, Any]]:
    """Every handler an event goes through, what each did, when, and what persons did about it.

    The payload is shown to operators.
    """
    told = []
    for found in timelines(console.app.store, console.app.registry, key):
        one = trace_json(found.trace)
        if not visit.may(Role.OPERATOR):
            del one["event"]["payload"]
        notes = [note._asdict() for note in found.notes]
        told.append({**one, "bars": bars_json(found), "notes": notes})
    return told


@router.get("/differences")
def differences(
    console: TheConsole, visit: TheVisit, event: str, against: str = ""
) -> dict[str, Any]:
    """What is different in an event's payload, seen from another event of its entity.

    The other is the one that comes before it, or the one that is named; `against` is null where
    there is none. Shown to operators.
    """
    if not visit.may(Role.OPERATOR):
        raise HTTPException(403, "payloads are shown to operators")
    records, key = console.app.store.records.events, key_of(console.app.store, event)
    return beside_json(beside(console.app.store, records.load([key])[key].event, against))


@router.get("/entities/{tenant}/{entity_id:path}")
def entity(
    console: TheConsole, tenant: str, entity_id: str, before: str | None = None
) -> dict[str, Any]:
    """What happened to an entity, in the order of the events; `before` goes on after a page."""
    found = story(console.app.store, console.app.registry, tenant, entity_id, before=before)
    return story_json(found)


@router.get("/audit")
def audit(console: TheConsole, asked: Annotated[Asked, Query()]) -> list[dict[str, Any]]:
    """What persons did, the newest first; `before` is the id at which the last page ended.

    Those of the moment `since` and later ones, and of before `until`.
    """
    notes = console.app.store.records.audit.newest(**asked.model_dump())
    return [note._asdict() for note in notes]
