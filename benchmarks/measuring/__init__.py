"""What is measured while events are worked off: processes, servers, times, and what went wrong."""

from benchmarks.measuring.cost import Meter
from benchmarks.measuring.latency import Commits, Write, began_by_ledger, latency_of
from benchmarks.measuring.usage import Sampler

__all__ = ["Commits", "Meter", "Sampler", "Write", "began_by_ledger", "latency_of"]
