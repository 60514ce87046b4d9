"""Predicting throughput, latency and reliability at loads and worker counts not measured."""
