"""Undo: a person takes one event back, and everything it touched is as if it had never come.

One transaction takes the event's temporal row out, folds the rows after it again, corrects
what was derived from all of them, and leaves rows in the ledger that keep the event from
being run again. A dry run is the same transaction, given up at its end. What was done outside
can't be taken back and is listed. Undoing the undo lets the event come as a late one does.
"""

from pipeline.undo.deciding import REASON_CHARACTERS, Redone, Undoing, key_of
from pipeline.undo.report import DocumentChange, Fallen, RowChange, Undone, as_json

__all__ = [
    "REASON_CHARACTERS",
    "DocumentChange",
    "Fallen",
    "Redone",
    "RowChange",
    "Undoing",
    "Undone",
    "as_json",
    "key_of",
]
