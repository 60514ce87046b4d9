"""What each process tells of itself, and how metrics are served."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import Final

from prometheus_client import CollectorRegistry, ProcessCollector, start_http_server
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from pipeline.errors import Unavailable
from pipeline.revision import UNKNOWN, revision_of

PACKAGE: Final = "event-pipeline"


class Build(Collector):
    """That a process of this role, version and revision is there."""

    def __init__(self, role: str, revision: str) -> None:
        self._labels = [role, version_of(), revision_of(revision)]

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Always 1."""
        family = GaugeMetricFamily(
            "pipe_build_info",
            "1 for each process that is there, with its role, version and revision.",
            labels=["role", "version", "revision"],
        )
        family.add_metric(self._labels, 1)
        yield family


def version_of() -> str:
    """The version of the package; `unknown` where its sources are run without it."""
    try:
        return version(PACKAGE)
    except PackageNotFoundError:
        return UNKNOWN


def own_registry(role: str, *collectors: Collector, revision: str = "") -> CollectorRegistry:
    """A registry of what a process is (build, CPU, memory, files), and of these collectors.

    Args:
        role: worker, sweeper, up or console; never a name of one process.
        collectors: what it tells besides.
        revision: as the setting tells it; empty for that of the checkout.
    """
    registry = CollectorRegistry()
    for collector in (Build(role, revision), *collectors):
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
