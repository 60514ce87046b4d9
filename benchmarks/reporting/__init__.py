"""The report of a result: one HTML page that is read before anything else is."""

from benchmarks.reporting.page import page
from benchmarks.reporting.words import Compared

__all__ = ["Compared", "page"]
