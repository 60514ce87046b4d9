"""Decisions about many dead letters: planned, confirmed, run at a bounded rate, and stopped.

A plan counts and shows what a filter means and changes nothing. It is started once; a process
then goes through the letters, those that died first before others, and never takes one that
died after the plan was made.
"""

from pipeline.operations.planning import (
    CONFIRMED_FROM,
    MOST_RATE,
    Plan,
    Planner,
    operation_json,
    plan_json,
    where_of,
)
from pipeline.operations.running import LOST_SECONDS, Runner, cut_off

__all__ = [
    "CONFIRMED_FROM",
    "LOST_SECONDS",
    "MOST_RATE",
    "Plan",
    "Planner",
    "Runner",
    "cut_off",
    "operation_json",
    "plan_json",
    "where_of",
]
