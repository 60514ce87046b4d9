"""Running one handler on one batch of events, in one transaction."""

from pipeline.executor.executor import Executor, Outcome

__all__ = ["Executor", "Outcome"]
