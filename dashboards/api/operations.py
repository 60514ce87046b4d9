"""Operations: planned, started, followed and cancelled."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from dashboards.api.dead import Filter
from dashboards.console import TheConsole, TheVisit
from pipeline.dead_letters import REASON_CHARACTERS
from pipeline.operations import MOST_RATE, operation_json, plan_json

router = APIRouter(prefix="/operations", tags=["operations"])


class Asked(Filter):
    """What is to be done about all dead letters that match."""

    verb: Literal["requeue", "discard"]
    reason: Annotated[str, Field(max_length=REASON_CHARACTERS)] = ""
    rate: Annotated[int, Field(ge=1, le=MOST_RATE)] = 50
    limit: Annotated[int, Field(ge=1)] | None = None


class Confirmed(BaseModel):
    """The number of letters, where a plan asks for it."""

    confirm: str = ""


@router.get("")
def newest(
    console: TheConsole,
    before: str | None = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
) -> list[dict[str, Any]]:
    """The newest operations."""
    found = console.app.store.records.operations.newest(limit=limit, before=before)
    return [operation_json(one) for one in found]


@router.post("/plan")
def plan(console: TheConsole, visit: TheVisit, asked: Asked) -> dict[str, Any]:
    """Plan one; nothing is changed. It is started by its id."""
    where = Filter(**asked.model_dump(include=set(Filter.model_fields))).where()
    planned = console.desk.plan(
        visit.who, asked.verb, where, reason=asked.reason, rate=asked.rate, limit=asked.limit
    )
    return plan_json(planned)


@router.get("/{operation}")
def one(console: TheConsole, operation: str) -> dict[str, Any]:
    """How far one is."""
    return operation_json(console.desk.operation(operation))


@router.post("/{operation}/start", status_code=202)
def start(console: TheConsole, visit: TheVisit, operation: str, asked: Confirmed) -> dict[str, Any]:
    """Start one that is planned, failed, or cut off."""
    return operation_json(console.desk.start(visit.who, operation, asked.confirm))


@router.post("/{operation}/cancel")
def cancel(console: TheConsole, visit: TheVisit, operation: str) -> dict[str, Any]:
    """Stop one after the step it is at."""
    console.desk.cancel(visit.who, operation)
    return operation_json(console.desk.operation(operation))
