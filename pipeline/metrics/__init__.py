"""What is counted, by name, and the counts of a process until they are sent.

Counts are kept in a process only until it sends something to Redis anyway; they go with that.
So totals survive restarts, kills and commands that end at once, and nobody has to be scraped
in time.
"""

from pipeline.metrics.catalogue import CATALOGUE, Counter, Gauge, Histogram, Metric
from pipeline.metrics.counts import Counts, Exemplar, Taken

__all__ = [
    "CATALOGUE",
    "Counter",
    "Counts",
    "Exemplar",
    "Gauge",
    "Histogram",
    "Metric",
    "Taken",
]
