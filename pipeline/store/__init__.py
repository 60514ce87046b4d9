"""The only door to MongoDB: one module a collection, every operation a named function.

Each operation's docstring says what it matches, what it changes, and who wins a race. All
of them take part in the transaction of the `Records` they were reached through.
"""

from pipeline.store.audit import Note
from pipeline.store.batches import Batch, RunRecord
from pipeline.store.client import Records, Store, connect
from pipeline.store.commands import Outdated, Taken
from pipeline.store.event_rows import EventRecord, Voided
from pipeline.store.ledger import LedgerRow, LedgerState
from pipeline.store.marks import Among, Spot
from pipeline.store.operations import Operation, Phase
from pipeline.store.stances import Said, Stance
from pipeline.store.trouble import Cell, Group, Place, Tally, Where

__all__ = [
    "Among",
    "Batch",
    "Cell",
    "EventRecord",
    "Group",
    "LedgerRow",
    "LedgerState",
    "Note",
    "Operation",
    "Outdated",
    "Phase",
    "Place",
    "Records",
    "RunRecord",
    "Said",
    "Spot",
    "Stance",
    "Store",
    "Taken",
    "Tally",
    "Voided",
    "Where",
    "connect",
]
