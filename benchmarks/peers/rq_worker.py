"""A plain RQ worker with the work imported before it forks, as RQ's documentation advises.

`python -m benchmarks.peers.rq_worker rq.Worker`: each job in a child of its own, or
`rq.SimpleWorker`: all of them in this process.
"""

from __future__ import annotations

import os
import sys

from redis import Redis
from rq import Queue, SimpleWorker, Worker
from rq.serializers import JSONSerializer

from benchmarks.peers import work
from benchmarks.peers.place import Place

KINDS = {"rq.Worker": Worker, "rq.SimpleWorker": SimpleWorker}
__all__ = ["work"]


def main() -> None:
    """Work until told to end."""
    place = Place.from_environment()
    connection = Redis.from_url(place.where.redis_url)
    queue = Queue(place.database, connection=connection, serializer=JSONSerializer)
    name = f"{place.database}-{os.getpid()}"
    worker = KINDS[sys.argv[1]]([queue], name, connection=connection, serializer=JSONSerializer)
    worker.work(logging_level="WARNING")


if __name__ == "__main__":
    main()
