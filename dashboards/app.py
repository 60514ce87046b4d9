"""The console as an ASGI application: pages, JSON interface, live stream, and rq-dashboard."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from a2wsgi import WSGIMiddleware
from fastapi import FastAPI
from fastapi.responses import JSONResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.types import ASGIApp

from dashboards import api
from dashboards.access import Access, Guard
from dashboards.access.guard import RQ
from dashboards.console import Console
from dashboards.desk import Desk
from dashboards.pages import OTHERS, PAGES
from dashboards.rq_dashboard import create_app as create_rq_dashboard
from dashboards.web.charting import Course, course_of
from dashboards.web.failing import Failing
from dashboards.web.finding import Search
from dashboards.web.live import Pulse
from dashboards.web.pinning import MOST, Pins, pins_of
from dashboards.web.rendering import Renderer
from dashboards.web.watching import Watch
from pipeline.dead_letters import counted
from pipeline.errors import Unavailable
from pipeline.lateness import costs, counts
from pipeline.metrics.own import version_of
from pipeline.queue import RINGS, Ring
from pipeline.revision import revision_of
from workers.bootstrap import Application
from workers.monitor import Snapshot, snapshot

STATIC: Final = Path(__file__).parent / "static"
LOOK_SECONDS: Final = 1.0
LARGEST_BODY: Final = 1024 * 1024
"""Bytes of a request; the largest is a list of 500 letters."""
IDLE_SECONDS: Final = 30.0
"""Between looks while nobody asks."""


def create_app(app: Application, redis_url: str, access: Access) -> ASGIApp:
    """The console of a pipeline, with the gate in front of it.

    Args:
        app: the pipeline; it is closed by who opened it.
        redis_url: address of its Redis, for rq-dashboard; it is shown nowhere.
        access: who may come in.
    """
    build = f"{version_of()}, revision {revision_of(app.settings.revision)}"
    render = Renderer(app.settings.console_badge, [page.LINK for page in PAGES], build)
    status = Watch(lambda: snapshot(app), good_for=LOOK_SECONDS)
    console = Console(
        app=app,
        access=access,
        desk=Desk(app),
        render=render,
        pulse=Pulse(lambda: pulse_of(status.fresh(), app.readings.newest())),
        status=status,
        failures=Watch(lambda: counted(app.store), good_for=LOOK_SECONDS),
        disorder=Watch(lambda: (counts(app.store), costs(app.store)), good_for=LOOK_SECONDS),
        courses={name: _course_of(app, ring) for name, ring in RINGS.items()},
        pins={name: _pins_of(app, ring) for name, ring in RINGS.items()},
        search=Search(app.store, app.registry),
    )
    routes = FastAPI(
        title="Pipeline console",
        description="What the pages show and do, for programs. Send the owner's token as a "
        "bearer, or come as the pages do.",
        openapi_url="/api/openapi.json",
        docs_url=None,  # their scripts come from elsewhere
        redoc_url=None,
        lifespan=_lifespan(console),
        max_body_size=LARGEST_BODY,
    )
    routes.state.console = console
    failing = Failing(render)
    failing.listen(routes)
    for page in (*PAGES, *OTHERS):
        routes.include_router(page.router, include_in_schema=False)
    routes.include_router(api.router)
    routes.add_api_route("/healthz", _alive, include_in_schema=False)
    routes.add_api_route("/readyz", _ready(console), include_in_schema=False)
    routes.mount("/static", StaticFiles(directory=STATIC))
    rq = create_rq_dashboard(
        redis_url,
        lambda environ, job: console.desk.requeueing(environ["asgi.scope"]["state"]["visit"], job),
    )
    routes.mount(RQ, WSGIMiddleware(rq))  # type: ignore[arg-type]
    return Guard(routes, access, failing.refuse, read_only=app.settings.console_read_only)


def _course_of(app: Application, ring: Ring) -> Watch[Course]:
    def look() -> Course:
        return course_of(app.readings.of(ring), ring, app.clock.now())

    return Watch(look, good_for=LOOK_SECONDS)


def _pins_of(app: Application, ring: Ring) -> Watch[Pins]:
    def look() -> Pins:
        now, records = app.clock.now(), app.store.records
        since = now - timedelta(seconds=ring.seconds)
        notes = records.audit.newest(limit=MOST + 1, since=since)
        return pins_of(notes, records.operations.ended(since, limit=MOST + 1), ring, now)

    return Watch(look, good_for=LOOK_SECONDS)


def pulse_of(status: Snapshot, reading: float | None) -> dict[str, Any]:
    """What every open page is told: counts by state, lane and worker, and of which reading."""
    told = asdict(status)
    return {
        "events": status.events,
        "reading": reading,
        "dead": status.trouble.get("dead", 0),
        "retrying": status.trouble.get("retrying", 0),
        "waiting": sum(told["lanes"].values()),
        "backlog": sum(events for _, events in status.backlog.values()),
        "workers": len(status.workers),
        "busy": sum(map(bool, status.workers.values())),
    }


def _lifespan(console: Console) -> Any:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        looking = asyncio.create_task(_look_now_and_then(console))
        yield
        looking.cancel()
        console.desk.close()

    return lifespan


async def _look_now_and_then(console: Console) -> None:
    """So that the first visitor for a while need not wait for a long look.

    Also what visitors did is sent to be told to Prometheus, which goes with nothing else here.
    """
    while True:
        for watch in (console.status, console.failures, console.disorder):
            with contextlib.suppress(Exception):  # told to whoever asks
                await asyncio.to_thread(watch.fresh)
        await asyncio.to_thread(console.app.send_counts)
        await asyncio.sleep(IDLE_SECONDS)


def _alive() -> Response:
    return JSONResponse({"status": "alive"})


def _ready(console: Console) -> Callable[[], Response]:
    def ready() -> Response:
        console.app.store.present()
        if not console.app.redis.ping():
            raise Unavailable("Redis does not answer")
        return JSONResponse({"status": "ready"})

    return ready
