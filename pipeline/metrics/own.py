"""What each process tells of itself, and how metrics are served."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import Final

from prometheus_client import CollectorRegistry, ProcessCollector, start_http_server
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from pipeline.errors import Unavailable

PACKAGE: Final = "event-pipeline"


class Build(Collector):
    """That a process of this role and version is there."""

    def __init__(self, role: str) -> None:
        self._role = role
        try:
            self._version = version(PACKAGE)
        except PackageNotFoundError:  # run from its sources
            self._version = "unknown"

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Always 1."""
        family = GaugeMetricFamily(
            "pipe_build_info",
            "1 for each process that is there, with its role and version.",
            labels=["role", "version"],
        )
        family.add_metric([self._role, self._version], 1)
        yield family


def own_registry(role: str, *collectors: Collector) -> CollectorRegistry:
    """A registry of what a process is (build, CPU, memory, files), and of these collectors.

    Args:
        role: worker, sweeper, up or console; never a name of one process.
        collectors: what it tells besides.
    """
    registry = CollectorRegistry()
    for collector in (Build(role), *collectors):
        registry.register(collector)
    ProcessCollector(registry=registry)
    return registry


def serve(registry: CollectorRegistry, host: str, port: int) -> None:
    """Serve a registry at `/metrics` from a thread of its own; not at all where the port is 0.

    Raises:
        Unavailable: the port is taken.
    """
    if not port:
        return
    try:
        start_http_server(port, host, registry=registry)
    except OSError as error:
        raise Unavailable(
            f"metrics can't be served on {host}:{port}: {error.strerror}; "
            f"set PIPELINE_METRICS_PORT to a free port, or to 0 for none"
        ) from None
