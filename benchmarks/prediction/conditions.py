"""Under which conditions a run was made, as far as a prediction depends on them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median
from typing import Final, NamedTuple

from benchmarks.results import Load, Run, Value
from pipeline.settings import Settings

HOT: Final = "hot_share"
"""In `variant`: the share of events on the hottest id."""
FAILURES: Final = "failure_rate"
"""In `variant`: the probability that an attempt at an event fails."""
ATTEMPTS: Final = "attempts"
"""In `variant`: most attempts at an event."""
MAX_ATTEMPTS: Final[int] = Settings.model_fields["max_attempts"].default
UNDERSTOOD: Final = frozenset(
    {"workers", "per_second", "rate", "offered_per_second", "events", "max_attempts"}
    | {HOT, FAILURES, ATTEMPTS}
)
KEPT_UP: Final = 0.9
LEFT_OVER: Final = 0.1


class UnfitRunsError(Exception):
    """A law can't be fitted to these runs; the message says which runs it takes."""


class Conditions(NamedTuple):
    """What the runs of one variant have in common.

    Attributes:
        load: how events were sent.
        workers: worker processes.
        per_second: of an open load, the rate offered.
        hot_share: the share of events on the hottest id.
        failure_rate: the probability that an attempt fails.
        attempts: most attempts at an event.
        others: what else the variant and the settings say.
    """

    load: Load
    workers: int
    per_second: float | None
    hot_share: float
    failure_rate: float
    attempts: int
    others: tuple[tuple[str, Value], ...]

    def __str__(self) -> str:
        words = [f"{self.workers} workers"]
        if self.per_second is not None:
            words.append(f"{self.per_second:g} events/s")
        if self.hot_share:
            words.append(f"{self.hot_share:.0%} on one id")
        if self.failure_rate:
            words.append(f"{self.failure_rate:.1%} of attempts fail, {self.attempts} at most")
        return ", ".join(words + [f"{key}={value}" for key, value in self.others])


def conditions_of(run: Run) -> Conditions:
    """The conditions of a run, read from its fields, its variant and its settings.

    Raises:
        UnfitRunsError: one of the variant's values is no number.
    """
    said = run.settings | run.variant
    try:
        return Conditions(
            load=run.load,
            workers=run.workers,
            per_second=run.offered_per_second if run.load is Load.OPEN else None,
            hot_share=float(said.get(HOT, 0.0)),
            failure_rate=float(said.get(FAILURES, 0.0)),
            attempts=int(said.get(ATTEMPTS, said.get("max_attempts", MAX_ATTEMPTS))),
            others=tuple(sorted((key, said[key]) for key in said.keys() - UNDERSTOOD)),
        )
    except ValueError as error:
        raise UnfitRunsError(f"the variant {run.variant} of {run.scenario}: {error}") from None


def by_conditions(runs: Iterable[Run]) -> dict[Conditions, list[Run]]:
    """Repeats of the same conditions together, in the order of load, workers and rate."""
    grouped: dict[Conditions, list[Run]] = {}
    for run in runs:
        grouped.setdefault(conditions_of(run), []).append(run)
    return dict(sorted(grouped.items(), key=lambda item: _rank(item[0])))


def one_kind_of_work(runs: Sequence[Run]) -> None:
    """Check that the runs differ in nothing a prediction can't tell.

    Raises:
        UnfitRunsError: there are none, or they are of several subjects, or those of one load are
            of several scenarios, or their variants or settings differ in other things than
            workers, rate, hot share and failures.
    """
    if not runs:
        raise UnfitRunsError("there are no runs to fit to")
    subjects = sorted({run.subject for run in runs})
    if len(subjects) > 1:
        raise UnfitRunsError(f"fit the runs of {', '.join(subjects)} apart from each other")
    for load in Load:
        named = sorted({run.scenario for run in runs if run.load is load and _plain(run)})
        if len(named) > 1:
            raise UnfitRunsError(
                f"{', '.join(named)} are different work; fit one {load} scenario at a time"
            )
        others = {one.others for one in by_conditions(run for run in runs if run.load is load)}
        if len(others) > 1:
            keys = sorted({key for found in others for key, _ in found})
            raise UnfitRunsError(
                f"the runs differ in {', '.join(keys)}, of which no law tells; "
                "fit those of one value at a time"
            )


def kept_up(run: Run) -> bool:
    """Whether an open load was worked off as it came; otherwise its latencies are of a line."""
    if not run.offered_per_second:
        return True
    in_time = run.per_second >= KEPT_UP * run.offered_per_second
    return in_time and run.backlog <= LEFT_OVER * run.sent


def middle(values: Iterable[float]) -> float:
    """The median of repeats."""
    return float(median(values))


def _plain(run: Run) -> bool:
    """Whether it is the bare work, with neither a hot id nor failures."""
    one = conditions_of(run)
    return not one.hot_share and not one.failure_rate


def _rank(one: Conditions) -> tuple[str, int, float, float, float, str]:
    rate = one.per_second or 0.0
    return (one.load, one.workers, rate, one.hot_share, one.failure_rate, str(one.others))
