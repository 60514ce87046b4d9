"""What Prometheus is told."""

from __future__ import annotations

from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Gauge, start_http_server

from pipeline.errors import Unavailable
from pipeline.verification import Drift


class Metrics:
    """Gauges of the background verification.

    Args:
        tables: every table that may have drifted.
    """

    def __init__(self, tables: Sequence[str]) -> None:
        self._registry = CollectorRegistry()
        self._tables = [*tables, "ledger"]
        self._drift = Gauge(
            "pipe_drift_documents",
            "Documents found wrong by the last background verification, by table.",
            ["table"],
            registry=self._registry,
        )
        self._unknown = Gauge(
            "pipe_drift_unknown",
            "Things of which the last background verification could not tell if they are right.",
            registry=self._registry,
        )
        self._sampled = Gauge(
            "pipe_drift_sampled_documents",
            "Documents and temporal rows that the last background verification looked at.",
            registry=self._registry,
        )

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
        """Show what the last sample has found; nothing before there is one."""
        if drift is None:
            return
        for table in self._tables:
            self._drift.labels(table).set(drift.wrong.get(table, 0))
        self._unknown.set(drift.unknown)
        self._sampled.set(drift.documents)
