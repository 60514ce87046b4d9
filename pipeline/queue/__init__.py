"""The only door to RQ and Redis. Redis may be wiped at any moment: MongoDB holds all it does."""

from pipeline.queue.heartbeats import Heartbeats
from pipeline.queue.jobs import ENTRY_POINT, Report, Shelved
from pipeline.queue.lanes import JobQueue, Started, connect
from pipeline.queue.readings import RINGS, Readings, Ring
from pipeline.queue.standing import Standing, standing
from pipeline.queue.traffic import Traffic
from pipeline.queue.worker import BatchWorker

__all__ = [
    "ENTRY_POINT",
    "RINGS",
    "BatchWorker",
    "Heartbeats",
    "JobQueue",
    "Readings",
    "Report",
    "Ring",
    "Shelved",
    "Standing",
    "Started",
    "Traffic",
    "connect",
    "standing",
]
