"""Taking jobs from a lane: the next one, and small ones of the same handler with it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from importlib import resources
from typing import Any, Final

from redis import Redis
from rq import Queue
from rq.job import Job

from pipeline.declarations import Lane
from pipeline.queue.jobs import restored

_ID: Final = re.compile(r"(?P<tag>[0-9a-f]+-)(?P<events>\d+)-")


class Taker:
    """Reads popped jobs.

    Args:
        connection: the Redis of the lanes.
        room: most events that are run together.
    """

    def __init__(self, connection: Redis, room: int) -> None:
        self._connection = connection
        self._room = room
        script = resources.files("pipeline.queue").joinpath("take.lua").read_text()
        self._script = connection.register_script(script)

    def take(self, queue: Queue, job_id: str) -> list[Job]:
        """The popped job, if it exists, and those from the head of its lane to run with it."""
        # What is last in turn is not hurried: other workers may take their share of it.
        found = None if queue.name == Lane.REPAIR else _ID.match(job_id)
        tag, room = (found["tag"], self._room - int(found["events"])) if found else ("", 0)
        taken = self._script(
            keys=[queue.key], args=[Job.redis_job_namespace_prefix, job_id, tag, room]
        )
        return [
            restored(name.decode(), dict(_pairs(fields)), self._connection)
            for name, fields in _pairs(taken)
        ]


def _pairs(flat: Sequence[Any]) -> Iterator[tuple[Any, Any]]:
    """What Redis answers as one list: a name, its value, a name, its value."""
    return zip(flat[::2], flat[1::2], strict=True)
