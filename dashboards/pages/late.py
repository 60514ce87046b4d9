"""What came out of order: how much, by whom, and each of them."""

from __future__ import annotations

from typing import Annotated, Final, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Query
from fastapi.responses import Response
from pydantic import BaseModel, Field

from dashboards.console import TheConsole, TheVisit
from dashboards.web.reading import moment_of
from dashboards.web.rendering import Link
from pipeline.disorder import Mark
from pipeline.lateness import Finding, find
from pipeline.store import Among, Spot

LINK: Final = Link("/ops/late", "Out of order", "l")
SHOWN: Final = 50

router = APIRouter()


class Asked(BaseModel):
    """Which events are meant, as addresses write it, and the place that the page begins after."""

    tenant: Annotated[str, Field(max_length=64)] = ""
    handler: Annotated[str, Field(max_length=200)] = ""
    mark: Literal["", "late", "tie", "gap"] = ""
    since: Annotated[str, Field(max_length=40)] = ""
    until: Annotated[str, Field(max_length=40)] = ""
    after: Annotated[str, Field(max_length=1000)] = ""

    def among(self) -> Among:
        """As the pipeline asks for it."""
        return Among(
            self.tenant or None,
            self.handler or None,
            Mark(self.mark) if self.mark else None,
            moment_of(self.since),
            moment_of(self.until),
        )

    def spot(self) -> Spot | None:
        """Where the page before ended."""
        at, _, row = self.after.partition(" ")
        moment = moment_of(at)
        return Spot(moment, row) if moment and row else None


@router.get("/ops/late")
def late(console: TheConsole, visit: TheVisit, asked: Annotated[Asked, Query()]) -> Response:
    """How much came out of order, and the newest events that did."""
    seen = console.disorder.now()
    page = find(console.app.store, asked.among(), limit=SHOWN, after=asked.spot())
    filters = asked.model_dump(exclude={"after"})
    counts, costs = seen.value
    return console.render(
        "late.html",
        visit,
        counts=[count for count in counts if asked.tenant in ("", count.tenant)],
        costs=[cost for cost in costs if asked.tenant in ("", cost.tenant)],
        age=seen.age,
        filters=filters,
        marks=[mark.value for mark in Mark],
        findings=page.findings,
        older=urlencode({**filters, "after": _written(page.findings[-1])}) if page.after else None,
    )


def _written(finding: Finding) -> str:
    return f"{finding.row.write_at.isoformat()} {finding.row.id}"
