"""Faults on real processes and servers."""
