"""Processes: the only place that wires clients, settings and handlers together."""
