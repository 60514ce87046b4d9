"""What a verification came to, for people and programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from pipeline.errors import NotFound
from pipeline.replay import ABSENT, Kind
from pipeline.store import Store
from pipeline.store.verifications import ASKED_FOR, SAMPLE
from pipeline.verification.entity import EntityReport
from pipeline.verification.findings import Finding, Unknown, finding_of
from pipeline.verification.noting import REPAIRED, UNREPAIRED, total_of
from pipeline.verification.repairing import Repaired
from pipeline.verification.units import WRONG


class Status(StrEnum):
    """What a verification came to, so far."""

    RIGHT = "right"
    """All is as its events make it."""
    REPAIRED = "repaired"
    """Something was wrong, and all of it was put right."""
    WRONG = "wrong"
    """Something is wrong, or was to be put right and was not."""
    UNKNOWN = "unknown"
    """Of something can't be told whether it is right; nothing else is wrong."""
    UNFINISHED = "unfinished"
    """Not everything has been looked at yet; what was, is not wrong."""


@dataclass(frozen=True, slots=True)
class Report:
    """What a verification came to, so far or in the end.

    Attributes:
        name: the verification's, or the entity's.
        scope: `all`, a part such as `3/16`, or the entity.
        as_of: the moment at which everything was looked at.
        repairs: whether what is wrong was to be put right.
        begun_at: when it began.
        ended_at: when it was done; None where it is not.
        units: pieces of work it was split into so far, and how many of them are done.
        events: events that were recalculated.
        documents: documents and temporal rows that were looked at.
        waiting: how often an event still waited for a handler.
        wrong: things found wrong, by table.
        unknown: things of which can't be told whether they are right.
        repaired: entities and derived documents that were put right.
        unrepaired: entities and derived documents that were to be put right and were not: they
            can't be, or have changed since they were looked at.
        findings: the first of what was found.
    """

    name: str
    scope: str
    as_of: datetime
    repairs: bool
    begun_at: datetime
    ended_at: datetime | None
    units: tuple[int, int]
    events: int
    documents: int
    waiting: int
    wrong: dict[str, int]
    unknown: int
    repaired: int
    unrepaired: int
    findings: list[Finding] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """Whether everything was looked at, could be told, and is right."""
        return self.status is Status.RIGHT

    @property
    def status(self) -> Status:
        """What it came to, in one word."""
        if self.unrepaired or (self.wrong and not self.repairs):
            return Status.WRONG
        if self.ended_at is None:
            return Status.UNFINISHED
        if self.unknown:
            return Status.UNKNOWN
        return Status.REPAIRED if self.wrong else Status.RIGHT

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "verification": self.name,
            "scope": self.scope,
            "as_of": self.as_of,
            "repairs": self.repairs,
            "begun_at": self.begun_at,
            "ended_at": self.ended_at,
            "units": {"done": self.units[0], "all": self.units[1]},
            "events": self.events,
            "documents": self.documents,
            "waiting": self.waiting,
            "wrong": self.wrong,
            "unknown": self.unknown,
            "repaired": self.repaired,
            "unrepaired": self.unrepaired,
            "status": self.status.value,
            "clean": self.clean,
            "findings": [in_words(finding) for finding in self.findings],
        }


def report_of(store: Store, name: str, *, limit: int) -> Report:
    """What the verification of this name came to so far, with its first findings.

    Raises:
        NotFound: there is none of that name.
    """
    kept = store.records.verifications
    verification = kept.get(name)
    if verification is None:
        known = ", ".join(one.id for one in kept.newest(3, ASKED_FOR)) or "none"
        raise NotFound(f"there is no verification {name!r}; the last ones are {known}")
    units = kept.units(name)
    total = total_of(units)
    return Report(
        name=name,
        scope=verification.scope,
        as_of=verification.moment.as_datetime() if verification.moment else verification.begun_at,
        repairs=verification.repairs,
        begun_at=verification.begun_at,
        ended_at=verification.ended_at,
        units=(sum(unit.done for unit in units), len(units)),
        events=total["events"],
        documents=total["documents"],
        waiting=total["waiting"],
        wrong={n.removeprefix(WRONG): c for n, c in sorted(total.items()) if n.startswith(WRONG)},
        unknown=total["unknown"],
        repaired=total[REPAIRED],
        unrepaired=total[UNREPAIRED],
        findings=[finding_of(doc) for doc in kept.findings(name, limit)],
    )


def reports(store: Store, *, limit: int) -> tuple[list[Report], list[Report]]:
    """The newest verifications that somebody asked for, and those made in the background.

    Without findings; two reads for each.
    """
    kept = store.records.verifications
    asked, samples = kept.newest(limit, ASKED_FOR), kept.newest(limit, SAMPLE)
    return (
        [report_of(store, one.id, limit=1) for one in asked],
        [report_of(store, one.id, limit=1) for one in samples],
    )


def report_of_entity(
    found: EntityReport, *, repaired: Repaired | None = None, limit: int
) -> Report:
    """The same of a look at one entity; None repaired where nothing was to be."""
    name = f"{found.tenant}:{found.entity_id}"
    wrong = [finding for finding in found.findings if not isinstance(finding, Unknown)]
    return Report(
        name=name,
        scope=name,
        as_of=found.at,
        repairs=repaired is not None,
        begun_at=found.at,
        ended_at=found.at,
        units=(1, 1),
        events=found.events,
        documents=found.documents,
        waiting=found.waiting,
        wrong=counted(wrong),
        unknown=len(found.findings) - len(wrong),
        repaired=repaired.done if repaired else 0,
        unrepaired=repaired.left if repaired else 0,
        findings=found.findings[:limit],
    )


def counted(findings: Sequence[Finding]) -> dict[str, int]:
    """How many findings there are in each table."""
    tables = sorted({finding.table for finding in findings})
    return {table: sum(finding.table == table for finding in findings) for table in tables}


def in_words(finding: Finding) -> dict[str, Any]:
    """A finding for programs; what is absent is left out."""
    if isinstance(finding, Unknown):
        return {**finding._asdict(), "kind": "unknown"}
    values = {"expected": finding.expected, "actual": finding.actual}
    said = {"table": finding.table, "id": finding.id, "kind": finding.kind.value}
    if finding.kind is Kind.DIFFERENT:
        said |= {"path": finding.path}
        said |= {name: value for name, value in values.items() if value is not ABSENT}
    return said
