"""What every subject of the comparison can do, ours and the limit among them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Protocol

from benchmarks.peers.place import Place
from pipeline import Event


@dataclass(frozen=True)
class Guarantees:
    """What a user may rely on, as it is set up here; a sentence each.

    Attributes:
        accepted: where an event is when its submission returns.
        effects: how often it has its effect, and what a killed worker leaves behind.
        order: in which order the events of one appointment are applied.
        late: what becomes of an event that comes after a later one.
        traces: what can be asked about one event afterwards.
        wiped: what is lost when Redis loses its data.
    """

    accepted: str
    effects: str
    order: str
    late: str
    traces: str
    wiped: str


class Moments(NamedTuple):
    """When events were worked on, by event key.

    Attributes:
        began: when a worker began with each, by that worker's clock.
        committed: when the last write about each was committed, by MongoDB's clock; absent
            where it isn't done.
    """

    began: Mapping[str, datetime]
    committed: Mapping[str, datetime]


class Session(Protocol):
    """A subject whose workers run."""

    def submit(self, events: Sequence[Event]) -> None:
        """Hand over many, in the way that the subject's documentation advises for many."""
        ...

    def submit_one(self, event: Event) -> None:
        """Hand over one; several threads may at a time."""
        ...

    def done(self) -> int:
        """How many events are marked done, asked of MongoDB."""
        ...

    def moments(self) -> Moments:
        """When each event was worked on; asked when all is over."""
        ...

    def pids(self) -> Mapping[str, int]:
        """Process ids of the workers by name; their children are below them."""
        ...

    def tend(self) -> None:
        """Do what is due, and see that the workers run; to be called again and again.

        Raises:
            PeerEndedError: a worker has ended by itself.
        """
        ...


class Peer(Protocol):
    """A subject of the comparison."""

    @property
    def name(self) -> str:
        """What it is called in results."""
        ...

    @property
    def setup(self) -> str:
        """How it is run here, in a sentence."""
        ...

    @property
    def guarantees(self) -> Guarantees:
        """What a user may rely on."""
        ...

    @property
    def least_per_second(self) -> float | None:
        """Events a second that it does at least, on a busy machine of two cores.

        So many are given to it in bulk that it ends in time; None for as many as there are.
        """
        ...

    def missing(self) -> str | None:
        """Why it can't be run on this machine; None where it can."""
        ...

    def running(self, place: Place, workers: int = 2) -> AbstractContextManager[Session]:
        """Start so many worker processes and wait until they work; end them afterwards.

        Raises:
            PeerEndedError: a worker has ended by itself.
            PeerSlowError: they did not begin to work.
        """
        ...
