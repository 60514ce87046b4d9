"""A handler that waits in the middle of its work, for as long as a file is there."""

import os
import time
from pathlib import Path
from typing import Final

from pipeline import Event, State, action

HOLD: Final = "PIPELINE_TEST_HOLD"
"""Names the file; next to it stands `<file>.seen` once the handler is waiting."""


class Note(State):
    """The last word, and all of them."""

    last: str = ""
    seen: tuple[str, ...] = ()


@action("notes.apply", on="note.*", table="notes", key="{tenant}:{entity_id}")
def apply_note(state: Note | None, event: Event) -> Note:
    """The event's id is the last word."""
    hold = os.environ.get(HOLD)
    if hold and event.payload.get("hold"):
        Path(f"{hold}.seen").touch()
        while Path(hold).exists():
            time.sleep(0.01)
    seen = (*(state.seen if state else ()), event.event_id)
    return Note(last=event.event_id, seen=seen)
