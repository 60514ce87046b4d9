"""Dead letters: finding them, and what a person decides about them.

A dead letter is an event that a handler has given up on: a ledger row in the state `dead`,
and a pending batch of this one event that is never due. RQ shows it in its registry of
failed jobs and can requeue it for a single attempt; here it gets all its attempts again, or
is discarded for good.
"""

from pipeline.dead_letters.deciding import REASON_CHARACTERS, Decided, Decisions
from pipeline.dead_letters.reading import Inputs, Letter, Page, as_json, find, inputs, tally
from pipeline.store import Place, Tally, Where

__all__ = [
    "REASON_CHARACTERS",
    "Decided",
    "Decisions",
    "Inputs",
    "Letter",
    "Page",
    "Place",
    "Tally",
    "Where",
    "as_json",
    "find",
    "inputs",
    "tally",
]
