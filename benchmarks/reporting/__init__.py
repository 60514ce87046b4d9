"""The report of a result: one HTML page that is read before anything else is."""

from benchmarks.reporting.page import page

__all__ = ["page"]
