"""One round of the sweeper: what it counts, and what it tells while a server is away."""

from typing import Any

from redis.exceptions import ConnectionError as NoRedis

from pipeline.metrics import Counts
from pipeline.metrics.counts import SEPARATOR
from pipeline.sweeping import Sweep
from pipeline.verification import Drift
from workers.metrics import Metrics
from workers.sweeper import go_round

FOUND = Drift("0/2", 30, {"tickets": 2}, 1)


class Here:
    """A leader, a sweeper and a sampler in one, of which a test says how they fare."""

    def __init__(self) -> None:
        self.leading: bool | Exception = True
        self.swept: Sweep | Exception = Sweep(due=3, enqueued=2, deaths=1)

    def leads(self) -> bool:
        """Whether it leads."""
        return _said(self.leading)

    def sweep(self) -> Sweep:
        """What a pass found."""
        return _said(self.swept)

    def look(self) -> Drift:
        """What the last sample found."""
        return FOUND


def _said(told: Any) -> Any:
    if isinstance(told, Exception):
        raise told
    return told


def rounds(here: Any, metrics: Metrics) -> dict[tuple[str, ...], int]:
    """One round, and what it counted."""
    counts = Counts()
    go_round(here, here, here, metrics, counts)
    return {tuple(name.split(SEPARATOR)): n for name, n in counts.take().added.items()}


def test_a_pass_counts_what_it_found() -> None:
    """Itself, what it enqueued, and what workers died of."""
    metrics = Metrics(["tickets"])
    assert rounds(Here(), metrics) == {
        ("pipe_sweeps", "done"): 1,
        ("pipe_batches_enqueued_again",): 2,
        ("pipe_batches_orphaned",): 1,
    }
    assert (metrics.leads, metrics.drift) == (True, FOUND)


def test_who_leads_goes_on_to_tell_while_nobody_can_say_who_does() -> None:
    """Else an outage would silence the one who sees it."""
    here, metrics = Here(), Metrics(["tickets"])
    rounds(here, metrics)
    here.leading = NoRedis("away")
    assert rounds(here, metrics) == {("pipe_sweeps", "failed"): 1}
    assert (metrics.leads, metrics.drift) == (True, FOUND)
    here.leading = False
    assert rounds(here, metrics) == {}
    assert (metrics.leads, metrics.drift) == (False, None)
    here.leading = NoRedis("away")
    rounds(here, metrics)
    assert not metrics.leads


def test_a_pass_that_fails_is_counted_and_hides_nothing() -> None:
    """What the last sample found is still so, as far as anybody knows."""
    here, metrics = Here(), Metrics(["tickets"])
    rounds(here, metrics)
    here.swept = NoRedis("away")
    assert rounds(here, metrics) == {("pipe_sweeps", "failed"): 1}
    assert metrics.drift == FOUND
