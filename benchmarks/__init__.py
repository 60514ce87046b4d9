"""Scenarios, runner and the demo."""
