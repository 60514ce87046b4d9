"""The steps of a run, by name: between any two of them a worker may die.

A test stops a worker at each of them, and the tables come out the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum


class Step(StrEnum):
    """What has just been done, in this order."""

    TAKEN = "taken"
    """The job is ours, and nothing has been read."""
    LOADED = "loaded"
    """The events are read, and what observers can plan ahead is planned."""
    LOCKED = "locked"
    """The ids are ours."""
    BEGUN = "begun"
    """The transaction is open."""
    PLANNED = "planned"
    """The handlers have run; nothing is written."""
    WRITTEN = "written"
    """The documents are written, within the transaction."""
    RECORDED = "recorded"
    """The ledger rows are written, within the transaction."""
    CLAIMED = "claimed"
    """The batches are done and what follows them is pending, within the transaction."""
    COMMITTED = "committed"
    """The transaction is committed; Redis knows of nothing yet."""
    RELEASED = "released"
    """The ids are free again; what follows is not enqueued yet."""


def go_on(_step: Step) -> None:
    """Pass a step."""


@dataclass(frozen=True, slots=True)
class Hooks:
    """Who is told of a run as it goes on.

    Attributes:
        passing: called at each step; a test may end the process in it.
        watch: told the batch and the event before a handler sees it, where a worker died
            of the batch before.
    """

    passing: Callable[[Step], None] = go_on
    watch: Callable[[str, str], None] | None = None
