"""Verifications: whether what is stored is what its events come to."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter
from fastapi.responses import Response

from dashboards.console import TheConsole, TheVisit
from dashboards.web.rendering import Link
from pipeline.verification import in_words, report_of, reports

LINK: Final = Link("/ops/drift", "Drift", "d")
FINDINGS: Final = 100
SHOWN: Final = 10

router = APIRouter()


@router.get("/ops/drift")
def newest(console: TheConsole, visit: TheVisit) -> Response:
    """The newest verifications, those asked for and those in the background."""
    asked, samples = reports(console.app.store, limit=SHOWN)
    return console.render("drift.html", visit, asked=asked, samples=samples)


@router.get("/ops/drift/{name}")
def one(console: TheConsole, visit: TheVisit, name: str) -> Response:
    """What one verification has found, field by field."""
    report = report_of(console.app.store, name, limit=FINDINGS)
    findings = [in_words(finding) for finding in report.findings]
    return console.render("verification.html", visit, report=report, findings=findings)
