"""Dramatiq's side of the work: its broker and actor, as a user would write them.

`dramatiq benchmarks.peers.dramatiq_app:set_up` finds both.
"""

from __future__ import annotations

from typing import Final

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from benchmarks.peers import work
from benchmarks.peers.place import Place

ATTEMPTS: Final = 3


def actor_of(place: Place) -> dramatiq.Actor[[work.Message], None]:
    """The actor on this place's Redis; all keys of its broker begin with the place's name."""
    broker = RedisBroker(url=place.where.redis_url, namespace=place.database)
    return dramatiq.actor(
        work.perform_here, actor_name="perform", broker=broker, max_retries=ATTEMPTS
    )


def set_up() -> None:
    """Make this process's broker the one that Dramatiq's worker uses."""
    dramatiq.set_broker(actor_of(Place.from_environment()).broker)
