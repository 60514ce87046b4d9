"""The overview: is anybody hurt, where is it stuck, what needs a person."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter
from fastapi.responses import RedirectResponse, Response, StreamingResponse

from dashboards.console import TheConsole, TheVisit
from dashboards.web.charting import RingName
from dashboards.web.rendering import Link
from pipeline.dead_letters import Where
from pipeline.declarations import Lane
from pipeline.metrics.readings import COUNTED, QUANTILES

LINK: Final = Link("/ops/", "Overview", "o")
NOTES: Final = 5

router = APIRouter()


@router.get("/", include_in_schema=False)
def root() -> Response:
    """The console is where a person looks first."""
    return RedirectResponse("/ops/", 307)


@router.get("/ops/")
def overview(console: TheConsole, visit: TheVisit, span: RingName = "hour") -> Response:
    """The page, whose parts load on their own."""
    return console.render("home.html", visit, span=span)


@router.get("/ops/home/course")
def course(console: TheConsole, visit: TheVisit, span: RingName = "hour") -> Response:
    """The rates and latencies of the charts, as a table."""
    found = console.courses[span].fresh()
    return console.render(
        "part_course.html", visit, course=found, counted=COUNTED, quantiles=tuple(QUANTILES)
    )


@router.get("/ops/home/stages")
def stages(console: TheConsole, visit: TheVisit) -> Response:
    """The lanes with what waits in them, and the workers."""
    seen = console.status.now()
    oldest = console.app.queue.oldest(console.app.clock.now())
    return console.render(
        "part_stages.html",
        visit,
        standing=seen.value,
        age=seen.age,
        lanes=list(Lane),
        oldest=oldest,
    )


@router.get("/ops/home/work")
def work(console: TheConsole, visit: TheVisit) -> Response:
    """What needs a person."""
    seen, status = console.failures.now(), console.status.now()
    found = sorted(seen.value.groups(Where()), key=lambda one: -one.group.events)
    groups = [one for one in found if one.open]
    return console.render(
        "part_work.html",
        visit,
        groups=groups,
        aside=len(found) - len(groups),
        trouble=status.value.trouble,
        age=seen.age,
    )


@router.get("/ops/home/notes")
def notes(console: TheConsole, visit: TheVisit) -> Response:
    """What persons did last."""
    found = console.app.store.records.audit.newest(limit=NOTES)
    return console.render("part_notes.html", visit, notes=found)


@router.get("/ops/live")
def live(console: TheConsole) -> Response:
    """The stream of what changes."""
    headers = {"cache-control": "no-cache", "x-accel-buffering": "no"}
    return StreamingResponse(
        console.pulse.stream(), media_type="text/event-stream", headers=headers
    )
