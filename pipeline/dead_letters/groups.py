"""Groups of dead letters: those of one cause, how they stand, and what persons said of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from pipeline.store import Cell, Group, Said, Stance, Store, Tally, Where

MOST_GROUPS: Final = 500
"""Groups of one answer, the newest."""
MOST_CELLS: Final = 20_000
"""Groups of a tenant each that are remembered."""


class Standing(StrEnum):
    """How a group stands."""

    NEW = "new"
    """Nobody has said anything about it."""
    ACKNOWLEDGED = "acknowledged"
    """Somebody looks at it."""
    REGRESSED = "regressed"
    """It was acknowledged, all its letters of that time are gone, and others have died since."""
    IGNORED = "ignored"
    """Nobody needs to look."""
    AGAIN = "again"
    """It was ignored until it happens again, and it has."""


OPEN: Final = frozenset({Standing.NEW, Standing.REGRESSED, Standing.AGAIN})
"""Groups that somebody has to look at."""


@dataclass(frozen=True, slots=True)
class Stood:
    """A group, and how it stands.

    Attributes:
        group: its letters, counted.
        standing: how it stands.
        stance: what a person said about it, if that is remembered.
    """

    group: Group
    standing: Standing
    stance: Stance | None

    @property
    def open(self) -> bool:
        """Whether somebody has to look at it."""
        return self.standing in OPEN


@dataclass(frozen=True, slots=True)
class Counted:
    """Dead letters as they were counted at one moment.

    Attributes:
        store: where they are.
        cells: the groups of each tenant; None where there are too many of them to remember.
    """

    store: Store
    cells: list[Cell] | None

    def tally(self, where: Where) -> list[Tally]:
        """As `tally`; what is asked by time or event is counted now."""
        cells = self._matching(where)
        if cells is None:
            return self.store.records.trouble.tallies(where)
        groups = _joined(cell.group._replace(signature=None) for cell in cells)
        found = [
            Tally(one.handler, one.error or "", one.events, one.oldest, one.newest)
            for one in groups
        ]
        return sorted(found, key=lambda one: (one.handler, one.error))

    def groups(self, where: Where) -> list[Stood]:
        """How groups that match stand, the 500 newest; as `tally`.

        They stand as all their letters do, of whatever tenant; counted are those that match.
        """
        cells, stances = self._matching(where), self.store.records.stances.all()
        if cells is None:
            found = groups_of(self.store, where)
            whole = groups_of(self.store, Where(handler=where.handler, error=where.error))
        else:
            found = _joined(cell.group for cell in cells)[:MOST_GROUPS]
            whole = _joined(cell.group for cell in self.cells or ())
        return stood(found, whole, stances)

    def _matching(self, where: Where) -> list[Cell] | None:
        if self.cells is None or where.since or where.until or where.event is not None:
            return None
        return [cell for cell in self.cells if _matches(cell, where)]


def counted(store: Store) -> Counted:
    """All dead letters, counted now; that takes a fifth of a second for a hundred thousand."""
    cells = store.records.trouble.cells(Where(), limit=MOST_CELLS + 1)
    return Counted(store, cells if len(cells) <= MOST_CELLS else None)


def groups_of(store: Store, where: Where) -> list[Group]:
    """How many letters match, by handler, error and signature: the 500 newest groups."""
    return store.records.trouble.groups(where, limit=MOST_GROUPS)


def stood(
    groups: Iterable[Group], whole: Iterable[Group], stances: Mapping[str, Stance]
) -> list[Stood]:
    """How groups stand, in the light of what persons have said.

    Args:
        groups: as they are shown, such as those of one tenant.
        whole: the same of all tenants and times, by which they stand.
        stances: what persons said, by the id of the group.
    """
    all_of = {group[:3]: group for group in whole}
    found = [(group, stances.get(group.id)) for group in groups]
    return [
        Stood(group, standing_of(all_of.get(group[:3], group), stance), stance)
        for group, stance in found
    ]


def standing_of(group: Group, stance: Stance | None) -> Standing:
    """How a group stands.

    Args:
        group: all its letters.
        stance: what a person said about it, if somebody did.
    """
    if stance is None:
        return Standing.NEW
    if stance.said is Said.ACKNOWLEDGED:
        return Standing.REGRESSED if group.oldest > stance.seen else Standing.ACKNOWLEDGED
    again = stance.said is Said.IGNORED_UNTIL_AGAIN and group.newest > stance.seen
    return Standing.AGAIN if again else Standing.IGNORED


def group_json(one: Stood) -> dict[str, Any]:
    """The group for programs."""
    stance = one.stance
    return {
        "id": one.group.id,
        **one.group._asdict(),
        "standing": one.standing.value,
        "stance": stance and {k: v for k, v in stance._asdict().items() if k in STANCE_TOLD},
    }


STANCE_TOLD: Final = ("said", "by", "at", "note")


def _matches(cell: Cell, where: Where) -> bool:
    group = cell.group
    return (
        where.tenant in (None, cell.tenant)
        and where.handler in (None, group.handler)
        and where.error in (None, group.error)
        and (where.signature is None or where.signature == (group.signature or ""))
    )


def _joined(groups: Iterable[Group]) -> list[Group]:
    """Groups that are one, as one; the newest first."""
    found: dict[tuple[str, str | None, str | None], Group] = {}
    for one in groups:
        known = found.get(one[:3])
        found[one[:3]] = (
            one
            if known is None
            else one._replace(
                events=one.events + known.events,
                oldest=min(one.oldest, known.oldest),
                newest=max(one.newest, known.newest),
            )
        )
    return sorted(found.values(), key=lambda one: one.newest, reverse=True)
