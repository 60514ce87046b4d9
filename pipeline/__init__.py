"""A framework for syncing external systems into MongoDB; it knows no business.

What a handler module needs is here; processes use the modules below.
"""

from pipeline.backoff import Backoff
from pipeline.control import Cancel, Retry, Snooze
from pipeline.declarations import action, effect, observer
from pipeline.event import Event
from pipeline.state import Change, State
from pipeline.updates import Update, add_to_set, inc, maximum, minimum, set_on_insert

__all__ = [
    "Backoff",
    "Cancel",
    "Change",
    "Event",
    "Retry",
    "Snooze",
    "State",
    "Update",
    "action",
    "add_to_set",
    "effect",
    "inc",
    "maximum",
    "minimum",
    "observer",
    "set_on_insert",
]
