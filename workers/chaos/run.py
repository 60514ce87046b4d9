"""The chaos run itself: send, strike, wait, judge."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import structlog
from pydantic import SecretStr
from pymongo.errors import PyMongoError
from redis.exceptions import RedisError

from pipeline import Event
from pipeline.dead_letters import Decisions, Where
from pipeline.errors import Unavailable, WorkerDied
from pipeline.locks import WhenBusy
from pipeline.registry import load
from pipeline.settings import Settings
from pipeline.store.policies import LockPolicies, Scope
from workers.bootstrap import Application, application
from workers.chaos import handlers as own_handlers
from workers.chaos.faults import OUTAGES, Fault, schedule
from workers.chaos.stage import LOCK_SECONDS, Stage
from workers.chaos.story import delivery, story
from workers.chaos.verdict import Verdict, judge, judge_effects

RATE: Final = 2_500
"""Events a second that are made ready; more than two cores can take under faults."""
AHEAD: Final = 60
"""Most batches that may be pending before more is sent: what is sent is worked off in order."""
POLL_SECONDS: Final = 0.2
SINK: Final = "outside.txt"
PATIENCE_SECONDS: Final = 240.0
"""So long after the last fault all has to be done, and the last call has to be answered."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Options:
    """What kind of run.

    Attributes:
        seed: of events, their delivery and the faults.
        minutes: so long events are sent and faults injected.
        folder: for data and logs; should be empty.
        count: most events; 0 for as many as the time allows.
        every: a fault in so many seconds, on average.
        outage: for so many seconds Redis, and later MongoDB, are gone altogether; 0 for never.
        workers: worker processes.
        late: share of events that come late.
        duplicates: share of events that are sent twice.
        raises: how often a handler of the run's own raises.
        handlers: modules that the workers load; the run's own unless told otherwise.
        environment: for the processes, on top of that.
    """

    seed: int
    minutes: float
    folder: Path
    count: int = 0
    every: float = 4.0
    outage: float = 0.0
    workers: int = 2
    late: float = 0.1
    duplicates: float = 0.1
    raises: float = 0.005
    handlers: Sequence[str] = (own_handlers.__name__,)
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Progress:
    """How far a run has come, for people who wait.

    Attributes:
        phase: what is going on.
        seconds: since the first event was sent.
        sent: events sent, repeated ones included.
        pending: batches that are not done.
        faults: injected so far.
    """

    phase: str = "starting"
    seconds: float = 0.0
    sent: int = 0
    pending: int = 0
    faults: int = 0


Tick = Callable[[Progress], None]


def run(
    options: Options,
    *,
    events: Sequence[Event] | None = None,
    registry_of: Sequence[str] | None = None,
    tick: Tick = lambda _progress: None,
) -> Verdict:
    """Make a run, and say what it came to.

    Args:
        options: what kind of run.
        events: what happened, in order; a story of the run's own unless given.
        registry_of: modules of the handlers that the oracle runs; those of the workers unless
            given, which differ only where a build is broken on purpose.
        tick: told how far the run has come, again and again.

    Raises:
        OutageTooLongError: the outages asked for do not fit into the time.
        EmbeddedError: a server can't be started.
        Unavailable: the workers did not start, or the last call was never answered.
    """
    faults = schedule(options.seed, options.minutes * 60, options.every, options.outage)
    options.folder.mkdir(parents=True, exist_ok=True)
    if events is None:
        events = story(options.seed, options.count or int(options.minutes * 60 * RATE))
    environment = {
        "PIPELINE_HANDLERS": ",".join(options.handlers),
        own_handlers.RAISE: str(options.raises),
        own_handlers.SINK: str(options.folder.absolute() / SINK),
        **options.environment,
    }
    registry = load(registry_of or options.handlers)
    verdict, progress = Verdict(options.seed), Progress()
    with Stage(options.folder, options.workers, environment) as stage:
        settings = Settings(
            mongo_url=SecretStr(stage.servers.mongo_url),
            redis_url=SecretStr(stage.servers.redis_url),
            handlers=list(registry_of or options.handlers),
            data_dir=options.folder,
        )
        with application(settings, stage.servers) as app:
            # Short leases, so that a frozen worker's are over while it sleeps.
            values = {"ttl_ms": LOCK_SECONDS * 1000, "when_busy": WhenBusy.DEFER}
            LockPolicies(app.store.database).change(Scope(None, None), values, app.clock.now())
            sender = _Sender(app, options, events, progress)
            _wait_for_workers(app, stage, options.workers)
            _strike_while_sending(options, faults, stage, sender, verdict, progress, tick)
            progress.phase = "finishing"
            stage.calm()
            _finish(app, stage, verdict, progress, tick)
            verdict.seconds, verdict.sent = progress.seconds, progress.sent
            progress.phase = "comparing"
            tick(progress)
            expected = judge(verdict, app.store, registry, sender.sent, stage.wipes)
            sink = options.folder / SINK
            judge_effects(verdict, app.store, expected, sink, options.workers)
    return verdict


