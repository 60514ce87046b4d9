"""The second way to the same tables: one event after the other, in memory.

`replay` makes the tables, `compare` holds them against those of a live run, and `audit`
checks the live run's ledger. Nothing here knows batches, transactions, retries or MongoDB,
so what the live run and this agree on is no fault of the machinery.
"""

from pipeline.replay.auditing import Audit, audit
from pipeline.replay.comparing import Difference, Differences, Kind, compare
from pipeline.replay.replaying import replay
from pipeline.replay.tables import Failure, Tables
from pipeline.replay.values import ABSENT, WRITTEN_WHOLE, added_up, alike

__all__ = [
    "ABSENT",
    "WRITTEN_WHOLE",
    "Audit",
    "Difference",
    "Differences",
    "Failure",
    "Kind",
    "Tables",
    "added_up",
    "alike",
    "audit",
    "compare",
    "replay",
]
