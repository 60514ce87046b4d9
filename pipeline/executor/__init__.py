"""Running one handler on one batch of events, in one transaction."""

from pipeline.executor.executor import Executor
from pipeline.executor.outcome import Failure, Outcome
from pipeline.executor.rescue import rescue
from pipeline.executor.steps import Step

__all__ = ["Executor", "Failure", "Outcome", "Step", "rescue"]