class _Sender(threading.Thread):
    """Sends the events from a thread of its own, again where the answer did not come."""

    def __init__(
        self, app: Application, options: Options, events: Sequence[Event], progress: Progress
    ) -> None:
        super().__init__(name="sender", daemon=True)
        self._app = app
        self._progress = progress
        self._calls = delivery(
            options.seed, events, late=options.late, duplicates=options.duplicates
        )
        self._over = threading.Event()
        self.sent: list[Event] = []
        self.fault: BaseException | None = None

    def end(self) -> None:
        """Send no more; a call that was begun goes on until it is answered."""
        self._over.set()

    def run(self) -> None:
        """Send until all is sent, or the time is over."""
        try:
            for call in self._calls:
                while self._crowded() and not self._over.wait(POLL_SECONDS):
                    pass
                if self._over.is_set():
                    return
                self._send(call)
        except BaseException as fault:  # noqa: BLE001 - told by the thread that waits for us
            self.fault = fault

    def _crowded(self) -> bool:
        try:
            pending = sum(n for n, _ in self._app.store.records.batches.backlog().values())
        except PyMongoError:
            return True
        self._progress.pending = pending
        return pending > AHEAD

    def _send(self, call: list[Event]) -> None:
        # An event counts as sent from here on: it may be stored though no answer came.
        self.sent += call
        while True:
            try:
                self._app.dispatcher.submit(call)
            except (Unavailable, PyMongoError, RedisError) as error:
                log.info("sending_again", error=str(error)[:200])
                # Whoever sends has to go on until it is told that the events are safe.
                time.sleep(POLL_SECONDS)
            else:
                self._progress.sent += len(call)
                return


def _strike_while_sending(
    options: Options,
    faults: Sequence[Fault],
    stage: Stage,
    sender: _Sender,
    verdict: Verdict,
    progress: Progress,
    tick: Tick,
) -> None:
    """Inject faults at their moments until all is sent or the time is over.

    Faults whose victim is down already are left out, but for outages, which wait for it.

    Raises:
        Unavailable: the last call was never answered.
    """
    to_come, waiting = list(faults), list[Fault]()
    progress.phase = "sending under faults"
    started = time.monotonic()
    sender.start()
    while sender.is_alive() and progress.seconds < options.minutes * 60:
        progress.seconds = time.monotonic() - started
        while to_come and to_come[0].at <= progress.seconds:
            waiting.append(to_come.pop(0))
        # Those that wait go first, so that no later fault takes their victim from them.
        struck = [_strike(stage, fault, verdict, progress) for fault in waiting]
        waiting = [
            fault
            for fault, did in zip(waiting, struck, strict=True)
            if not did and fault.kind in OUTAGES
        ]
        stage.tend()
        tick(progress)
        time.sleep(POLL_SECONDS)
    _end_sending(stage, sender, progress, tick, started)
    never = [fault.kind.value for fault in (*waiting, *to_come) if fault.kind in OUTAGES]
    if never:
        verdict.unfinished = f"asked for, and never came to it: {', '.join(never)}"


def _strike(stage: Stage, fault: Fault, verdict: Verdict, progress: Progress) -> bool:
    did = stage.strike(fault)
    if did:
        verdict.faults[fault.kind.value] += 1
        progress.faults += 1
    return did


def _end_sending(
    stage: Stage, sender: _Sender, progress: Progress, tick: Tick, started: float
) -> None:
    """Let the call that is under way be answered: what is down comes back meanwhile."""
    sender.end()
    deadline = time.monotonic() + PATIENCE_SECONDS
    while sender.is_alive():
        stage.tend()
        progress.seconds = time.monotonic() - started
        tick(progress)
        if time.monotonic() > deadline:
            raise Unavailable(
                f"a call was not answered within {PATIENCE_SECONDS:g} s after the time was over; "
                f"see the logs in the run's folder"
            )
        sender.join(POLL_SECONDS)
    if sender.fault is not None:
        raise sender.fault


def _wait_for_workers(app: Application, stage: Stage, workers: int) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while len(app.heartbeats.running()) < workers:
        stage.tend()
        if time.monotonic() > deadline:
            raise Unavailable("the workers did not start; see up.log in the run's folder")
        time.sleep(POLL_SECONDS)


def _finish(
    app: Application, stage: Stage, verdict: Verdict, progress: Progress, tick: Tick
) -> None:
    """Wait until nothing is left, putting back to work what was set aside for its workers' deaths.

    An event whose worker was killed twice while it held nothing else looks like one that
    kills; a person puts it back, and so do we.
    """
    decisions = Decisions(app.store, app.registry, app.queue, app.clock, app.settings)
    started, before = time.monotonic(), progress.seconds
    while True:
        stage.tend()
        progress.seconds = before + time.monotonic() - started
        with suppress(PyMongoError, RedisError, Unavailable):
            progress.pending = sum(n for n, _ in app.store.records.batches.backlog().values())
            if not progress.pending:
                again = decisions.requeue_all(Where(error=WorkerDied.__name__)).done
                if not again:
                    return
                verdict.set_aside += again
        tick(progress)
        if time.monotonic() - started > PATIENCE_SECONDS:
            verdict.unfinished = (
                f"{progress.pending} batches were not done {PATIENCE_SECONDS:g} seconds after "
                f"the last fault"
            )
            return
        time.sleep(POLL_SECONDS)
