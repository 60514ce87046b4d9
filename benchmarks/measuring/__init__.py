"""What is measured while events are worked off: processes, servers, times, and what went wrong."""

from benchmarks.measuring.cost import Meter
from benchmarks.measuring.latency import Commits, latency_of
from benchmarks.measuring.usage import Sampler

__all__ = ["Commits", "Meter", "Sampler", "latency_of"]
