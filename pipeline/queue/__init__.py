"""The only door to RQ and Redis. Redis may be wiped at any moment: MongoDB holds all it does."""

from pipeline.queue.heartbeats import Heartbeats
from pipeline.queue.lanes import ENTRY_POINT, JobQueue, connect, fetch
from pipeline.queue.worker import BatchWorker

__all__ = ["ENTRY_POINT", "BatchWorker", "Heartbeats", "JobQueue", "connect", "fetch"]
