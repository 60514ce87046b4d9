"""What the sweeper that leads tells; the others tell nothing but of themselves.

Were the same totals told by several processes, a sum over them would be a multiple.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.core import Metric as Family
from prometheus_client.registry import Collector

from pipeline.verification import Drift


def nothing() -> Iterable[Family]:
    """Tell nothing."""
    return ()


class Metrics(Collector):
    """What the pipeline as a whole has counted, and gauges of the background verification.

    Args:
        tables: every table that may have drifted.
        shared: tells the rest while we lead.

    Attributes:
        leads: whether we lead, as far as we know.
        drift: what was told last.
    """

    def __init__(
        self, tables: Sequence[str], shared: Callable[[], Iterable[Family]] = nothing
    ) -> None:
        self.leads = False
        self._tables = [*tables, "ledger"]
        self._shared = shared
        self.drift: Drift | None = None

    def tell(self, drift: Drift | None, *, leads: bool) -> None:
        """Show what the last sample has found; None where that is not known, or for others to say.

        A gauge of which nothing is known is not there: an old value would stand beside that of
        the sweeper that leads now.
        """
        self.drift, self.leads = drift, leads

    def describe(self) -> Iterator[Family]:
        """Nothing: a registry would else ask for all of it when it is made."""
        yield from ()

    def collect(self) -> Iterator[Family]:
        """What is asked for by Prometheus, in a thread of its own."""
        if not self.leads:
            return
        yield from self._shared()
        drift = self.drift
        if drift is not None:
            yield from self._drift(drift)

    def _drift(self, drift: Drift) -> Iterator[Family]:
        wrong = GaugeMetricFamily(
            "pipe_drift_documents",
            "Documents found wrong by the last background verification, by table.",
            labels=["table"],
        )
        for table in self._tables:
            wrong.add_metric([table], drift.wrong.get(table, 0))
        yield wrong
        yield GaugeMetricFamily(
            "pipe_drift_unknown",
            "Things of which the last background verification could not tell if they are right.",
            value=drift.unknown,
        )
        yield GaugeMetricFamily(
            "pipe_drift_sampled_documents",
            "Documents and temporal rows that the last background verification looked at.",
            value=drift.documents,
        )
        if drift.ended_at is not None:
            yield GaugeMetricFamily(
                "pipe_drift_last_sample_timestamp_seconds",
                "When the last background verification was done.",
                value=drift.ended_at.timestamp(),
            )
