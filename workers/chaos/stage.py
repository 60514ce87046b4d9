"""The servers and processes of a chaos run, and what can be done to them."""

from __future__ import annotations

import heapq
import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Self

import psutil
import redis
import structlog

from workers.bootstrap import Servers
from workers.chaos.faults import Fault, Kind
from workers.chaos.verdict import Wipe
from workers.embedded import EmbeddedRedis, EmbeddedReplicaSet, Proxy, ServerFailed

LEASE_SECONDS: Final = 4
RESCUE_SECONDS: Final = 4
CACHE_GB: Final = 0.5
"""Of each member: with the least that MongoDB takes, a long run fills it with what is dirty."""
LOCK_SECONDS: Final = 2
"""Leases of ids; a worker is frozen for longer than that."""

log = structlog.get_logger(__name__)

Recovery = Callable[[], None]


class Stage:
    """A replica set of three, a Redis behind a proxy, and `pipeline up` with its children.

    Args:
        folder: for data and logs.
        workers: worker processes.
        environment: for the processes, on top of ours.

    Attributes:
        wipes: when Redis lost all it held.
    """

    def __init__(self, folder: Path, workers: int, environment: Mapping[str, str]) -> None:
        self._folder = folder
        self._workers = workers
        self._mongo = EmbeddedReplicaSet(folder, members=3, cache_gb=CACHE_GB)
        self._redis = EmbeddedRedis(folder)
        self._stack = ExitStack()
        self._extra = dict(environment)
        self._up: subprocess.Popen[bytes] | None = None
        self._recoveries: list[tuple[float, int, Recovery]] = []
        self._numbers = itertools.count()
        self._hurt: set[str] = set()
        self.wipes: list[Wipe] = []
        self._strikes: dict[Kind, Callable[[Fault], bool]] = {
            Kind.KILL_WORKER: lambda fault: self._kill("worker", fault),
            Kind.KILL_SWEEPER: lambda fault: self._kill("sweeper", fault),
            Kind.KILL_SUPERVISOR: self._kill_supervisor,
            Kind.FREEZE_WORKER: self._freeze_worker,
            Kind.FLUSH_REDIS: self._flush_redis,
            Kind.RESTART_REDIS: self._restart_redis,
            Kind.CUT_REDIS: self._cut_redis,
            Kind.DEAFEN_REDIS: self._deafen_redis,
            Kind.KILL_PRIMARY: self._kill_primary,
            Kind.STEP_DOWN: self._step_down,
            Kind.FREEZE_PRIMARY: self._freeze_primary,
            Kind.REDIS_GONE: self._restart_redis,
            Kind.MONGODB_GONE: self._lose_mongo,
        }

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            mongo_url = stack.enter_context(self._mongo)
            redis_url = stack.enter_context(self._redis)
            port = int(redis_url.rpartition(":")[2].partition("/")[0])
            self._proxy = stack.enter_context(Proxy(port))
            stack.callback(self._end_processes)
            self.servers = Servers(mongo_url, f"redis://127.0.0.1:{self._proxy.port}/0")
            self._start()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def environment(self) -> dict[str, str]:
        """What the processes are told."""
        return {
            "PIPELINE_DATA_DIR": str(self._folder),
            "PIPELINE_DASHBOARD_PORT": "0",
            "PIPELINE_LEASE_SECONDS": str(LEASE_SECONDS),
            "PIPELINE_RESCUE_AFTER": str(RESCUE_SECONDS),
            **self.servers.environment(),
            **self._extra,
        }

    def strike(self, fault: Fault) -> bool:
        """Inject a fault; False where its victim is down already."""
        did = self._strikes[fault.kind](fault)
        log.info("fault", kind=fault.kind.value, injected=did)
        return did

    def tend(self) -> None:
        """Let end what is over by now, and start `pipeline up` again if it ended."""
        now = time.monotonic()
        while self._recoveries and self._recoveries[0][0] <= now:
            _, _, recover = heapq.heappop(self._recoveries)
            recover()
        if self._up is not None and self._up.poll() is not None:
            self._start()

    def calm(self) -> None:
        """Let every fault end."""
        for _, _, recover in sorted(self._recoveries):
            recover()
        self._recoveries.clear()
        self._mongo.wait_until_ready()

    def _start(self) -> None:
        command = [sys.executable, "-m", "workers", "up", "--workers", str(self._workers)]
        with (self._folder / "up.log").open("ab") as output:
            self._up = subprocess.Popen(  # noqa: S603 - our own command
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, **self.environment},
                start_new_session=True,
            )

    def _end_processes(self) -> None:
        if self._up is None:
            return
        children = self._children()
        self._up.terminate()
        try:
            self._up.wait(60)
        except subprocess.TimeoutExpired:
            self._up.kill()
            self._up.wait()
        for child in children:
            with suppress(psutil.NoSuchProcess):
                child.kill()

    def _children(self, role: str = "") -> list[psutil.Process]:
        """The processes under `pipeline up`, of one role or all."""
        found = []
        with suppress(psutil.NoSuchProcess):
            for child in psutil.Process(self._up.pid if self._up else 0).children(recursive=True):
                with suppress(psutil.NoSuchProcess):
                    if not role or role in child.cmdline():
                        found.append(child)
        return sorted(found, key=lambda child: child.pid)

    def _later(self, seconds: float, recover: Recovery) -> None:
        heapq.heappush(self._recoveries, (time.monotonic() + seconds, next(self._numbers), recover))

    def _hurting(self, victim: str, seconds: float, recover: Recovery) -> bool:
        """Note that a server is down for some time, after which it recovers."""

        def heal() -> None:
            recover()
            self._hurt.discard(victim)

        self._hurt.add(victim)
        self._later(seconds, heal)
        return True

    def _kill(self, role: str, fault: Fault) -> bool:
        victims = self._children(role)
        if not victims:
            return False
        with suppress(psutil.NoSuchProcess):
            victims[int(fault.pick * len(victims))].kill()
        return True

    def _kill_supervisor(self, _fault: Fault) -> bool:
        if self._up is None or self._up.poll() is not None:
            return False
        # Its children notice, and end by themselves; the next tend starts another.
        self._up.kill()
        self._up.wait()
        return True

    def _freeze_worker(self, fault: Fault) -> bool:
        victims = self._children("worker")
        if not victims:
            return False
        victim = victims[int(fault.pick * len(victims))]

        def go_on() -> None:
            with suppress(psutil.NoSuchProcess):
                victim.send_signal(signal.SIGCONT)

        with suppress(psutil.NoSuchProcess):
            victim.send_signal(signal.SIGSTOP)
        self._later(max(LOCK_SECONDS, LEASE_SECONDS) + fault.seconds, go_on)
        return True

    def _flush_redis(self, _fault: Fault) -> bool:
        if "redis" in self._hurt:
            return False
        with self._wiping(), redis.Redis.from_url(self._redis.address) as client:
            client.flushall()
        return True

    @contextmanager
    def _wiping(self) -> Iterator[None]:
        """Note when Redis loses all it holds."""
        begun_at = datetime.now(UTC)
        yield
        self.wipes.append(Wipe(begun_at, datetime.now(UTC)))

    def _restart_redis(self, fault: Fault) -> bool:
        if "redis" in self._hurt:
            return False
        with self._wiping():
            self._redis.kill()
        return self._hurting("redis", fault.seconds, self._start_redis)

    def _start_redis(self) -> None:
        self._redis.restart()

    def _cut_redis(self, _fault: Fault) -> bool:
        self._proxy.cut()
        return True

    def _deafen_redis(self, fault: Fault) -> bool:
        if "redis" in self._hurt:
            return False
        self._proxy.black_hole(True)

        def hear() -> None:
            self._proxy.black_hole(False)
            self._proxy.cut()

        return self._hurting("redis", fault.seconds, hear)

    def _kill_primary(self, fault: Fault) -> bool:
        primary = None if "mongo" in self._hurt else self._mongo.primary
        if primary is None:
            return False
        self._mongo.kill(primary)
        return self._hurting("mongo", fault.seconds, lambda: self._mongo.restart(primary))

    def _lose_mongo(self, fault: Fault) -> bool:
        if "mongo" in self._hurt:
            return False
        for member in self._mongo.members:
            self._mongo.kill(member)

        def recover() -> None:
            for member in self._mongo.members:
                self._mongo.restart(member)

        return self._hurting("mongo", fault.seconds, recover)

    def _step_down(self, fault: Fault) -> bool:
        primary = None if "mongo" in self._hurt else self._mongo.primary
        if primary is None:
            return False
        try:
            self._mongo.step_down()
        except ServerFailed as error:
            # A mongod 6.0 whose cache is full can hang on its way out, and no other takes over
            # while it does: whoever operates it has to kill it, and so do we.
            log.warning("step_down_hangs", error=str(error)[:200])
            self._mongo.kill(primary)
            return self._hurting("mongo", fault.seconds, lambda: self._mongo.restart(primary))
        return True

    def _freeze_primary(self, fault: Fault) -> bool:
        primary = None if "mongo" in self._hurt else self._mongo.primary
        if primary is None:
            return False
        self._mongo.freeze(primary)
        seconds = LEASE_SECONDS + fault.seconds
        return self._hurting("mongo", seconds, lambda: self._mongo.thaw(primary))
