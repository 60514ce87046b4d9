"""Under which conditions a run was made, as far as a prediction depends on them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median
from typing import Final, NamedTuple

from benchmarks.results import PIPELINE, Load, Run, Value
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
MAIN: Final = "main"
SAME_WORK: Final = frozenset({"throughput", "workers", "rates", "soak"})
"""Scenarios that send the same events to the same handlers; of others nothing is known."""
BESIDES: Final = frozenset({"hot-id", "failures"})
"""Scenarios of other work, with a hot id or with failures, and without."""
KEPT_UP: Final = 0.9
LEFT_OVER: Final = 0.1


class UnfitRunsError(Exception):
    """A law can't be fitted to these runs; the message says which runs it takes."""


class Conditions(NamedTuple):
    """What the runs of one variant have in common.

    Attributes:
        work: the scenario, or `MAIN` for those that do the same work.
        load: how events were sent.
        workers: worker processes.
        per_second: of an open load, the rate offered.
        hot_share: the share of events on the hottest id.
        failure_rate: the probability that an attempt fails.
        attempts: most attempts at an event.
        others: what else the variant and the settings say.
    """

    work: str
    load: Load
    workers: int
    per_second: float | None
    hot_share: float
    failure_rate: float
    attempts: int
    others: tuple[tuple[str, Value], ...]

    @property
    def plain(self) -> bool:
        """Whether it is the bare work, with neither a hot id nor failures."""
        return not self.hot_share and not self.failure_rate

    def __str__(self) -> str:
        words = [] if self.work == MAIN else [self.work]
        words.append("1 worker" if self.workers == 1 else f"{self.workers} workers")
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
            work=MAIN if run.scenario in SAME_WORK else run.scenario,
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
    groups = by_conditions(runs)
    besides = besides_of(groups)
    for load in Load:
        main = {one for one in groups if one.load is load and one.work not in besides}
        if len(works := sorted({one.work for one in main})) > 1:
            raise UnfitRunsError(
                f"{', '.join(works)} are different work; fit one scenario at a time"
            )
    for work in {one.work for one in groups}:
        others = {one.others for one in groups if one.work == work}
        if len(others) > 1:
            keys = sorted({key for found in others for key, _ in found})
            raise UnfitRunsError(
                f"the runs differ in {', '.join(keys)}, of which no law tells; "
                "fit those of one value at a time"
            )


def besides_of(conditions: Iterable[Conditions]) -> set[str]:
    """Work that is about a hot id or failures, and has to be seen in relation to the main work."""
    found = set(conditions)
    works = {one.work for one in found if not one.plain or one.work in BESIDES} - {MAIN}
    return works if any(one.work not in works and one.load is Load.BULK for one in found) else set()


def to_fit(runs: Iterable[Run], subject: str = PIPELINE) -> list[Run]:
    """Of all the runs of a result, those that a model can be fitted to."""
    fitting = SAME_WORK | BESIDES
    return [run for run in runs if run.subject == subject and run.scenario in fitting]


def kept_up(run: Run) -> bool:
    """Whether an open load was worked off as it came; otherwise its latencies are of a line."""
    if not run.offered_per_second:
        return True
    in_time = run.per_second >= KEPT_UP * run.offered_per_second
    return in_time and run.backlog <= LEFT_OVER * run.sent


def middle(values: Iterable[float]) -> float:
    """The median of repeats."""
    return float(median(values))


def _rank(one: Conditions) -> tuple[str, str, int, float, float, float, str]:
    rate = one.per_second or 0.0
    return (one.load, one.work, one.workers, rate, one.hot_share, one.failure_rate, str(one.others))
