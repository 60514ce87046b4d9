"""What Prometheus is told of the whole pipeline, by the sweeper that leads, and of processes."""

from workers.metrics.children import Children
from workers.metrics.drifting import Metrics
from workers.metrics.shared import Shared

__all__ = ["Children", "Metrics", "Shared"]
