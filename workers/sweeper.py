"""The sweeper process: one pass after the other until it is told to stop."""

from __future__ import annotations

import os
import signal
import threading

import structlog
from pymongo.errors import PyMongoError
from redis.exceptions import RedisError

from pipeline.errors import Unavailable
from pipeline.sweeping import Sweeper
from workers.bootstrap import Application

log = structlog.get_logger(__name__)


def run(app: Application) -> None:
    """Sweep until SIGTERM or SIGINT, or until the supervisor is gone."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    parent = os.getppid()
    sweeper = Sweeper(app.store, app.registry, app.queue, app.heartbeats, app.clock, app.settings)
    log.info("sweeper_started")
    while not stop.wait(app.settings.sweep_interval) and os.getppid() == parent:
        try:
            sweeper.sweep()
        except (RedisError, PyMongoError, Unavailable) as error:
            log.warning("sweep_failed", error=str(error)[:300])
    log.info("sweeper_stopped")
