"""One entity event by event, and one document as it is and as it was."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Query
from fastapi.responses import Response

from dashboards.console import TheConsole, TheVisit
from dashboards.web.reading import moment_of
from pipeline.declarations import Fold
from pipeline.errors import NotFound
from pipeline.querying import as_of, history, query
from pipeline.story import story
from pipeline.temporal import Row

SHOWN: Final = 100

router = APIRouter()


@router.get("/ops/entities/{tenant}/{entity_id:path}")
def entity(
    console: TheConsole,
    visit: TheVisit,
    tenant: str,
    entity_id: str,
    before: Annotated[str, Query(max_length=400)] = "",
) -> Response:
    """The events of one entity in their order, with the order in which they came beside it."""
    found = story(console.app.store, console.app.registry, tenant, entity_id, before=before or None)
    return console.render("entity.html", visit, found=found)


@router.get("/ops/documents")
def document(
    console: TheConsole,
    visit: TheVisit,
    table: Annotated[str, Query(max_length=200)],
    key: Annotated[str, Query(max_length=600)],
    at: Annotated[str, Query(max_length=40)] = "",
    since: Annotated[str, Query(max_length=40)] = "",
) -> Response:
    """A document; of a fold's also what happened to it, and how it stood at a moment."""
    store, registry = console.app.store, console.app.registry
    rows = query(store, registry, table, key=key, limit=1)
    past: list[Row] = []
    then = None
    if any(isinstance(one, Fold) and one.table == table for one in registry):
        try:
            past = history(store, registry, table, key, since=moment_of(since), limit=SHOWN)
        except NotFound:
            past = []
        moment = moment_of(at)
        then = as_of(store, registry, table, moment, key=key, limit=1) if moment else None
    if not rows and not past:
        raise NotFound(f"{table} has no document {key!r}")
    return console.render(
        "document.html",
        visit,
        table=table,
        key=key,
        at=at,
        since=since,
        now_stored=_told(rows),
        then=None if then is None else _told(then),
        past=past,
        more=past[-1].valid_from.isoformat() if len(past) == SHOWN else None,
    )


def _told(rows: list[dict[str, object]]) -> dict[str, object] | None:
    """The fields of the document, without its id and stamp; None where there is none."""
    if not rows:
        return None
    return {name: value for name, value in rows[0].items() if name not in {"_id", "_sync"}}
