"""Predicting throughput, latency and reliability at loads and worker counts not measured."""

from benchmarks.prediction.checking import Accuracy, Check, accuracy, check, hold_out
from benchmarks.prediction.conditions import UnfitRunsError, to_fit
from benchmarks.prediction.model import Model, Prediction, fit
from benchmarks.prediction.queueing import Arrivals

__all__ = [
    "Accuracy",
    "Arrivals",
    "Check",
    "Model",
    "Prediction",
    "UnfitRunsError",
    "accuracy",
    "check",
    "fit",
    "hold_out",
    "to_fit",
]
