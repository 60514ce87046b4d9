"""The supervisor with real processes: restarts, crash loops, memory, drains and its own end."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest
from structlog.testing import capture_logs

from pipeline.clock import Clock, ManualClock, SystemClock
from tests.acceptance.conftest import ROOT, wait_for
from workers import supervisor as module
from workers.supervision import CRASHES, LONGEST_PAUSE, RECYCLE_AFTER, STEADY_SECONDS, Phase
from workers.supervisor import ChildView, Supervisor

CHILD = "tests.integration.supervised"
DRAIN = 20.0


class Stage:
    """A supervisor of small processes, each with a folder for its facts.

    Args:
        folder: for logs and facts.
        clock: the supervisor's.
    """

    def __init__(self, folder: Path, clock: Clock) -> None:
        self.folder = folder
        environment = {"PYTHONPATH": str(ROOT)}
        self.supervisor = Supervisor(clock, folder / "logs", environment, drain_seconds=DRAIN)

    def add(self, kind: str, *, ceiling_mib: int | None = None) -> None:
        """Supervise a process of this kind, under its name."""
        (self.folder / kind).mkdir()
        where = str(self.folder / kind)
        self.supervisor.add(kind, kind, where, module=CHILD, ceiling_mib=ceiling_mib)

    def facts(self, kind: str, fact: str) -> list[int]:
        """Process ids that have noted a fact."""
        file = self.folder / kind / fact
        return [int(line) for line in file.read_text().split()] if file.exists() else []

    def view(self, kind: str) -> ChildView:
        """How a process stands."""
        return next(child for child in self.supervisor.children() if child.name == kind)

    def until(self, fact: Callable[[], Any], what: str) -> None:
        """Tend until a fact is true."""

        def tended() -> Any:
            self.supervisor.tend()
            return fact()

        wait_for(tended, what)

    def start(self, *kinds: str) -> None:
        """Tend until these are ready."""
        before = {kind: len(self.facts(kind, "ready")) for kind in kinds}
        self.until(
            lambda: all(len(self.facts(kind, "ready")) > n for kind, n in before.items()),
            f"ready are {kinds}",
        )

    def pid(self, kind: str) -> int:
        """Process id of one that runs."""
        pid = self.view(kind).pid
        assert pid is not None
        return pid


@pytest.fixture
def clock() -> ManualClock:
    """Give a clock that stands still."""
    return ManualClock(datetime(2024, 1, 1, tzinfo=UTC))


@pytest.fixture
def stage(tmp_path: Path, clock: ManualClock) -> Iterator[Stage]:
    """Give a supervisor on a clock that stands still; what it leaves is killed."""
    stage = Stage(tmp_path, clock)
    yield stage
    stage.supervisor.kill()
    stage.until(stage.supervisor.ended, "all have ended")


@pytest.fixture
def logged() -> Iterator[list[Any]]:
    """Give the facts that are logged during the test."""
    with capture_logs() as facts:
        yield facts


def events(logged: list[Any], *names: str) -> list[str]:
    """Which of these events were logged, in order."""
    return [fact["event"] for fact in logged if fact["event"] in names]


def pass_seconds(clock: ManualClock, seconds: float) -> None:
    """Let time pass."""
    clock.advance(timedelta(seconds=seconds))


def crash(stage: Stage, clock: ManualClock, times: int) -> None:
    """Let it fail until it has failed so often in all, and waits for its next try."""

    def failed() -> bool:
        waits = stage.view("crash").phase is Phase.WAITING
        enough = len(stage.facts("crash", "crashed")) >= times
        if waits and not enough:
            pass_seconds(clock, LONGEST_PAUSE)
        return waits and enough

    stage.until(failed, f"it fails {times} times")


def test_a_killed_process_is_started_again_and_the_others_are_left_alone(stage: Stage) -> None:
    """At once, without anybody moving the clock."""
    stage.add("obedient")
    stage.add("busy")
    stage.start("obedient", "busy")
    killed, other = stage.pid("obedient"), stage.pid("busy")
    os.kill(killed, signal.SIGKILL)
    stage.start("obedient")
    assert stage.pid("obedient") not in {killed, other}
    assert stage.pid("busy") == other
    assert stage.supervisor.pids() == {"obedient": stage.pid("obedient"), "busy": other}


def test_children_have_sessions_of_their_own(stage: Stage) -> None:
    """Ctrl-C in the terminal is for the supervisor, who tells them."""
    stage.add("obedient")
    stage.start("obedient")
    assert os.getsid(stage.pid("obedient")) != os.getsid(0)


def test_a_crash_loop_is_told_once_with_the_last_lines_of_the_log(
    stage: Stage, clock: ManualClock, logged: list[Any]
) -> None:
    """In the log and to who asks, and the password in the line is masked."""
    stage.add("crash")
    crash(stage, clock, CRASHES - 1)
    assert "crash_loop" not in events(logged, "crash_loop")
    crash(stage, clock, CRASHES + 1)
    (told,) = (fact for fact in logged if fact["event"] == "crash_loop")
    assert told["log_level"] == "error"
    assert (told["child"], told["status"], told["pause"]) == ("crash", 1, LONGEST_PAUSE)
    assert told["lines"][-1] == "RuntimeError: no luck with redis://***host"
    assert len(told["lines"]) > 1
    view = stage.view("crash")
    assert view.looping
    assert view.pid is None
    assert view.words == "crash loop, next try in 30 s"
    assert view.last_line == "RuntimeError: no luck with redis://***host"


def test_a_crash_loop_goes_on_with_the_long_pause(stage: Stage, clock: ManualClock) -> None:
    """Nothing is started before it is over."""
    stage.add("crash")
    crash(stage, clock, CRASHES)
    pass_seconds(clock, LONGEST_PAUSE - 1)
    stage.supervisor.tend()
    assert stage.view("crash").words == "crash loop, next try in 1 s"
    pass_seconds(clock, 1)
    stage.supervisor.tend()
    assert stage.view("crash").words == "crash loop, running again"


def test_a_process_leaves_the_crash_loop_when_it_has_lived_a_while(
    stage: Stage, clock: ManualClock, logged: list[Any]
) -> None:
    """That is told too, and nothing is left of it in what is shown."""
    stage.add("crash")
    crash(stage, clock, CRASHES)
    (stage.folder / "crash" / "well").touch()
    pass_seconds(clock, LONGEST_PAUSE)
    stage.start("crash")
    assert stage.view("crash").looping
    pass_seconds(clock, STEADY_SECONDS)
    stage.supervisor.tend()
    view = stage.view("crash")
    assert (view.looping, view.words, view.last_line) == (False, "running", "")
    assert events(logged, "crash_loop", "crash_loop_over") == ["crash_loop", "crash_loop_over"]


def test_a_process_that_cannot_be_started_is_tried_again(stage: Stage, clock: ManualClock) -> None:
    """Whatever the machine lacks is a failure of that process, not of the supervisor."""
    stage.add("obedient")
    logs = stage.folder / "logs"
    logs.rmdir()
    stage.supervisor.tend()
    stage.supervisor.tend()
    view = stage.view("obedient")
    assert view.words == "ended, next try in 1 s"
    assert "cannot be started" in view.last_line
    logs.mkdir()
    pass_seconds(clock, 1)
    stage.start("obedient")


def test_a_process_above_its_ceiling_ends_in_its_own_time_and_starts_again(
    stage: Stage, clock: ManualClock, logged: list[Any]
) -> None:
    """It is no failure, and one below its ceiling is left alone."""
    stage.add("big", ceiling_mib=90)
    stage.add("obedient", ceiling_mib=90)
    stage.start("big", "obedient")
    first, other = stage.pid("big"), stage.pid("obedient")
    pass_seconds(clock, RECYCLE_AFTER)
    stage.start("big")
    assert stage.facts("big", "finished") == [first]
    assert stage.facts("big", "ready") == [first, stage.pid("big")]
    assert stage.pid("obedient") == other
    (told,) = (fact for fact in logged if fact["event"] == "worker_recycled")
    assert (told["child"], told["status"], told["ceiling_mib"]) == ("big", 0, 90)
    assert 100 <= told["memory_mib"] < 200
    assert events(logged, "process_ended", "process_killed") == []


def test_memory_is_looked_at_no_more_than_once_a_second(stage: Stage, clock: ManualClock) -> None:
    """However often the supervisor tends."""
    stage.add("obedient", ceiling_mib=10_000)
    stage.start("obedient")
    pass_seconds(clock, 1)
    stage.supervisor.tend()
    process_of = psutil.Process
    looks: list[int] = []

    def looked_at(pid: int) -> psutil.Process:
        looks.append(pid)
        return process_of(pid)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(psutil, "Process", looked_at)
        for _ in range(6):
            pass_seconds(clock, 0.2)
            stage.supervisor.tend()
    assert looks == [stage.pid("obedient")]


def test_a_recycled_process_that_does_not_end_is_killed_at_its_deadline(
    stage: Stage, clock: ManualClock, logged: list[Any]
) -> None:
    """Nobody waits for it meanwhile, and it starts again all the same."""
    stage.add("stubborn", ceiling_mib=1)
    stage.add("obedient")
    stage.start("stubborn", "obedient")
    first = stage.pid("stubborn")
    pass_seconds(clock, RECYCLE_AFTER)
    stage.supervisor.tend()
    assert stage.view("stubborn").phase is Phase.RECYCLING
    assert stage.view("stubborn").words.endswith("killed in 20 s")
    os.kill(stage.pid("obedient"), signal.SIGKILL)
    stage.start("obedient")
    pass_seconds(clock, DRAIN)
    stage.start("stubborn")
    assert stage.facts("stubborn", "ready") == [first, stage.pid("stubborn")]
    told = [fact for fact in logged if fact.get("child") == "stubborn"]
    assert [fact["event"] for fact in told] == [
        "process_started",
        "process_killed",
        "worker_recycled",
        "process_started",
    ]
    assert told[2]["status"] == -signal.SIGKILL


def test_quiet_lets_a_process_finish_and_starts_nothing_any_more(
    stage: Stage, clock: ManualClock
) -> None:
    """Neither who has ended, nor who was waiting for its next try."""
    for kind in ("busy", "obedient", "crash"):
        stage.add(kind)
    stage.start("busy", "obedient")
    stage.until(lambda: stage.view("crash").last_line, "it fails")
    stage.supervisor.quiet()
    stage.until(lambda: stage.view("obedient").phase is Phase.ENDED, "the idle one ends")
    pass_seconds(clock, DRAIN - 1)
    stage.supervisor.tend()
    assert stage.view("busy").words == "finishing what it has begun, killed in 1 s"
    (stage.folder / "busy" / "finish").touch()
    stage.until(stage.supervisor.ended, "the busy one has finished")
    assert len(stage.facts("busy", "finished")) == 1
    pass_seconds(clock, 3600)
    stage.supervisor.tend()
    assert stage.supervisor.pids() == {}
    assert stage.supervisor.stop() == []


def test_nobody_is_told_twice_to_end(stage: Stage, clock: ManualClock) -> None:
    """A second SIGTERM would make a worker break off its batch."""
    stage.add("busy", ceiling_mib=1)
    stage.start("busy")
    pass_seconds(clock, RECYCLE_AFTER)
    stage.supervisor.tend()
    stage.until(lambda: stage.facts("busy", "told"), "it is told")
    stage.supervisor.quiet()
    stage.supervisor.quiet()
    (stage.folder / "busy" / "finish").touch()
    stage.until(stage.supervisor.ended, "it has finished")
    assert len(stage.facts("busy", "told")) == 1
    assert len(stage.facts("busy", "finished")) == 1


def test_after_the_deadline_a_drain_kills(stage: Stage, clock: ManualClock) -> None:
    """Not before, and it says whom."""
    stage.add("stubborn")
    stage.add("obedient")
    stage.start("stubborn", "obedient")
    stage.supervisor.quiet()
    stage.until(lambda: stage.view("obedient").phase is Phase.ENDED, "the obedient one ends")
    pass_seconds(clock, DRAIN - 0.001)
    stage.supervisor.tend()
    assert stage.view("stubborn").pid is not None
    pass_seconds(clock, 0.001)
    stage.until(stage.supervisor.ended, "the stubborn one is killed")
    assert stage.supervisor.stop() == ["stubborn"]
    assert stage.facts("stubborn", "finished") == []


def test_kill_does_not_wait_for_the_deadline(stage: Stage) -> None:
    """Also in the middle of a drain."""
    stage.add("stubborn")
    stage.start("stubborn")
    stage.supervisor.quiet()
    stage.supervisor.kill()
    stage.until(stage.supervisor.ended, "it is killed")
    assert stage.supervisor.stop() == ["stubborn"]


def test_stop_waits_until_all_have_ended(tmp_path: Path) -> None:
    """On the machine's own clock, with a deadline of its own."""
    stage = Stage(tmp_path, SystemClock())
    stage.add("stubborn")
    stage.add("obedient")
    stage.start("stubborn", "obedient")
    pids = list(stage.supervisor.pids().values())
    assert stage.supervisor.stop(0.2) == ["stubborn"]
    assert not any(psutil.pid_exists(pid) for pid in pids)
    assert len(stage.facts("obedient", "finished")) == 1


