"""A small domain for tests: tickets, who owns them, and pages that are viewed.

`broken` names what is to fail, as `(handler name, event id)`; a test fills and empties it.
"""

from datetime import datetime

from pydantic import AwareDatetime

from pipeline import (
    Change,
    Event,
    State,
    Update,
    action,
    add_to_set,
    inc,
    maximum,
    minimum,
    observer,
)

broken: set[tuple[str, str]] = set()


def _fail_if_told(handler: str, event: Event) -> None:
    if (handler, event.event_id) in broken:
        raise RuntimeError(f"told to fail on {event.event_id}")


class Ticket(State):
    """One ticket as it stands."""

    status: str = "new"
    owner: str = "nobody"
    points: int = 0
    due: AwareDatetime | None = None
    note: str = ""


@action("tickets.apply", on="ticket.*", table="tickets", key="{tenant}:{entity_id}")
def apply_ticket(state: Ticket | None, event: Event) -> Ticket:
    """What the payload names is taken over; `add` is added, so the order matters to the rest."""
    _fail_if_told("tickets.apply", event)
    said = event.payload
    if said.get("opens") and state is not None:
        raise ValueError("a ticket is opened once")
    if said.get("needs") and (state is None or state.status != said["needs"]):
        raise ValueError(f"the ticket is not {said['needs']}")
    state = state or Ticket()
    due = said.get("due")
    return state.replace(
        status=said.get("status", state.status),
        owner=said.get("owner", state.owner),
        points=said.get("points", state.points) + said.get("add", 0),
        due=datetime.fromisoformat(due) if due else state.due,
        note="x" * said["fill"] if "fill" in said else state.note,
    )


class Labels(State):
    """Values that MongoDB keeps in another form: a tuple as a list, a moment in milliseconds."""

    tags: tuple[str, ...] = ()
    due: AwareDatetime | None = None


@action("labels.apply", on="label.*", table="labels", key="{tenant}:{entity_id}")
def apply_labels(state: Labels | None, event: Event) -> Labels:
    """What the payload names is taken over."""
    due = event.payload.get("due")
    state = state or Labels()
    return state.replace(
        tags=tuple(event.payload.get("tags", state.tags)),
        due=datetime.fromisoformat(due) if due else state.due,
    )


@observer("owners.count", after=apply_ticket, table="owner_totals", key="{tenant}:{after.owner}")
def count_owner(change: Change[Ticket], event: Event) -> Update | None:
    """What an owner's tickets went through; sums, extremes and a set."""
    _fail_if_told("owners.count", event)
    before, after = change.before, change.after
    if before == after:
        return None
    return (
        inc(changes=1, points=after.points - (before.points if before else 0))
        | minimum(first_at=event.occurred_at, least=after.points)
        | maximum(last_at=event.occurred_at, most=after.points)
        | add_to_set(statuses=after.status)
    )


@observer("tenants.count", after=apply_ticket, table="tenant_totals", key="{tenant}")
def count_tenant(change: Change[Ticket], event: Event) -> Update | None:
    """How many tickets stand in each status."""
    _fail_if_told("tenants.count", event)
    before, after = change.before, change.after
    if before is None:
        return inc({"tickets": 1, f"standing.{after.status}": 1})
    if before.status == after.status:
        return None
    return inc({f"standing.{before.status}": -1, f"standing.{after.status}": 1})


@observer("statuses.count", after=count_owner, table="status_totals", key="{tenant}:{after.status}")
def count_status(change: Change[Ticket], event: Event) -> Update | None:
    """How often a status was entered; an observer of an observer."""
    _fail_if_told("statuses.count", event)
    return inc(entered=1) if change.entered("status", change.after.status) else None


@action("pages.count", on="page.*", table="page_totals", key="{tenant}:{payload.page}")
def count_page(event: Event) -> Update | None:
    """Views of a page; commutative."""
    _fail_if_told("pages.count", event)
    if event.type == "page.ignored":
        return None
    return inc(views=event.payload.get("views", 1)) | maximum(last_at=event.occurred_at)


ALL = (apply_ticket, count_owner, count_tenant, count_status, count_page, apply_labels)
