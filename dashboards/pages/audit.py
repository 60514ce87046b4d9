"""What persons did."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Query
from fastapi.responses import Response

from dashboards.console import TheConsole, TheVisit
from dashboards.web.rendering import Link

LINK: Final = Link("/ops/audit", "Audit", "a")
SHOWN: Final = 50

router = APIRouter()

Text = Annotated[str, Query(max_length=200)]


@router.get("/ops/audit")
def notes(
    console: TheConsole,
    visit: TheVisit,
    actor: Text = "",
    action: Text = "",
    event: Text = "",
    before: Text = "",
) -> Response:
    """The notes that match, the newest first."""
    found = console.app.store.records.audit.newest(
        limit=SHOWN,
        before=before or None,
        actor=actor or None,
        action=action or None,
        event=event or None,
    )
    filters = {"actor": actor, "action": action, "event": event}
    return console.render(
        "audit.html", visit, notes=found, filters=filters, more=len(found) == SHOWN
    )
