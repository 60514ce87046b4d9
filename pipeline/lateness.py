"""What came out of order: which events, against which others, how many, and what it cost.

The marks stand in the ledger, written with the effects of the events. Copies are known where
events come in, before any handler, so they are counted for tenants alone.
"""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from math import ceil
from typing import Any, Final, NamedTuple

from pipeline.disorder import Disorder, Mark
from pipeline.event import event_id_of, tenant_of
from pipeline.holding import HoldEnd
from pipeline.store import Among, EventRecord, LedgerRow, Spot, Store

MOST: Final = 1000
"""Findings of one page."""
EVERYTHING: Final = Among()


@dataclass(frozen=True, slots=True)
class Finding:
    """An event that came out of order.

    Attributes:
        row: its ledger row.
        disorder: what was wrong with its coming.
        event: the event; None where it is not stored any more.
        seen: the newest event that its document had seen; None where it had seen none.
    """

    row: LedgerRow
    disorder: Disorder
    event: EventRecord | None
    seen: EventRecord | None


class Page(NamedTuple):
    """Some findings, and the spot from which the next page goes on, if there is one."""

    findings: list[Finding]
    after: Spot | None


class Spread(NamedTuple):
    """Half of the values are up to p50, 99 of 100 up to p99; milliseconds."""

    p50: int
    p99: int
    max: int


class Count(NamedTuple):
    """How many events of a tenant were out of order for a handler.

    Attributes:
        tenant: whose events.
        handler: the handler's name; None where copies are counted, which no handler sees.
        late: they happened before what their document had seen.
        tie: at the same moment.
        gap: their predecessors were missing.
        duplicates: copies that were turned away.
        conflicts: copies with another content, turned away.
        lateness: of the late ones, in milliseconds of event time; None where there are none.
    """

    tenant: str
    handler: str | None
    late: int = 0
    tie: int = 0
    gap: int = 0
    duplicates: int = 0
    conflicts: int = 0
    lateness: Spread | None = None


class HoldCost(NamedTuple):
    """What holding events back has cost, for a tenant and a handler.

    Attributes:
        tenant: whose events.
        handler: the handler's name.
        waiting: are held back now.
        by_predecessor: were let go since the event before them was applied.
        by_grace: were applied without it, when their time was over.
        waited: how long those that are over waited, in milliseconds; None where there are none.
    """

    tenant: str
    handler: str
    waiting: int
    by_predecessor: int
    by_grace: int
    waited: Spread | None

    @property
    def held(self) -> int:
        """How many events were ever held back."""
        return self.waiting + self.by_predecessor + self.by_grace


def find(
    store: Store,
    among: Among = EVERYTHING,
    *,
    limit: int = 50,
    after: Spot | None = None,
    newest_first: bool = True,
) -> Page:
    """Events that came out of order, in the order in which they were applied, a page at a time.

    Args:
        store: where they are.
        among: which of them.
        limit: most findings, up to 1,000.
        after: the spot at which the page before ended.
        newest_first: the way to go; the same for all pages.
    """
    limit = max(1, min(limit, MOST))
    rows = store.records.marks.rows(among, limit=limit, after=after, newest_first=newest_first)
    found = [(row, row.disorder) for row in rows if row.disorder is not None]
    wanted = {row.event for row, _ in found} | {one.seen for _, one in found if one.seen}
    events = store.records.events.load(wanted) if wanted else {}
    findings = [
        Finding(row, one, events.get(row.event), events.get(one.seen or "")) for row, one in found
    ]
    return Page(findings, Spot(rows[-1].write_at, rows[-1].id) if len(rows) == limit else None)


def counts(store: Store, among: Among = EVERYTHING) -> list[Count]:
    """How many events were out of order, by tenant and handler; copies by tenant.

    Copies have no handler, mark or time of being applied, so a filter by one of these leaves
    them out. Reads the index of all marked events: a million in some seconds, with 8 bytes of
    memory each.
    """
    tallies: dict[tuple[str, str], dict[Mark, array[int]]] = defaultdict(
        lambda: {mark: array("q") for mark in Mark}
    )
    for marked in store.records.marks.every(among):
        tallies[marked.tenant, marked.handler][marked.mark].append(marked.late_ms or 0)
    found = [
        Count(
            tenant,
            handler,
            late=len(by_mark[Mark.LATE]),
            tie=len(by_mark[Mark.TIE]),
            gap=len(by_mark[Mark.GAP]),
            lateness=spread(by_mark[Mark.LATE]),
        )
        for (tenant, handler), by_mark in tallies.items()
    ]
    if among == Among(tenant=among.tenant):
        repeats = store.records.events.repeats_by_tenant(among.tenant)
        found += [
            Count(tenant, None, duplicates=copies, conflicts=conflicts)
            for tenant, (copies, conflicts) in repeats.items()
        ]
    return sorted(found, key=lambda count: (count.tenant, count.handler or ""))


def costs(store: Store, among: Among = EVERYTHING) -> list[HoldCost]:
    """What holding events back has cost, by tenant and handler; a filter by time has no effect."""
    ends: dict[tuple[str, str], list[HoldEnd | None]] = defaultdict(list)
    times: dict[tuple[str, str], array[int]] = defaultdict(lambda: array("q"))
    for waited in store.records.marks.waits(among):
        ends[waited.tenant, waited.handler].append(waited.end)
        if waited.ms is not None:
            times[waited.tenant, waited.handler].append(waited.ms)
    return [
        HoldCost(
            *whose,
            waiting=ends[whose].count(None),
            by_predecessor=ends[whose].count(HoldEnd.PREDECESSOR),
            by_grace=ends[whose].count(HoldEnd.GRACE),
            waited=spread(times[whose]),
        )
        for whose in sorted(ends)
    ]


def spread(values: Sequence[int]) -> Spread | None:
    """Median, 99th percentile and greatest of some values, each of them one that is there."""
    if not values:
        return None
    ordered = sorted(values)
    p50, p99 = (ordered[ceil(len(ordered) * share) - 1] for share in (0.50, 0.99))
    return Spread(p50, p99, ordered[-1])


def as_json(finding: Finding) -> dict[str, Any]:
    """The finding for programs."""
    row, disorder = finding.row, finding.disorder
    return {
        "mark": disorder.mark.value,
        "tenant": tenant_of(row.event),
        "handler": row.handler,
        "document": row.key,
        "late_ms": disorder.late_ms,
        "refolded": disorder.refolded,
        "applied_at": row.write_at,
        "event": _event_json(row.event, finding.event),
        "seen": None if disorder.seen is None else _event_json(disorder.seen, finding.seen),
    }


def count_json(count: Count) -> dict[str, Any]:
    """The count for programs."""
    lateness = count.lateness
    return {**count._asdict(), "lateness": lateness._asdict() if lateness else None}


def cost_json(cost: HoldCost) -> dict[str, Any]:
    """The cost for programs."""
    waited = cost.waited
    told = {**cost._asdict(), "waited": waited._asdict() if waited else None}
    return {**told, "held": cost.held}


def _event_json(key: str, record: EventRecord | None) -> dict[str, Any]:
    event = record.event if record else None
    occurred_at: datetime | None = event.occurred_at if event else None
    return {
        "key": key,
        "event_id": event_id_of(key),
        "type": event.type if event else None,
        "seq": event.seq if event else None,
        "occurred_at": occurred_at,
        "received_at": record.received_at if record else None,
    }
