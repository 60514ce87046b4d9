"""Celery's side of the work: its application, as a user would write it.

`python -m benchmarks.peers.celery_app 2` is a worker with two children.
"""

from __future__ import annotations

import sys
from typing import Final

from celery import Celery

from benchmarks.peers import work
from benchmarks.peers.place import Place

TASK: Final = "appointments.perform"
ATTEMPTS: Final = 3
PREFETCH: Final = 64
"""Tasks reserved ahead for each child: what the documentation advises for short ones."""


def app_of(place: Place) -> Celery:
    """The application on this place's Redis; all keys it makes begin with the place's name."""
    app = Celery("peer", broker=place.where.redis_url)
    app.conf.update(
        accept_content=["json"],
        broker_connection_retry_on_startup=True,
        broker_transport_options={"global_keyprefix": f"{place.database}:"},
        task_acks_late=True,  # or a killed worker takes with it what it had reserved
        task_default_queue=place.database,
        task_ignore_result=True,
        task_reject_on_worker_lost=True,
        task_serializer="json",
        worker_prefetch_multiplier=PREFETCH,
    )
    again = {"autoretry_for": (Exception,), "max_retries": ATTEMPTS}
    app.task(work.perform_here, name=TASK, **again)
    return app


def main() -> None:
    """Work until told to end."""
    app = app_of(Place.from_environment())
    app.worker_main(
        ["worker", "--pool=prefork", f"--concurrency={sys.argv[1]}", "--loglevel=WARNING"]
    )


if __name__ == "__main__":
    main()
