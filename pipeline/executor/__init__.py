"""Running one handler on one batch of events, in one transaction."""

from pipeline.executor.executor import Executor
from pipeline.executor.outcome import Failure, Outcome
from pipeline.executor.rescue import Rescuer
from pipeline.executor.steps import Step
from pipeline.executor.turns import Turns

__all__ = ["Executor", "Failure", "Outcome", "Rescuer", "Step", "Turns"]
