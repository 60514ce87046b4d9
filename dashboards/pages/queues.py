"""Lanes, what waits for each handler, workers, and what does not go on."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter
from fastapi.responses import Response

from dashboards.console import TheConsole, TheVisit
from dashboards.web.charting import RingName
from dashboards.web.rendering import Link
from pipeline.declarations import Lane
from pipeline.stalls import stalls

LINK: Final = Link("/ops/queues", "Queues", "q")

router = APIRouter()


@router.get("/ops/queues")
def queues(console: TheConsole, visit: TheVisit, span: RingName = "hour") -> Response:
    """The page, whose parts load on their own and follow what changes."""
    return console.render("queues.html", visit, span=span)


@router.get("/ops/queues/depths")
def depths(console: TheConsole, visit: TheVisit, span: RingName = "hour") -> Response:
    """What waited in the lanes, as a table."""
    found = console.courses[span].fresh()
    return console.render(
        "part_depths.html", visit, course=found, lanes=[lane.value for lane in Lane]
    )


@router.get("/ops/queues/lanes")
def lanes(console: TheConsole, visit: TheVisit) -> Response:
    """The lanes with the age of what waits longest, and what waits for each handler."""
    seen, app = console.status.now(), console.app
    oldest = app.queue.oldest(app.clock.now())
    return console.render(
        "part_lanes.html", visit, standing=seen.value, age=seen.age, lanes=list(Lane), oldest=oldest
    )


@router.get("/ops/queues/workers")
def workers(console: TheConsole, visit: TheVisit) -> Response:
    """The workers that live, and what each of them runs."""
    running = console.app.heartbeats.running()
    return console.render("part_workers.html", visit, running=running)


@router.get("/ops/queues/stalled")
def stalled(console: TheConsole, visit: TheVisit) -> Response:
    """What does not go on, and what will happen to it."""
    app = console.app
    found = stalls(app.store, app.queue, app.heartbeats, app.settings, app.clock.now())
    return console.render("part_stalled.html", visit, found=found)
