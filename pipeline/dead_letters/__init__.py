"""Dead letters: finding them, and what a person decides about them.

A dead letter is an event that a handler has given up on: a ledger row in the state `dead`,
and a pending batch of this one event that is never due. RQ shows it in its registry of
failed jobs and can requeue it for a single attempt; here it gets all its attempts again, or
is discarded for good.

Letters of one cause are a group: the handler, the type of the error and its signature are the
same. Persons say of groups that they look at them, or that nobody needs to.
"""

from pipeline.dead_letters.deciding import REASON_CHARACTERS, Decided, Decisions
from pipeline.dead_letters.groups import (
    MOST_GROUPS,
    Counted,
    Standing,
    Stood,
    counted,
    group_json,
    groups_of,
    standing_of,
    stood,
)
from pipeline.dead_letters.reading import Inputs, Letter, Page, as_json, find, inputs, tally
from pipeline.dead_letters.triage import NOTE_CHARACTERS, Triage, named_group
from pipeline.store import Group, Place, Said, Stance, Tally, Where

__all__ = [
    "MOST_GROUPS",
    "NOTE_CHARACTERS",
    "REASON_CHARACTERS",
    "Counted",
    "Decided",
    "Decisions",
    "Group",
    "Inputs",
    "Letter",
    "Page",
    "Place",
    "Said",
    "Stance",
    "Standing",
    "Stood",
    "Tally",
    "Triage",
    "Where",
    "as_json",
    "counted",
    "find",
    "group_json",
    "groups_of",
    "inputs",
    "named_group",
    "standing_of",
    "stood",
    "tally",
]
