"""What persons did: all of it, and what charts point to."""

from __future__ import annotations

from typing import Annotated, Final
from urllib.parse import urlencode

from fastapi import APIRouter, Query
from fastapi.responses import Response
from pydantic import BaseModel, Field

from dashboards.console import TheConsole, TheVisit
from dashboards.web.charting import RingName
from dashboards.web.reading import moment_of
from dashboards.web.rendering import Link

LINK: Final = Link("/ops/audit", "Audit", "a")
SHOWN: Final = 50

router = APIRouter()

Text = Annotated[str, Field(max_length=200)]


class Asked(BaseModel):
    """Which notes are meant, as addresses write it, and the note that the page begins after."""

    actor: Text = ""
    action: Text = ""
    event: Text = ""
    since: Text = ""
    until: Text = ""
    before: Text = ""


@router.get("/ops/audit")
def notes(console: TheConsole, visit: TheVisit, asked: Annotated[Asked, Query()]) -> Response:
    """The notes that match, the newest first."""
    found = console.app.store.records.audit.newest(
        limit=SHOWN,
        before=asked.before or None,
        since=moment_of(asked.since),
        until=moment_of(asked.until),
        actor=asked.actor or None,
        action=asked.action or None,
        event=asked.event or None,
    )
    filters = asked.model_dump(exclude={"before"})
    older = urlencode({**filters, "before": found[-1].id}) if len(found) == SHOWN else None
    return console.render("audit.html", visit, notes=found, filters=filters, older=older)


@router.get("/ops/audit/pins")
def pins(console: TheConsole, visit: TheVisit, span: RingName = "hour") -> Response:
    """What charts point to on their time axis, as a table."""
    return console.render("part_pins.html", visit, found=console.pins[span].fresh())
