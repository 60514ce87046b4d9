"""Dead letters, grouped by the handler that gave up and the error, and one group of them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Final
from urllib.parse import urlencode

from fastapi import APIRouter, Form, Query
from fastapi.responses import RedirectResponse, Response
from pydantic import BaseModel, Field

from dashboards.console import TheConsole, TheVisit
from dashboards.web.reading import moment_of
from dashboards.web.rendering import Link
from pipeline.dead_letters import Letter, Place, Where, find
from pipeline.operations import MOST_RATE
from pipeline.store import LedgerState

LINK: Final = Link("/ops/failed", "Failed", "f")
SHOWN: Final = 50
SHAPED: Final = 200
"""Newest letters of a group whose messages are held against each other."""
_DIGITS: Final = re.compile(r"\d+")
_QUOTED: Final = re.compile(r"'[^']{0,200}'|\"[^\"]{0,200}\"")

router = APIRouter()


class Filter(BaseModel):
    """Which letters are meant, as forms and addresses write it; empty is any."""

    handler: Annotated[str, Field(max_length=200)] = ""
    error: Annotated[str, Field(max_length=200)] = ""
    tenant: Annotated[str, Field(max_length=64)] = ""
    since: Annotated[str, Field(max_length=40)] = ""
    until: Annotated[str, Field(max_length=40)] = ""

    def where(self) -> Where:
        """As the pipeline asks for it."""
        return Where(
            self.tenant or None,
            self.handler or None,
            self.error or None,
            moment_of(self.since),
            moment_of(self.until),
        )


class Page(Filter):
    """A filter, and the place that the page begins after."""

    after: Annotated[str, Field(max_length=1000)] = ""


class Asked(Filter):
    """A filter, and what is to be planned about all that match."""

    verb: Annotated[str, Field(max_length=20)]
    reason: Annotated[str, Field(max_length=1000)] = ""
    rate: Annotated[int, Field(ge=1, le=MOST_RATE)] = 50
    limit: Annotated[str, Field(max_length=12)] = ""


@router.get("/ops/failed")
def groups(console: TheConsole, visit: TheVisit) -> Response:
    """How many letters there are of each handler and error."""
    seen = console.failures.now()
    tallies = sorted(seen.value, key=lambda found: found.newest, reverse=True)
    return console.render("failed.html", visit, tallies=tallies, age=seen.age)


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
        shapes=shapes(page.letters) if place is None else [],
        looked=len(page.letters),
        most_rate=MOST_RATE,
    )


@router.post("/ops/failed/plan")
def plan(console: TheConsole, visit: TheVisit, asked: Annotated[Asked, Form()]) -> Response:
    """Plan what is to be done about all that match, and show the plan."""
    most = int(asked.limit) if asked.limit.isdecimal() else None
    planned = console.desk.plan(
        visit.who, asked.verb, asked.where(), reason=asked.reason, rate=asked.rate, limit=most
    )
    return RedirectResponse(f"/ops/operations/{planned.operation.id}", 303)


def shapes(letters: Sequence[Letter]) -> list[tuple[str, int, Letter]]:
    """The messages of letters with numbers and quoted names left out, the most frequent first.

    Each with how many there are, and the newest of them.
    """
    counts: Counter[str] = Counter()
    newest: dict[str, Letter] = {}
    for letter in letters:
        shape = _DIGITS.sub("#", _QUOTED.sub("'…'", str(letter.error.get("message", ""))))[:200]
        counts[shape] += 1
        newest.setdefault(shape, letter)
    return [(shape, count, newest[shape]) for shape, count in counts.most_common(20)]


def _written(letter: Letter) -> str:
    return f"{letter.died_at.isoformat()} {letter.id}"


def _place(text: str) -> Place | None:
    at, _, letter = text.partition(" ")
    moment = moment_of(at)
    return Place(LedgerState.DEAD, moment, letter) if moment and letter else None
