"""Tests: unit, contract, integration, faults, acceptance."""
