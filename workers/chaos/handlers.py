"""Handlers that are hard to keep right: hot totals, sums that order matters to, and failures.

In the workers of a chaos run each of them raises now and then (PIPELINE_CHAOS_RAISE); in the
oracle, where that is not set, none does.
"""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Final

from pipeline import (
    Backoff,
    Change,
    Event,
    State,
    Update,
    action,
    add_to_set,
    effect,
    inc,
    maximum,
    minimum,
    observer,
)

RAISE: Final = "PIPELINE_CHAOS_RAISE"
"""How often a handler raises, from 0 to 1."""
PATIENT: Final = 50
"""Attempts: chance alone must never make a dead letter."""
FEW: Final = 100
SOON: Final = Backoff(base_seconds=0.5, cap_seconds=2.0)

SINK: Final = "PIPELINE_CHAOS_SINK"
"""Names the file that stands for the world outside."""

_sink: Final = os.environ.get(SINK)
_share: Final = float(os.environ.get(RAISE, "0"))


class BadLuckError(Exception):
    """What a handler raises for no fault of its event."""


def _stumble() -> None:
    if _share and random.random() < _share:
        raise BadLuckError("bad luck")


class Account(State):
    """An account; `balance` doubles at each `doubled`, so the order of events matters.

    Attributes:
        status: what it is called now.
        owner: whose it is.
        balance: a number that only the right order of all events gives.
        events: how many events there were.
    """

    status: str = "new"
    owner: str = "nobody"
    balance: int = 0
    events: int = 0


@action(
    "accounts.apply",
    on="account.*",
    table="chaos_accounts",
    key="{tenant}:{entity_id}",
    max_attempts=PATIENT,
    backoff=SOON,
)
def apply_account(state: Account | None, event: Event) -> Account:
    """The account after the event."""
    state = state or Account()
    if state.events < FEW:
        # Whoever comes late to an account of thousands of events folds those after it again. If
        # each of them might raise, none would ever go through.
        _stumble()
    said = event.payload
    balance = state.balance + int(said.get("amount", 0))
    if event.type == "account.doubled":
        balance = balance * 2 % 1_000_003
    return state.replace(
        status=said.get("status", state.status),
        owner=said.get("owner", state.owner),
        balance=balance,
        events=state.events + 1,
    )


@observer(
    "accounts.owners",
    after=apply_account,
    table="chaos_owners",
    key="{tenant}:{after.owner}",
    max_attempts=PATIENT,
    backoff=SOON,
)
def count_owner(change: Change[Account], event: Event) -> Update:
    """What an owner has been through."""
    _stumble()
    before = change.before.balance if change.before else 0
    return (
        inc(events=1, moved=change.after.balance - before)
        | maximum(last_at=event.occurred_at, highest=change.after.balance)
        | minimum(first_at=event.occurred_at)
        | add_to_set(statuses=change.after.status)
    )


@observer(
    "accounts.tenants",
    after=apply_account,
    table="chaos_tenants",
    key="{tenant}",
    max_attempts=PATIENT,
    backoff=SOON,
)
def count_tenant(change: Change[Account], _event: Event) -> Update:
    """How many accounts stand how, in one document that everybody writes."""
    _stumble()
    before, after = change.before, change.after
    if before is None:
        return inc({f"standing.{after.status}": 1, "accounts": 1})
    return inc({f"standing.{before.status}": -1, f"standing.{after.status}": 1})


@observer(
    "accounts.statuses",
    after=count_tenant,
    table="chaos_statuses",
    key="{tenant}:{after.status}",
    max_attempts=PATIENT,
    backoff=SOON,
)
def count_status(change: Change[Account], _event: Event) -> Update | None:
    """How often a status was entered; an observer of an observer."""
    _stumble()
    if change.entered("status", change.after.status):
        return inc(entered=1)
    return None


@effect("accounts.tell", after=apply_account, max_attempts=PATIENT, backoff=SOON)
def tell(change: Change[Account], _event: Event, key: str) -> bool:
    """Write the key to a file, as if to somebody outside, when an account is closed."""
    _stumble()
    if not (_sink and change.entered("status", "closed")):
        return False
    # One short write to a file opened for appending is one line, whoever else writes.
    with Path(_sink).open("a") as outside:
        outside.write(f"{key}\n")
    return True


@action(
    "visits.count",
    on=("account.*", "page.*"),
    table="chaos_visits",
    key="{tenant}",
    max_attempts=PATIENT,
    backoff=SOON,
)
def count_visit(event: Event) -> Update:
    """Every event is a visit."""
    _stumble()
    return inc({"visits": 1, f"types.{event.type.partition('.')[2]}": 1})