def test_what_was_being_started_when_we_were_interrupted_holds_up_no_end(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C while a process is made: nobody knows it, so nobody waits for it."""

    def interrupted(*_: object, **__: object) -> subprocess.Popen[bytes]:
        raise KeyboardInterrupt

    stage.add("obedient")
    monkeypatch.setattr(module, "start_child", interrupted)
    with pytest.raises(KeyboardInterrupt):
        stage.supervisor.tend()
    monkeypatch.undo()
    stage.supervisor.quiet()
    stage.supervisor.tend()
    assert stage.supervisor.ended()
    assert stage.view("obedient").pid is None


def test_a_log_that_has_grown_long_is_put_aside(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the next start; otherwise it is continued."""
    stage.add("obedient")
    log = stage.folder / "logs" / "obedient.log"
    monkeypatch.setattr(module, "LOG_BYTES", 10)
    log.write_text("short\n")
    stage.start("obedient")
    assert log.read_text() == "short\n"
    log.write_text("longer than it may be\n")
    os.kill(stage.pid("obedient"), signal.SIGKILL)
    stage.start("obedient")
    assert log.read_text() == ""
    assert log.with_name("obedient.log.1").read_text() == "longer than it may be\n"


@pytest.mark.parametrize("kind", ["obedient", "big"])
def test_children_end_with_a_supervisor_that_is_killed(tmp_path: Path, kind: str) -> None:
    """None of them has to look for it; that goes for any module."""
    (tmp_path / kind).mkdir()
    code = (
        "import sys, time; from pathlib import Path\n"
        "from pipeline.clock import SystemClock; from workers.supervisor import Supervisor\n"
        "folder, kind = Path(sys.argv[1]), sys.argv[2]\n"
        "supervisor = Supervisor(SystemClock(), folder / 'logs', {})\n"
        f"supervisor.add(kind, kind, str(folder / kind), module={CHILD!r})\n"
        "while True: supervisor.tend(); time.sleep(0.05)"
    )
    ready = tmp_path / kind / "ready"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path), kind],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as parent:
        try:
            wait_for(lambda: ready.exists() and ready.read_text().strip(), "the child is ready")
            child = psutil.Process(int(ready.read_text()))
            assert child.ppid() == parent.pid
        finally:
            parent.kill()
    wait_for((tmp_path / kind / "finished").exists, "the child ends")
