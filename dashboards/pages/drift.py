"""Verifications: whether what is stored is what its events come to."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from fastapi import APIRouter, Form, HTTPException
from fastapi.responses import RedirectResponse, Response
from pydantic import BaseModel, Field

from dashboards.access import Role
from dashboards.console import TheConsole, TheVisit
from dashboards.web.rendering import Link
from pipeline.slots import SLOTS, Part, slot_of
from pipeline.verification import in_words, report_of, reports

LINK: Final = Link("/ops/drift", "Drift", "d")
FINDINGS: Final = 100
SHOWN: Final = 10
EVERYTHING: Final = "all"

router = APIRouter()


class Asked(BaseModel):
    """What is to be looked at: everything (`all`), a part such as 3/16, or an entity."""

    scope: Annotated[str, Field(max_length=12)] = ""
    tenant: Annotated[str, Field(max_length=64)] = ""
    entity_id: Annotated[str, Field(max_length=200)] = ""
    mode: Literal["errors", "update"] = "errors"

    def part(self) -> Part | None:
        """As a verification is asked for; an entity stands for all of its slot."""
        if self.tenant and self.entity_id:
            return Part(slot_of(self.tenant, self.entity_id), SLOTS)
        return None if self.scope == EVERYTHING else Part.parse(self.scope)


@router.get("/ops/drift")
def newest(console: TheConsole, visit: TheVisit) -> Response:
    """The newest verifications, those asked for and those in the background."""
    asked, samples = reports(console.app.store, limit=SHOWN)
    return console.render("drift.html", visit, asked=asked, samples=samples)


@router.post("/ops/drift/begin")
def begin(console: TheConsole, visit: TheVisit, asked: Annotated[Asked, Form()]) -> Response:
    """Begin a verification of everything, a part, or the few entities of one slot.

    Putting right what is wrong needs an admin.
    """
    repairs = asked.mode == "update"
    if repairs and not visit.may(Role.ADMIN):
        raise HTTPException(403, "this needs the role admin; nothing was changed")
    name = console.desk.verify(visit.who, asked.part(), repairs=repairs)
    return RedirectResponse(f"/ops/drift/{name}", 303)


@router.get("/ops/drift/{name}/progress")
def progress(console: TheConsole, visit: TheVisit, name: str) -> Response:
    """How far it is, as a part of its page; the whole page anew when it is done."""
    report = report_of(console.app.store, name, limit=1)
    answer = console.render("part_verification.html", visit, report=report)
    if report.ended_at is not None:
        answer.headers["hx-refresh"] = "true"
    return answer


@router.get("/ops/drift/{name}")
def one(console: TheConsole, visit: TheVisit, name: str) -> Response:
    """What one verification has found, field by field."""
    report = report_of(console.app.store, name, limit=FINDINGS)
    findings = [in_words(finding) for finding in report.findings]
    return console.render("verification.html", visit, report=report, findings=findings)
