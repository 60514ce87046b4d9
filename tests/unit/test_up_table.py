"""The table of `pipeline up`: what is well is short, what is not is named and coloured."""

from io import StringIO

from rich.console import Console

from workers.cli.up import table
from workers.monitor import Snapshot
from workers.supervision import Phase
from workers.supervisor import ChildView

RED = "\x1b[1;31m"


def child(name: str, phase: Phase = Phase.RUNNING, **fields: object) -> ChildView:
    """A process that runs, unless told otherwise."""
    values = {"pid": 7, "looping": False, "words": "running", "last_line": ""} | fields
    return ChildView(name=name, phase=phase, **values)  # type: ignore[arg-type]


def seen(**fields: object) -> Snapshot:
    """An idle pipeline, unless told otherwise."""
    values: dict[str, object] = {"events": 1234, "copies": 0, "conflicts": 0, "tables": {}}
    values |= {"backlog": {}, "lanes": {}, "workers": {}, "trouble": {}}
    return Snapshot(**(values | fields))  # type: ignore[arg-type]


def shown(now: Snapshot | None, error: str, *children: ChildView) -> list[str]:
    """The table's lines on a terminal with colours."""
    target = StringIO()
    Console(file=target, force_terminal=True, color_system="standard", width=200).print(
        table(now, error, children)
    )
    return target.getvalue().splitlines()


def test_what_is_well_is_in_one_line() -> None:
    """Names with process ids."""
    lines = shown(seen(), "", child("worker-1", pid=11), child("sweeper", pid=12))
    assert "worker-1 (11), sweeper (12)" in lines[0]
    assert not any(RED in line for line in lines)
    assert any("1,234" in line for line in lines)


def test_a_crash_loop_is_told_in_words_and_red() -> None:
    """With the next try and the last line of its log, brackets and all."""
    looping = child(
        "worker-1",
        Phase.WAITING,
        pid=None,
        looping=True,
        words="crash loop, next try in 16 s",
        last_line="ModuleNotFoundError: [red]No module named 'x'",
    )
    lines = shown(seen(), "", looping, child("sweeper"))
    assert "worker-1" not in lines[0]
    assert "sweeper (7)" in lines[0]
    (line,) = (line for line in lines if "crash loop" in line)
    told = "crash loop, next try in 16 s: ModuleNotFoundError: [red]No module named 'x'"
    assert line.startswith("worker-1")
    assert RED + told in line


def test_a_crash_loop_that_runs_again_is_still_one() -> None:
    """It is not among those that are well."""
    lines = shown(None, "", child("worker-1", looping=True, words="crash loop, running again"))
    assert "worker-1" not in lines[0]
    assert "crash loop, running again" in lines[1]


def test_who_is_finishing_is_told_and_not_in_red() -> None:
    """A drain is no trouble."""
    words = "finishing what it has begun, killed in 12 s"
    lines = shown(seen(), "", child("worker-1", Phase.DRAINING, words=words))
    assert words in lines[1]
    assert RED not in lines[1]


def test_silent_servers_are_told_without_the_password() -> None:
    """What was seen last stays."""
    lines = shown(seen(), "mongodb://me:hidden@host does not answer", child("worker-1"))
    assert any("1,234" in line for line in lines)
    (line,) = (line for line in lines if "no answer" in line)
    assert "hidden" not in line
    assert any("host does not answer" in line for line in lines)


def test_before_the_first_look_there_are_only_processes() -> None:
    """Nothing is made up."""
    assert len(shown(None, "", child("worker-1"))) == 1
