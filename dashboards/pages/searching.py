"""The search: any id, and where it leads."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import RedirectResponse, Response

from dashboards.console import TheConsole, TheVisit
from dashboards.web.words import as_path
from pipeline.lookup import Found

router = APIRouter()


@router.get("/ops/search")
def search(console: TheConsole, visit: TheVisit, q: str = "") -> Response:
    """Go to what the id means; where it may mean several things, list them."""
    found = console.search(q)
    only = _only(found)
    if only is not None:
        return RedirectResponse(only, 303)
    return console.render("search.html", visit, q=q, found=found)


def _only(found: Found) -> str | None:
    """Where to go, if there is one place."""
    places = [f"/ops/events/{as_path(key)}" for key in found.events]
    places += [f"/ops/entities/{as_path(t)}/{as_path(e)}" for t, e in found.entities]
    others = found.documents or found.job or found.run
    return places[0] if len(places) == 1 and not others else None
