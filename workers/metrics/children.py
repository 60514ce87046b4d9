"""What `up` tells of the processes it keeps running."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from workers.supervision import Phase
from workers.supervisor import ChildView


class Children(Collector):
    """Processes by phase; a crash loop is told apart.

    Args:
        children: how each stands now.
    """

    def __init__(self, children: Callable[[], Sequence[ChildView]]) -> None:
        self._children = children

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """What is asked for by Prometheus, in a thread of its own."""
        found = self._children()
        family = GaugeMetricFamily(
            "pipe_processes", "Supervised processes, by phase.", labels=["phase"]
        )
        counted = Counter(child.phase for child in found)
        for phase in Phase:
            family.add_metric([phase.value], counted[phase])
        yield family
        yield GaugeMetricFamily(
            "pipe_processes_crash_looping",
            "Supervised processes that fail again and again, soon after their start.",
            value=sum(child.looping for child in found),
        )
