"""What leads have brought, as values: in all, or within a range of time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from handlers.appointments.actions import CHANGES, Appointment
from handlers.appointments.observers import count_conversion, outcome_of
from pipeline import Change
from pipeline.event import tenant_of
from pipeline.querying import bounded, of_tenant
from pipeline.store import Store
from pipeline.temporal import Row


@dataclass(frozen=True, slots=True)
class LeadConversions:
    """What came of the appointments of one lead through one channel.

    Attributes:
        tenant: whose appointments they are.
        lead: who they came from.
        channel: by which way they came.
        outcomes: how often appointments came to each status; none at zero.
        first_at: when the first of them did, in UTC.
        last_at: when the last of them did.
    """

    tenant: str
    lead: str
    channel: str
    outcomes: dict[str, int]
    first_at: datetime
    last_at: datetime


def conversions(
    store: Store,
    *,
    tenant: str | None = None,
    lead: str | None = None,
    channel: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    limit: int = 1_000,
) -> list[LeadConversions]:
    """What leads have brought, by tenant, lead and channel, in the order of their keys.

    Without a range of time this is what `rs_lead_global_conversions` holds. With one it is
    counted anew from every change within it, so it is exact for any range; an appointment
    counts for the lead and channel that it had by then.

    Args:
        store: where the tables are.
        tenant: only this tenant's.
        lead: only of this lead.
        channel: only through this channel.
        since: only outcomes of then or later, by the times of their events; with an offset.
        until: only outcomes before then.
        limit: most values, up to 10,000.

    Raises:
        PipelineError: no tenant can have this name.
    """
    wanted = {"lead": lead, "channel": channel}
    fields = {name: value for name, value in wanted.items() if value is not None}
    ids = {} if tenant is None else of_tenant(tenant)
    if since is None and until is None:
        documents = store.find(count_conversion.table, {**ids, **fields}, limit=bounded(limit))
        return [_standing(document) for document in documents]
    inside = {f"state.{name}": value for name, value in fields.items()}
    rows = store.records.history(CHANGES).between(since, until, {**ids, **inside})
    return list(_recounted(rows))[: bounded(limit)]


def _standing(document: Mapping[str, Any]) -> LeadConversions:
    names = ("tenant", "lead", "channel", "first_at", "last_at")
    # What a late event has taken back leaves zero behind.
    outcomes = {name: count for name, count in document["outcomes"].items() if count}
    return LeadConversions(outcomes=outcomes, **{name: document[name] for name in names})


class _Group(NamedTuple):
    tenant: str
    lead: str
    channel: str


@dataclass(slots=True)
class _Counted:
    outcomes: Counter[str] = field(default_factory=Counter)
    times: list[datetime] = field(default_factory=list)

    def add(self, outcome: str, at: datetime) -> None:
        self.outcomes[outcome] += 1
        self.times = [min(at, *self.times), max(at, *self.times)] if self.times else [at, at]


def _recounted(rows: Iterable[Row]) -> Iterator[LeadConversions]:
    """By the rule of the observer itself."""
    groups: dict[_Group, _Counted] = {}
    for row in rows:
        change = Change(_appointment(row.before), Appointment(**row.state))
        outcome = outcome_of(change)
        if outcome is not None:
            group = _Group(tenant_of(row.event), change.after.lead, change.after.channel)
            groups.setdefault(group, _Counted()).add(outcome, row.valid_from)
    for group in sorted(groups, key=lambda one: count_conversion.key.of(*one)):
        counted = groups[group]
        yield LeadConversions(*group, dict(counted.outcomes), *counted.times)


def _appointment(fields: Mapping[str, Any] | None) -> Appointment | None:
    return None if fields is None else Appointment(**fields)
