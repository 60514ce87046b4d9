"""Where runs are made: running servers, a database of its own for each run, worker processes."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from itertools import count
from typing import Any, Final

from benchmarks.feeding import processes, wait_for_workers
from benchmarks.places import ensure_alone, leave
from benchmarks.spec import Spec
from pipeline.settings import Settings
from workers.bootstrap import Application, Servers, application
from workers.embedded import EmbeddedMongo, EmbeddedRedis
from workers.supervisor import Supervisor

_numbers: Final = count(1)


@dataclass(frozen=True)
class Bench:
    """Running servers, and settings for what is started on them."""

    settings: Settings
    where: Servers

    @contextmanager
    def fresh(self, **changes: Any) -> Iterator[Application]:
        """An application on a database of its own, which is dropped afterwards.

        So is what the run has left in Redis.

        Raises:
            PlaceTakenError: another pipeline uses this Redis.
        """
        name = f"bench_{datetime.now(UTC):%Y%m%d_%H%M%S}_{next(_numbers)}"
        settings = self.settings.model_copy(update={"database": name, **changes})
        with application(settings, self.where) as app:
            ensure_alone(app)
            try:
                yield app
            finally:
                leave(app)
                app.store.database.client.drop_database(name)

    @contextmanager
    def working(self, app: Application) -> Iterator[Supervisor]:
        """Workers and sweeper on this application's database, ready for work."""
        with processes(app.settings, self.where) as supervisor:
            wait_for_workers(app, supervisor)
            yield supervisor

    @cached_property
    def beside(self) -> Mapping[str, int]:
        """Process ids of ourselves, who send, and of the servers, where they are our own.

        Found once: asking takes a new connection to each server, too dear for every sample.
        """
        folder = self.settings.data_dir
        found = {
            "mongod": EmbeddedMongo.running_pid(folder),
            "redis-server": EmbeddedRedis.running_pid(folder),
        }
        servers = {name: pid for name, pid in found.items() if pid is not None}
        return {"sender": os.getpid(), **servers}


def plain(spec: Spec, began_at: datetime, events: int, seconds: float) -> dict[str, Any]:
    """The fields of a `Run` of which nothing but its figures is told."""
    return {
        "subject": spec.subject,
        "load": spec.load,
        "workers": spec.workers,
        "seed": spec.workload.seed,
        "began_at": began_at,
        "seconds": round(seconds, 3),
        "events": events,
        "sent": events,
    }
