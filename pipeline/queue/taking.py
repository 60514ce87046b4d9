"""Taking jobs from a lane: the next one, and small ones of the same handler with it.

While a worker is at a few events of a handler, others leave it those that come meanwhile, for its
next run: an event more costs a run next to nothing, and a run more costs two commits. That is what
keeps single events cheap however many workers there are. More than a few go to whoever is free.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from redis import Redis
from redis.client import Pipeline
from rq import Queue
from rq.job import Job

from pipeline.declarations import Lane
from pipeline.queue.jobs import restored
from pipeline.queue.scripts import script

FEW: Final = 100
"""Events that one worker is to run, not several: they are done in a few hundredths of a second."""
LEFT_MS: Final = 100
"""So long they are left to it at most: it may be slow, or have died."""
SHARED: Final = frozenset({Lane.ACTIONS, Lane.OBSERVERS})
"""Lanes whose runs write to MongoDB and nothing else: what takes them long is at work there. An
effect waits for whom it speaks to, so others better go on beside it."""

_ID: Final = re.compile(r"(?P<tag>[0-9a-f]+-)(?P<events>\d+)-")


class Taken(NamedTuple):
    """What became of a popped job.

    Attributes:
        jobs: it, and those to run with it; none where it was put back, or is there no more.
        left_seconds: for so long at most it is left to another worker, where it was put back.
    """

    jobs: Sequence[Job] = ()
    left_seconds: float = 0.0


class Taker:
    """Reads popped jobs.

    Args:
        connection: the Redis of the lanes.
        room: most events that are run together.
    """

    def __init__(self, connection: Redis, room: int) -> None:
        self._connection = connection
        self._room = room
        self._at, self._until = "", 0.0
        self._script = connection.register_script(script("take"))

    def take(self, queue: Queue, job_id: str, *, leaving: bool) -> Taken:
        """The popped job, if it exists, and those from the head of its lane to run with it.

        Args:
            queue: the lane it was popped from.
            job_id: its id.
            leaving: whether a few events may be left to another worker.
        """
        # What is last in turn is not hurried: other workers may take their share of it.
        known = None if queue.name == Lane.REPAIR else _ID.match(job_id)
        tag, room = (known["tag"], self._room - int(known["events"])) if known else ("", 0)
        few = FEW if leaving and tag and queue.name in SHARED else 0
        at, begun = f"pipeline:at:{queue.name}:{tag}", time.monotonic()
        answer = self._script(
            keys=[queue.key, at],
            args=[Job.redis_job_namespace_prefix, job_id, tag, room, few, LEFT_MS],
        )
        if isinstance(answer, int):
            return Taken(left_seconds=answer / 1000)
        noted, *found = answer
        self._at, self._until = at if noted else "", begun + LEFT_MS / 1000
        jobs = [
            restored(name.decode(), dict(_pairs(fields)), self._connection)
            for name, fields in _pairs(found)
        ]
        return Taken(jobs)

    def done(self, pipe: Pipeline) -> None:
        """Say, within a pipeline, that we are at what was taken no more."""
        # After its time the note is gone, or another's.
        if self._at and time.monotonic() < self._until:
            pipe.delete(self._at)
        self._at = ""


def _pairs(flat: Sequence[Any]) -> Iterator[tuple[Any, Any]]:
    """What Redis answers as one list: a name, its value, a name, its value."""
    return zip(flat[::2], flat[1::2], strict=True)
