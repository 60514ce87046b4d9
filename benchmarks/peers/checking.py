"""Whether a subject did the work: its tables against what the events come to, counted anew.

The rules are written a third time here, over the events as they were sent, in no words of any
subject. All subjects keep appointments, changes and counts under the same names; what more
they keep is their own affair. An appointment must come to each status once, as flights do:
subjects differ in what a second time counts for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from pymongo.database import Database

from benchmarks.results import Reliability
from pipeline import Event

Document = dict[str, Any]

SHOWN: Final = 10
NAMES: Final = {"cancelled": "canceled", "created": "scheduled"}


@dataclass
class Checked:
    """What was found.

    Attributes:
        lost: events without their whole effect.
        doubled: events with some of it more than once.
        wrong: appointments that are not what they must be, and events that were never sent.
        faults: sentences on what differs, the first ones.
    """

    lost: int = 0
    doubled: int = 0
    wrong: int = 0
    faults: list[str] = field(default_factory=list)

    @property
    def right(self) -> bool:
        """Whether everything is as it must be."""
        return not (self.lost or self.doubled or self.wrong or self.faults)

    @property
    def reliability(self) -> Reliability:
        """As it is kept in a result."""
        return Reliability(lost=self.lost, doubled=self.doubled, wrong=self.wrong)

    def differs(self, fault: str) -> None:
        """Note what differs, unless enough is noted already."""
        if len(self.faults) < SHOWN:
            self.faults.append(fault)


def check(database: Database[Document], events: Sequence[Event]) -> Checked:
    """Compare what a subject has kept with what the events come to.

    Args:
        database: the subject's, whose moments come back aware.
        events: all that were sent, each once.
    """
    checked = Checked()
    _check_each(database, events, checked)
    _check_appointments(database, events, checked)
    _check_counts(database, events, checked)
    return checked


def _check_each(database: Database[Document], events: Sequence[Event], checked: Checked) -> None:
    """Every event is stored and has changed its appointment, once."""
    stored = {document["_id"] for document in database["events"].find({}, {"_id": 1})}
    rows = database["rs_appointment_changes"].find({}, {"event": 1})
    changes = Counter(row["event"] for row in rows)
    wanted = {event.key for event in events}
    gone = {key for key in wanted if key not in stored or not changes[key]}
    twice = {key for key, times in changes.items() if times > 1}
    checked.lost += len(gone)
    checked.doubled += len(twice)
    for key in sorted(gone):
        checked.differs(f"{key} is not stored, or has no change row")
    for key in sorted(twice):
        checked.differs(f"{key} has {changes[key]} change rows")
    strangers = (stored | changes.keys()) - wanted
    checked.wrong += len(strangers)
    for key in sorted(strangers):
        checked.differs(f"{key} was never sent")


def _check_appointments(
    database: Database[Document], events: Iterable[Event], checked: Checked
) -> None:
    wanted = _appointments(events)
    found = {document["_id"]: document for document in database["rs_appointments"].find()}
    for key in sorted(wanted.keys() | found.keys()):
        told = {name: (found.get(key) or {}).get(name) for name in _FIELDS}
        meant = wanted.get(key)
        if meant is None or told != meant:
            checked.wrong += 1
            checked.differs(f"appointment {key} is {told}, and must be {meant}")


_FIELDS: Final = ("status", "lead", "channel", "starts_at")


def _appointments(events: Iterable[Event]) -> dict[str, Document]:
    """Each appointment as it stands after its events, in the order of their times."""
    found: dict[str, Document] = {}
    for event in sorted(events, key=lambda event: event.occurred_at):
        document = found.setdefault(
            f"{event.tenant}:{event.entity_id}", dict.fromkeys(_FIELDS, None)
        )
        for name in ("lead", "channel"):
            document[name] = event.payload.get(name, document[name])
        starts_at = event.payload.get("starts_at")
        if starts_at is not None:
            document["starts_at"] = datetime.fromisoformat(starts_at)
        document["status"] = _status(event)
    return found


def _check_counts(database: Database[Document], events: Iterable[Event], checked: Checked) -> None:
    """What was counted adds up, for each lead, channel and outcome."""
    wanted = Counter(
        (event.tenant, event.payload["lead"], event.payload["channel"], _status(event))
        for event in events
    )
    found: Counter[tuple[str, str, str, str]] = Counter()
    for document in database["rs_lead_global_conversions"].find():
        for outcome, count in document["outcomes"].items():
            group = (document["tenant"], document["lead"], document["channel"], outcome)
            found[group] += count
    # An event that has left nothing at all is lost once, not once more for its count.
    missing = sum((wanted - found).values())
    checked.lost = max(checked.lost, missing)
    checked.doubled += sum((found - wanted).values())
    for group in sorted(wanted.keys() | found.keys()):
        if wanted[group] != found[group]:
            name = "/".join(group)
            checked.differs(f"{name} was counted {found[group]} times, not {wanted[group]}")


def _status(event: Event) -> str:
    word = event.type.split(".")[-1]
    return NAMES.get(word, word)
