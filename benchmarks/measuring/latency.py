"""How long events took, from when they were due until their last commit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Any, Final

from pymongo.database import Database
from pymongo.read_concern import ReadConcern

from benchmarks.results import Latency, Percentiles
from pipeline.store import Store
from pipeline.tables import CODEC, Document

AT_ONCE: Final = 1_000


Write = dict[str, Any]
"""A write as the operation log has it: its `ns`, its `o`, and an update's `o2`."""


def event_of_row(write: Write) -> str:
    """The event of a ledger row that was written."""
    event: str = (write.get("o2") or write["o"])["_id"].rpartition("|")[0]
    return event


class Commits:
    """When the last write about each event was committed, by MongoDB's own clock.

    What a process notes before it writes is no commit. The operation log tells the time of the
    commit, and is read when all is over: following it meanwhile would slow down what is
    measured.

    Args:
        database: of the run; known from here on.
        table: whose writes tell of events.
        event_of: the key of the event that a write tells of; None where it tells of none.
    """

    def __init__(
        self,
        database: Database[Document],
        table: str = "ledger",
        event_of: Callable[[Write], str | None] = event_of_row,
    ) -> None:
        self._client = database.client
        self._namespace = f"{database.name}.{table}"
        self._event_of = event_of
        self._since = self._client.admin.command("ping")["operationTime"]

    def last(self) -> dict[str, datetime]:
        """By event key, when the last write that tells of it was committed."""
        last: dict[str, datetime] = {}
        # By itself, or one of a transaction.
        ours = [{"ns": self._namespace}, {"o.applyOps.ns": self._namespace}]
        fields = {"wall": 1, "ns": 1, "o": 1, "o2": 1}
        local = self._client.get_database(
            "local", codec_options=CODEC, read_concern=ReadConcern("majority")
        )
        with self._client.start_session() as session:
            # The log shows a commit a moment later than the collection does.
            session.advance_operation_time(self._client.admin.command("ping")["operationTime"])
            wanted = {"ts": {"$gt": self._since}, "$or": ours}
            for entry in local["oplog.rs"].find(wanted, fields, session=session):
                for write in entry["o"].get("applyOps", [entry]):
                    event = self._event_of(write) if write["ns"] == self._namespace else None
                    if event is not None:
                        last[event] = max(entry["wall"], last.get(event, entry["wall"]))
        return last


def latency_of(
    due: Mapping[str, datetime],
    began: Mapping[str, datetime],
    committed: Mapping[str, datetime],
) -> Latency | None:
    """The distribution of times of those events that were committed; None where none was.

    Args:
        due: by event key, when it was to be sent.
        began: by event key, when somebody began to work on it, where that is known.
        committed: by event key, when the last write about it was.
    """
    seen = [event for event in due if event in committed]
    if not seen:
        return None
    known = [event for event in seen if event in began]
    return Latency(
        wait=_distribution([_ms(due[event], began[event]) for event in known]),
        run=_distribution([_ms(began[event], committed[event]) for event in known]),
        end_to_end=percentiles_of([_ms(due[event], committed[event]) for event in seen]),
    )


def began_by_ledger(store: Store, events: Iterable[str]) -> dict[str, datetime]:
    """By event key, when the first of its handlers began to read."""
    began: dict[str, datetime] = {}
    remaining = iter(events)
    while some := list(islice(remaining, AT_ONCE)):
        rows = store.records.ledger.of_events(some)
        runs = store.records.batches.runs({row.job for row in rows})
        for row in rows:
            run = runs.get(row.job)
            if run is not None:
                began[row.event] = min(run.read_at, began.get(row.event, run.read_at))
    return began


def _ms(begun: datetime, ended: datetime) -> float:
    # Two clocks of one machine, one of which counts whole milliseconds.
    return max(0.0, (ended - begun).total_seconds() * 1000)


def _distribution(times: Sequence[float]) -> Percentiles | None:
    return percentiles_of(times) if times else None


def percentiles_of(times: Iterable[float]) -> Percentiles:
    """The distribution of times in milliseconds; exact, since all of them are at hand.

    Raises:
        ValueError: there are none.
    """
    ranked = sorted(times)
    if not ranked:
        raise ValueError("no times")

    def at(share: float) -> float:
        return round(ranked[min(len(ranked) - 1, int(share * len(ranked)))], 2)

    return Percentiles(
        count=len(ranked),
        mean=round(sum(ranked) / len(ranked), 2),
        p50=at(0.5),
        p90=at(0.9),
        p95=at(0.95),
        p99=at(0.99),
        p999=at(0.999),
        max=round(ranked[-1], 2),
    )
