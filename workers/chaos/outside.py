"""Whether what came outside is what the events ask for: each effect once, and again only by faults.

The sequential run says which effects there have to be. A late event changes what the events
after it in its account did, and an effect that had seen the one or the other may be done or
not; so nothing is asked of events that stand after one that came out of order. What is repeated
is bounded by the faults: whoever does an effect and dies, or is believed dead, before it is
noted does it again, and nobody else does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from pipeline.replay import Tables
from pipeline.store import LedgerRow, LedgerState
from pipeline.store.ledger import row_id
from workers.chaos.handlers import apply_account, tell

SHOWN: Final = 5
CLOSED: Final = "closed"
"""The status that is told outside, when an account enters it."""


class Asked(NamedTuple):
    """Keys of effects, of events of which the sequential run can say it.

    Attributes:
        owed: there is something to tell, so it has to be done.
        idle: there is nothing to tell, so it must not be.
    """

    owed: frozenset[str]
    idle: frozenset[str]


@dataclass(slots=True)
class Outside:
    """What was found of effects.

    Attributes:
        judged: whether anything is known of them: only the run's own handlers are known.
        keys: keys that came outside, each once.
        repeated: how often a key came again.
        explained: how often keys may have come again, by the faults there were.
        missing: effects that are done by the ledger or have to be, and never came outside.
        unnoted: effects that have to be done, and the ledger does not say so.
        unasked: keys that came outside, and no row knows them, or nothing was to be told.
        too_often: keys that came again more often than faults explain of one key.
    """

    judged: bool = False
    keys: int = 0
    repeated: int = 0
    explained: int = 0
    missing: list[str] = field(default_factory=list)
    unnoted: list[str] = field(default_factory=list)
    unasked: list[str] = field(default_factory=list)
    too_often: list[str] = field(default_factory=list)

    @property
    def lost(self) -> int:
        """Effects that are not there, outside or in the ledger."""
        return len(self.missing) + len(self.unnoted)

    @property
    def doubled(self) -> int:
        """Effects there are too many of."""
        return len(self.unasked) + max(len(self.too_often), self.repeated - self.explained, 0)

    def details(self) -> list[str]:
        """The first of what is wrong, for people."""
        found = []
        for words, keys in (
            ("never came outside", self.missing),
            ("had to be done, and is not by the ledger", self.unnoted),
            ("came outside unasked", self.unasked),
            ("came again more often than faults explain", self.too_often),
        ):
            found += [f"{words}: {key}" for key in keys[:SHOWN]]
        if self.repeated > self.explained:
            found.append(
                f"effects came again {self.repeated:,} times, "
                f"and the faults explain {self.explained:,}"
            )
        return found


def asked_for(expected: Tables, rows: Iterable[LedgerRow]) -> Asked:
    """Which effects there have to be, by the sequential run.

    Args:
        expected: the tables of the sequential run.
        rows: the ledger; those of the accounts say which events came out of order.
    """
    disordered = {row.event for row in rows if row.handler == apply_account.name and row.disorder}
    owed, idle = set[str](), set[str]()
    for chain in expected.chains[apply_account.table].values():
        # The first that came out of order has itself seen all that is before it.
        for event, closes in _told(chain.steps):
            (owed if closes else idle).add(row_id(event, tell.name))
            if event in disordered:
                break
    return Asked(frozenset(owed), frozenset(idle))


def _told(steps: Iterable[tuple[Any, ...]]) -> Iterator[tuple[str, bool]]:
    """The events of an account in order, each with whether it closes it."""
    before = None
    for _, event, _, fields, _ in steps:
        status = fields["status"]
        yield event, status == CLOSED != before
        before = status


def judge_outside(
    came: Mapping[str, int], rows: Iterable[LedgerRow], asked: Asked, repeats: int
) -> Outside:
    """Compare what came outside with the ledger and the sequential run.

    Args:
        came: how often each key came.
        rows: the ledger.
        asked: what has to be there.
        repeats: how many runs of effects faults may have interrupted. Each of them explains
            one repetition of a key, and of as many keys as the largest run has done: a worker
            that was stopped beyond its lease goes through the rest of its run, while another
            does the same.
    """
    states = {row.id: (row.state, row.job) for row in rows if row.handler == tell.name}
    done = {key for key, (state, _) in states.items() if state is LedgerState.DONE}
    sizes = Counter(states[key][1] for key in done)
    return Outside(
        judged=True,
        keys=len(came),
        repeated=sum(came.values()) - len(came),
        explained=repeats * max(sizes.values(), default=0),
        missing=sorted((done | asked.owed) - came.keys()),
        unnoted=sorted((asked.owed & came.keys()) - done),
        unasked=sorted(_unasked(came, states, asked)),
        too_often=sorted(key for key, times in came.items() if times - 1 > repeats),
    )


def _unasked(came: Iterable[str], states: Collection[str], asked: Asked) -> Iterator[str]:
    return (key for key in came if key not in states or key in asked.idle)
