"""The composition root: servers, clients, settings and handlers meet here and nowhere else."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import structlog
from redis import Redis
from redis.exceptions import RedisError

from pipeline import queue as rq_door
from pipeline.clock import Clock, SystemClock
from pipeline.dispatch import Dispatcher
from pipeline.executor import Executor
from pipeline.executor.locking import Locking
from pipeline.executor.steps import Hooks, Step, go_on
from pipeline.holding import HoldPolicy
from pipeline.locks import Keeper, LockPolicy, Locks
from pipeline.locks import connect as connect_locks
from pipeline.metrics import Counts
from pipeline.policies import PolicyWatch
from pipeline.queue import Heartbeats, JobQueue, Readings, Traffic, totals
from pipeline.registry import Registry, load
from pipeline.settings import Settings
from pipeline.store import Store, connect
from pipeline.store.policies import HoldPolicies, LockPolicies
from pipeline.sweeping import Sweeper
from pipeline.verification import Verifier
from workers.embedded import EmbeddedMongo, EmbeddedRedis

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Servers:
    """Addresses of the servers; they may hold passwords."""

    mongo_url: str
    redis_url: str

    def environment(self) -> dict[str, str]:
        """What a child process needs to find the same servers; never its arguments."""
        return {"PIPELINE_MONGO_URL": self.mongo_url, "PIPELINE_REDIS_URL": self.redis_url}


@dataclass(frozen=True)
class Application:
    """Everything a process works with, frozen after the start."""

    settings: Settings
    clock: Clock
    registry: Registry
    store: Store
    redis: Redis
    queue: JobQueue
    heartbeats: Heartbeats
    locks: Locks
    dispatcher: Dispatcher
    counts: Counts
    readings: Readings

    def send_counts(self) -> None:
        """Send what was counted and did not go with anything else; what can't be sent is kept."""
        try:
            totals.flush(self.counts, self.redis)
        except RedisError as error:
            log.warning("counts_not_sent", error=str(error)[:300])

    def verifier(self, worker: str) -> Verifier:
        """What verifies, out of the way of live work."""
        return Verifier(
            self.store,
            self.registry,
            self.clock,
            self.settings,
            worker=worker,
            traffic=Traffic(self.redis),
        )

    def sweeper(self) -> Sweeper:
        """What finds work that no job stands for."""
        return Sweeper(
            self.store,
            self.registry,
            self.queue,
            self.heartbeats,
            self.locks,
            self.clock,
            self.settings,
        )

    @contextmanager
    def executor(
        self, worker: str, passing: Callable[[Step], None] = go_on, *, observing: bool = True
    ) -> Iterator[Executor]:
        """The executor of one worker, with the side threads that look after leases and policies.

        Args:
            worker: its name.
            passing: called at each step of a run.
            observing: whether the worker runs observers, so that folds may take theirs along.
        """
        with (
            Keeper(self.locks, self.clock) as keeper,
            PolicyWatch(LockPolicies(self.store.database).all, LockPolicy()) as policies,
            PolicyWatch(HoldPolicies(self.store.database).all, HoldPolicy()) as holds,
        ):
            yield Executor(
                self.store,
                self.registry,
                self.clock,
                self.settings,
                worker=worker,
                hooks=Hooks(passing, self.heartbeats.suspect),
                locking=Locking(self.locks, keeper, policies, worker),
                grace=lambda handler, tenant: holds.policy_for(handler, tenant).grace_ms,
                along=self.settings.take_along if observing else 0,
            )


@contextmanager
def servers(settings: Settings) -> Iterator[Servers]:
    """The servers of the settings; embedded ones where no address is set.

    An embedded server that another process runs on the same data folder is reused.

    Raises:
        EmbeddedError: a server can't be started; the message says what to install or set.
    """
    with ExitStack() as stack:
        if settings.mongo_url is not None:
            mongo_url = settings.mongo_url.get_secret_value()
        else:
            mongo_url = stack.enter_context(EmbeddedMongo(settings.data_dir))
        if settings.redis_url is not None:
            redis_url = settings.redis_url.get_secret_value()
        else:
            redis_url = stack.enter_context(EmbeddedRedis(settings.data_dir))
        yield Servers(mongo_url, redis_url)


@contextmanager
def application(settings: Settings, where: Servers) -> Iterator[Application]:
    """A process's application, connected and checked.

    Raises:
        DeclarationError: a handler module is wrong.
        SettingError: an address is none.
        Unavailable: a server does not answer, or can't be used.
    """
    # Handler modules of the user's own are found from where the command was given.
    if "" not in sys.path and os.getcwd() not in sys.path:  # noqa: PTH109 - sys.path holds strings
        sys.path.insert(0, os.getcwd())  # noqa: PTH109
    registry = load(settings.handlers)
    with ExitStack() as stack:
        counts = Counts()
        store = Store(connect(where.mongo_url), settings.database, counts)
        stack.callback(store.close)
        connection = stack.enter_context(rq_door.connect(where.redis_url))
        store.prepare(registry.tables(), registry.indexes())
        clock, jobs = SystemClock(), JobQueue(connection, counts)
        locks = Locks(stack.enter_context(connect_locks(where.redis_url)), clock)
        app = Application(
            settings=settings,
            clock=clock,
            registry=registry,
            store=store,
            redis=connection,
            queue=jobs,
            heartbeats=Heartbeats(connection, settings.lease_seconds),
            locks=locks,
            dispatcher=Dispatcher(
                store, registry, clock, settings, jobs.enqueue, locks.enlist, counts=counts
            ),
            counts=counts,
            readings=Readings(connection),
        )
        stack.callback(app.send_counts)
        yield app


def process_name(role: str) -> str:
    """Who a process is in ledger, logs and RQ: `role@host-pid`; a colon would mislead RQ."""
    return f"{role}@{socket.gethostname()}-{os.getpid()}"
