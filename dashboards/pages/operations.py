"""Operations: what is planned, runs and has ended, and one of them with its progress."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Form, Query
from fastapi.responses import RedirectResponse, Response

from dashboards.console import TheConsole, TheVisit
from dashboards.web.rendering import Link
from pipeline.dead_letters import Decided
from pipeline.operations import CONFIRMED_FROM, cut_off
from pipeline.store import Operation, Phase

LINK: Final = Link("/ops/operations", "Operations", "r")
SHOWN: Final = 50

router = APIRouter()


@router.get("/ops/operations")
def newest(
    console: TheConsole, visit: TheVisit, before: Annotated[str, Query(max_length=100)] = ""
) -> Response:
    """The newest operations."""
    found = console.app.store.records.operations.newest(limit=SHOWN, before=before or None)
    return console.render("operations.html", visit, found=[_shown(console, one) for one in found])


@router.get("/ops/operations/{operation}")
def one(console: TheConsole, visit: TheVisit, operation: str) -> Response:
    """The plan of an operation that was not started; else how far it is."""
    found = console.desk.operation(operation)
    planned = console.desk.planned(found) if found.phase is Phase.PLANNED else None
    notes = console.app.store.records.audit.newest(limit=200)
    return console.render(
        "operation.html",
        visit,
        **_shown(console, found),
        plan=planned,
        confirmed_from=CONFIRMED_FROM,
        notes=[note for note in notes if note.operation == operation],
    )


@router.get("/ops/operations/{operation}/progress")
def progress(console: TheConsole, visit: TheVisit, operation: str) -> Response:
    """How far it is, as a part of its page; the whole page anew when it does not go on."""
    shown = _shown(console, console.desk.operation(operation))
    answer = console.render("part_progress.html", visit, **shown)
    if not shown["going"]:
        answer.headers["hx-refresh"] = "true"
    return answer


@router.post("/ops/operations/{operation}/start")
def start(
    console: TheConsole,
    visit: TheVisit,
    operation: str,
    confirm: Annotated[str, Form(max_length=20)] = "",
) -> Response:
    """Start it."""
    console.desk.start(visit.who, operation, confirm)
    console.failures.forget()
    return RedirectResponse(f"/ops/operations/{operation}", 303)


@router.post("/ops/operations/{operation}/cancel")
def cancel(console: TheConsole, visit: TheVisit, operation: str) -> Response:
    """Stop it."""
    console.desk.cancel(visit.who, operation)
    console.failures.forget()
    return RedirectResponse(f"/ops/operations/{operation}", 303)


def _shown(console: TheConsole, operation: Operation) -> dict[str, Any]:
    """What the templates show of an operation."""
    decided = Decided(**operation.tally)
    lost = cut_off(operation, console.app.clock.now())
    # An event that is cancelled is another thing than an operation that was stopped.
    stopped = operation.phase is Phase.CANCELLED
    return {
        "operation": operation,
        "phase": "cut off" if lost else "stopped" if stopped else operation.phase.value,
        "decided": decided,
        "startable": lost or operation.phase in (Phase.PLANNED, Phase.FAILED),
        "going": operation.phase is Phase.RUNNING and not lost,
        "filters": {k: v for k, v in operation.where.items() if v is not None},
    }
