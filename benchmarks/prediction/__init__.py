"""Predicting throughput, latency and reliability at loads and worker counts not measured."""

from benchmarks.prediction.checking import Check, check, hold_out
from benchmarks.prediction.conditions import UnfitRunsError, to_fit
from benchmarks.prediction.model import Model, Prediction, fit
from benchmarks.prediction.queueing import Arrivals

__all__ = [
    "Arrivals",
    "Check",
    "Model",
    "Prediction",
    "UnfitRunsError",
    "check",
    "fit",
    "hold_out",
    "to_fit",
]
