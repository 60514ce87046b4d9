"""Dead letters: counted, listed, requeued and discarded."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import AwareDatetime, BaseModel, Field

from dashboards.console import TheConsole, TheVisit
from dashboards.desk import MOST_LETTERS
from pipeline.dead_letters import (
    NOTE_CHARACTERS,
    REASON_CHARACTERS,
    Place,
    Said,
    Where,
    find,
    group_json,
)
from pipeline.dead_letters import as_json as letter_json
from pipeline.signatures import SIGNATURE_CHARACTERS
from pipeline.store import LedgerState

router = APIRouter(prefix="/dead", tags=["dead letters"])


class Letters(BaseModel):
    """Dead letters by their ids, `<event key>|<handler>`."""

    letters: Annotated[list[str], Field(min_length=1, max_length=MOST_LETTERS)]


class Discard(Letters):
    """Dead letters to be given up, and why."""

    reason: Annotated[str, Field(min_length=1, max_length=REASON_CHARACTERS)]


class Named(BaseModel):
    """A group; its signature is null for letters that died before there were any."""

    handler: Annotated[str, Field(min_length=1, max_length=200)]
    error: Annotated[str, Field(min_length=1, max_length=200)]
    signature: Annotated[str, Field(max_length=SIGNATURE_CHARACTERS)] | None

    def where(self) -> Where:
        """As the pipeline asks for it."""
        return Where(handler=self.handler, error=self.error, signature=self.signature or "")


class Saying(Named):
    """A group, and what is said about it."""

    said: Said
    note: Annotated[str, Field(max_length=NOTE_CHARACTERS)] = ""


class Filter(BaseModel):
    """Which dead letters are meant; all that is given must hold."""

    tenant: str | None = None
    handler: str | None = None
    error: str | None = None
    since: AwareDatetime | None = None
    until: AwareDatetime | None = None
    signature: Annotated[str, Field(max_length=SIGNATURE_CHARACTERS)] | None = None

    def where(self) -> Where:
        """As the pipeline asks for it."""
        return Where(**self.model_dump())


class Page(Filter):
    """A filter, and which of those that match are listed."""

    limit: Annotated[int, Field(ge=1, le=500)] = 50
    after_time: datetime | None = None
    after_id: str | None = None


@router.get("/tally")
def counts(
    console: TheConsole, answer: Response, only: Annotated[Filter, Query()]
) -> list[dict[str, Any]]:
    """How many there are, by handler and type of error.

    They were counted as many seconds ago as the header `age` tells, or now where a time is given.
    """
    seen = console.failures.now()
    answer.headers["age"] = f"{seen.age:.0f}"
    return [found._asdict() for found in seen.value.tally(only.where())]


@router.get("/groups")
def groups(
    console: TheConsole, answer: Response, only: Annotated[Filter, Query()]
) -> list[dict[str, Any]]:
    """How many there are, by handler, type of error and signature, and how each group stands.

    The 500 newest groups; counted as for the tally.
    """
    seen = console.failures.now()
    answer.headers["age"] = f"{seen.age:.0f}"
    return [group_json(one) for one in seen.value.groups(only.where())]


@router.post("/groups/say")
def say(console: TheConsole, visit: TheVisit, asked: Saying) -> dict[str, Any]:
    """Say of a group that somebody looks at it, or that nobody needs to."""
    return console.desk.say(visit.who, asked.where(), asked.said, asked.note)._asdict()


@router.post("/groups/reopen")
def reopen(console: TheConsole, visit: TheVisit, asked: Named) -> dict[str, bool]:
    """Take back what was said about a group."""
    return {"reopened": console.desk.reopen(visit.who, asked.where())}


@router.get("")
def listed(console: TheConsole, page: Annotated[Page, Query()]) -> dict[str, Any]:
    """Those that match, the newest first; the next page begins after `after`."""
    where = Filter(**page.model_dump(include=set(Filter.model_fields))).where()
    after = None
    if page.after_time is not None and page.after_id is not None:
        after = Place(LedgerState.DEAD, page.after_time, page.after_id)
    found = find(console.app.store, where, limit=page.limit, after=after)
    told = [{"id": letter.id, **letter_json(letter)} for letter in found.letters]
    place = found.after
    return {
        "letters": told,
        "after": {"after_time": place.write_at, "after_id": place.id} if place else None,
    }


@router.post("/requeue")
def requeue(console: TheConsole, visit: TheVisit, asked: Letters) -> dict[str, int]:
    """Put these back to work. Doing it twice is harmless."""
    return console.desk.requeue(visit.who, asked.letters)._asdict()


@router.post("/discard")
def discard(console: TheConsole, visit: TheVisit, asked: Discard) -> dict[str, int]:
    """Give these up for good. Doing it twice is harmless."""
    return console.desk.discard(visit.who, asked.letters, asked.reason)._asdict()
