"""Dead letters, grouped by their cause, and one group of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Final, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Form, Query
from fastapi.responses import RedirectResponse, Response
from pydantic import BaseModel, Field

from dashboards.console import TheConsole, TheVisit
from dashboards.web.reading import moment_of
from dashboards.web.rendering import Link
from pipeline.dead_letters import (
    MOST_GROUPS,
    NOTE_CHARACTERS,
    Counted,
    Letter,
    Place,
    Said,
    Stood,
    Where,
    find,
)
from pipeline.operations import MOST_RATE
from pipeline.signatures import SIGNATURE_CHARACTERS, signature_of
from pipeline.store import LedgerState

LINK: Final = Link("/ops/failed", "Failed", "f")
SHOWN: Final = 50
SHAPED: Final = 200
"""Newest letters whose messages are held against each other, where no group is named."""

router = APIRouter()


class Filter(BaseModel):
    """Which letters are meant, as forms and addresses write it; empty is any."""

    handler: Annotated[str, Field(max_length=200)] = ""
    error: Annotated[str, Field(max_length=200)] = ""
    tenant: Annotated[str, Field(max_length=64)] = ""
    since: Annotated[str, Field(max_length=40)] = ""
    until: Annotated[str, Field(max_length=40)] = ""
    signature: Annotated[str, Field(max_length=SIGNATURE_CHARACTERS)] = ""
    unsigned: Annotated[str, Field(max_length=1)] = ""
    """Whether those without a signature are meant."""

    def where(self) -> Where:
        """As the pipeline asks for it."""
        return Where(
            self.tenant or None,
            self.handler or None,
            self.error or None,
            moment_of(self.since),
            moment_of(self.until),
            signature="" if self.unsigned else self.signature or None,
        )

    def names_a_group(self) -> bool:
        """Whether all is said by which a group is known."""
        return bool(self.handler and self.error and (self.signature or self.unsigned))


class Page(Filter):
    """A filter, and the place that the page begins after."""

    after: Annotated[str, Field(max_length=1000)] = ""


class Asked(Filter):
    """A filter, and what is to be planned about all that match."""

    verb: Annotated[str, Field(max_length=20)]
    reason: Annotated[str, Field(max_length=1000)] = ""
    rate: Annotated[int, Field(ge=1, le=MOST_RATE)] = 50
    limit: Annotated[str, Field(max_length=12)] = ""


class Shown(Filter):
    """A filter, and whether groups that nobody has to look at are shown."""

    show: Literal["all", "open"] = "all"


class Saying(Filter):
    """A group, and what is said about it."""

    said: Said
    note: Annotated[str, Field(max_length=NOTE_CHARACTERS)] = ""


@router.get("/ops/failed")
def groups(console: TheConsole, visit: TheVisit, asked: Annotated[Shown, Query()]) -> Response:
    """How many letters there are of each cause, and what persons have said about it."""
    seen = console.failures.now()
    found = seen.value.groups(asked.where())
    shown = [one for one in found if one.open or asked.show == "all"]
    return console.render(
        "failed.html",
        visit,
        groups=shown,
        hidden=len(found) - len(shown),
        full=len(found) == MOST_GROUPS,
        asked=asked,
        age=seen.age,
    )


@router.get("/ops/failed/group")
def group(console: TheConsole, visit: TheVisit, asked: Annotated[Page, Query()]) -> Response:
    """The letters that match, the newest first, and what may be done about all of them."""
    place = _place(asked.after)
    size = SHAPED if place is None else SHOWN
    page = find(console.app.store, asked.where(), limit=size, after=place)
    letters = page.letters[:SHOWN]
    more = len(page.letters) > SHOWN or page.after is not None
    filters = asked.model_dump(include=set(Filter.model_fields))
    return console.render(
        "group.html",
        visit,
        filters=filters,
        letters=letters,
        older=urlencode({**filters, "after": _written(letters[-1])}) if more else None,
        stood=_stood(console, asked) if letters and asked.names_a_group() else None,
        sayings=Said,
        shapes=[] if place or asked.names_a_group() else shapes(page.letters),
        looked=len(page.letters),
        most_rate=MOST_RATE,
    )


@router.post("/ops/failed/say")
def say(console: TheConsole, visit: TheVisit, asked: Annotated[Saying, Form()]) -> Response:
    """Say of a group that somebody looks at it, or that nobody needs to."""
    console.desk.say(visit.who, asked.where(), asked.said, asked.note)
    return _group(asked)


@router.post("/ops/failed/reopen")
def reopen(console: TheConsole, visit: TheVisit, asked: Annotated[Filter, Form()]) -> Response:
    """Take back what was said about a group."""
    console.desk.reopen(visit.who, asked.where())
    return _group(asked)


@router.post("/ops/failed/plan")
def plan(console: TheConsole, visit: TheVisit, asked: Annotated[Asked, Form()]) -> Response:
    """Plan what is to be done about all that match, and show the plan."""
    most = int(asked.limit) if asked.limit.isdecimal() else None
    planned = console.desk.plan(
        visit.who, asked.verb, asked.where(), reason=asked.reason, rate=asked.rate, limit=most
    )
    return RedirectResponse(f"/ops/operations/{planned.operation.id}", 303)


def shapes(letters: Sequence[Letter]) -> list[tuple[str, int, Letter]]:
    """The signatures of letters, the most frequent first.

    Each with how many there are, and the newest of them.
    """
    counts: Counter[str] = Counter()
    newest: dict[str, Letter] = {}
    for letter in letters:
        shape = signature_of(str(letter.error.get("message", "")))
        counts[shape] += 1
        newest.setdefault(shape, letter)
    return [(shape, count, newest[shape]) for shape, count in counts.most_common(20)]


def _stood(console: TheConsole, asked: Filter) -> Stood | None:
    """How the named group stands; one that is younger than the last look is counted now."""
    where = Where(handler=asked.handler, error=asked.error, signature=asked.where().signature)
    looked = console.failures.now().value.groups(where)
    found = looked or Counted(console.app.store, None).groups(where)
    return found[0] if found else None


def _group(asked: Filter) -> Response:
    named = asked.model_dump(include={"handler", "error", "signature", "unsigned"})
    return RedirectResponse(f"/ops/failed/group?{urlencode(named)}", 303)


def _written(letter: Letter) -> str:
    return f"{letter.died_at.isoformat()} {letter.id}"


def _place(text: str) -> Place | None:
    at, _, letter = text.partition(" ")
    moment = moment_of(at)
    return Place(LedgerState.DEAD, moment, letter) if moment and letter else None
