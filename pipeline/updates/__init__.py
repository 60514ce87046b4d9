"""Updates as values: what a handler says, MongoDB does and memory repeats.

An `Update` can be sent to MongoDB, applied to a dict, merged with another, subtracted from
another, kept in a ledger row and read by a person. In memory it means exactly what it means
in MongoDB; a property test holds the two together.
"""

from __future__ import annotations

from pipeline.updates.building import add_to_set, assign, inc, maximum, minimum, set_on_insert
from pipeline.updates.joining import Joined
from pipeline.updates.update import Correction, Update

__all__ = [
    "Correction",
    "Joined",
    "Update",
    "add_to_set",
    "assign",
    "inc",
    "maximum",
    "minimum",
    "set_on_insert",
]
