"""A chaos run does what it was asked for, or says that it did not; and it comes to its end."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import Unavailable
from tests.integration.command_line import CommandLine
from workers import logs
from workers.chaos import Fault, Kind, Options, OutageTooLongError, Verdict, run, schedule
from workers.chaos.faults import OUTAGES, shortest_with
from workers.chaos.run import AHEAD, Progress, _Sender, _strike_while_sending
from workers.chaos.story import story
from workers.cli import chaos
from workers.cli.context import Exit

SECONDS = 0.6
"""Of a run: a few turns of its loop."""


class FakeStage:
    """A stage whose MongoDB is away until it was tended so often; what it refuses is told.

    Args:
        gone: so many times it has to be tended before MongoDB answers.
        hurt: so many strikes are refused.
    """

    def __init__(self, gone: int = 0, hurt: int = 0) -> None:
        self.gone = gone
        self.hurt = hurt
        self.struck: list[Kind] = []

    def strike(self, fault: Fault) -> bool:
        """Note a fault, unless its victim is down."""
        self.hurt -= 1
        if self.hurt >= 0:
            return False
        self.struck.append(fault.kind)
        return True

    def tend(self) -> None:
        """Let what is over end."""
        self.gone -= 1

    def submit(self, _call: object) -> None:
        """As the dispatcher does; nobody but `tend` brings MongoDB back."""
        if self.gone > 0:
            raise Unavailable("MongoDB is away")

    def backlog(self) -> dict[str, tuple[int, int]]:
        """As the batches do: so many that nothing is sent, unless MongoDB is to be missed."""
        return {} if self.gone > 0 else {"any": (AHEAD + 1, AHEAD + 1)}


class _Attributes:
    """An object of these attributes."""

    def __init__(self, **attributes: Any) -> None:
        self.__dict__.update(attributes)


def _sent(stage: FakeStage, folder: Path, faults: list[Fault]) -> Verdict:
    """The verdict after sending under these faults."""
    batches = _Attributes(backlog=stage.backlog)
    app: Any = _Attributes(
        dispatcher=_Attributes(submit=stage.submit),
        store=_Attributes(records=_Attributes(batches=batches)),
    )
    options = Options(seed=1, minutes=SECONDS / 60, folder=folder)
    verdict, progress = Verdict(1), Progress()
    sender = _Sender(app, options, story(1, 100), progress)
    told: Callable[[Progress], None] = lambda _progress: None  # noqa: E731
    _strike_while_sending(options, faults, stage, sender, verdict, progress, told)  # type: ignore[arg-type]
    assert not sender.is_alive()
    return verdict


def test_what_is_down_when_the_time_is_over_comes_back(tmp_path: Path) -> None:
    """Or the call that is under way would never be answered."""
    stage = FakeStage(gone=10)
    _sent(stage, tmp_path, [])
    assert stage.gone <= 0


def test_a_call_that_nobody_answers_ends_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a sentence, since the servers do not come back."""
    monkeypatch.setattr(sys.modules[_Sender.__module__], "PATIENCE_SECONDS", 0.1)
    stage = FakeStage(gone=10_000)
    with pytest.raises(Unavailable, match="not answered"):
        _sent(stage, tmp_path, [])
    stage.gone = 0  # the thread ends


def test_an_outage_waits_until_its_victim_is_up(tmp_path: Path) -> None:
    """Other faults are left out where theirs is down."""
    stage = FakeStage(hurt=3)
    outage = Fault(0.0, Kind.REDIS_GONE, 0.0, 1.0)
    verdict = _sent(stage, tmp_path, [Fault(0.0, Kind.FLUSH_REDIS, 0.0, 0.0), outage])
    assert stage.struck == [Kind.REDIS_GONE]
    assert verdict.faults == {Kind.REDIS_GONE.value: 1}
    assert not verdict.unfinished


@pytest.mark.parametrize("at", [0.0, 1e6])
def test_an_outage_that_never_came_leaves_the_run_unfinished(tmp_path: Path, at: float) -> None:
    """Its victim was never up, or all was sent before its time."""
    stage = FakeStage(hurt=10_000)
    verdict = _sent(stage, tmp_path, [Fault(at, Kind.MONGODB_GONE, 0.0, 1.0)])
    assert Kind.MONGODB_GONE.value in verdict.unfinished
    assert not verdict.clean


@pytest.mark.parametrize("outage", [0.5, 20.0, 100.0])
def test_outages_are_over_by_the_end_of_the_shortest_run_that_takes_them(outage: float) -> None:
    """And of any longer one."""
    seconds = shortest_with(outage)
    outages = [f for f in schedule(1, seconds, 4.0, outage) if f.kind in OUTAGES]
    assert [fault.kind for fault in outages] == [Kind.REDIS_GONE, Kind.MONGODB_GONE]
    assert all(fault.at + fault.seconds <= seconds + 1e-6 for fault in outages)
    with pytest.raises(OutageTooLongError):
        schedule(1, seconds - 1, 4.0, outage)


def test_outages_that_do_not_fit_are_refused_before_anything_is_started(tmp_path: Path) -> None:
    """No folder is made."""
    folder = tmp_path / "run"
    with pytest.raises(OutageTooLongError):
        run(Options(seed=1, minutes=2.0, folder=folder, outage=100.0))
    assert not folder.exists()


def test_outages_that_do_not_fit_are_a_fault_of_the_command_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Which is told in a sentence, with what would fit."""
    monkeypatch.setattr(logs, "configure", lambda *_, **__: None)
    done = CommandLine(chaos)("chaos", "run", "--minutes", "2", "--outage", "100")
    assert done.exit_code == Exit.USAGE
    assert "4.4 minutes or longer" in " ".join(done.output.split())
