"""What the console's routes work with, and how they come by it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, HTTPException, Request

from dashboards.access import Access, Role, Visit
from dashboards.desk import Desk
from dashboards.web.charting import Course
from dashboards.web.finding import Search
from dashboards.web.live import Pulse
from dashboards.web.pinning import Pins
from dashboards.web.rendering import Renderer
from dashboards.web.watching import Watch
from pipeline.dead_letters import Counted
from pipeline.lateness import Count, HoldCost
from workers.bootstrap import Application
from workers.monitor import Snapshot


@dataclass(frozen=True)
class Console:
    """Everything a route works with, frozen after the start.

    Attributes:
        app: the pipeline.
        access: who may come in.
        desk: does what visitors ask for.
        render: renders templates.
        pulse: the live stream.
        status: the pipeline as it stands, looked at for everybody at once.
        failures: dead letters by their causes, likewise.
        disorder: how many events came out of order, and what holding back has cost, likewise.
        courses: by ring of readings, how things went, likewise.
        pins: by ring of readings, what persons did in its time, likewise.
        search: finds things by any id.
    """

    app: Application
    access: Access
    desk: Desk
    render: Renderer
    pulse: Pulse
    status: Watch[Snapshot]
    failures: Watch[Counted]
    disorder: Watch[tuple[list[Count], list[HoldCost]]]
    courses: Mapping[str, Watch[Course]]
    pins: Mapping[str, Watch[Pins]]
    search: Search


def _console(request: Request) -> Console:
    console: Console = request.app.state.console
    return console


def _visit(request: Request) -> Visit:
    visit: Visit = request.state.visit
    return visit


def _admin(visit: Annotated[Visit, Depends(_visit)]) -> None:
    if not visit.may(Role.ADMIN):
        raise HTTPException(403, "this needs the role admin; nothing was changed")


TheConsole = Annotated[Console, Depends(_console)]
TheVisit = Annotated[Visit, Depends(_visit)]
ADMINS = Depends(_admin)
"""A dependency of routes that need an admin; all others that change something, an operator."""
