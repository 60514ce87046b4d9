"""What Prometheus is told."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from pipeline.errors import Unavailable
from pipeline.verification import Drift


class Metrics(Collector):
    """Gauges of the background verification.

    Args:
        tables: every table that may have drifted.
    """

    def __init__(self, tables: Sequence[str]) -> None:
        self._tables = [*tables, "ledger"]
        self._told: Drift | None = None
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def serve(self, host: str, port: int) -> None:
        """Serve them from a thread of their own.

        Raises:
            Unavailable: the port is taken.
        """
        try:
            start_http_server(port, host, registry=self._registry)
        except OSError as error:
            raise Unavailable(
                f"metrics can't be served on {host}:{port}: {error.strerror}; "
                f"set PIPELINE_METRICS_PORT to a free port, or to 0 for none"
            ) from None

    def tell(self, drift: Drift | None) -> None:
        """Show what the last sample has found; None where that is not known, or for others to say.

        A gauge of which nothing is known is not there: an old value would stand beside that of
        the sweeper that leads now.
        """
        self._told = drift

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """What is asked for by Prometheus, in a thread of its own."""
        drift = self._told
        if drift is None:
            return
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
