"""How long events took, from when they were due until their last commit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Final

from pymongo.database import Database

from benchmarks.results import Latency, Percentiles
from pipeline.store import Store
from pipeline.tables import CODEC, Document

AT_ONCE: Final = 1_000


class Commits:
    """When the last write about each event was committed, by MongoDB's own clock.

    What a process notes before it writes is no commit. The operation log tells the time of the
    commit, and is read when all is over: following it meanwhile would slow down what is
    measured.

    Args:
        database: of the run; known from here on.
        table: whose documents begin with an event's key.
    """

    def __init__(self, database: Database[Document], table: str = "ledger") -> None:
        self._client = database.client
        self._namespace = f"{database.name}.{table}"
        self._since = self._client.admin.command("ping")["operationTime"]

    def last(self) -> dict[str, datetime]:
        """By event key, when its last row was committed."""
        log = self._client.get_database("local", codec_options=CODEC)["oplog.rs"]
        last: dict[str, datetime] = {}
        written = {"ts": {"$gt": self._since}, "o.applyOps.ns": self._namespace}
        for entry in log.find(written, {"wall": 1, "o.applyOps": 1}):
            for change in entry["o"]["applyOps"]:
                if change["ns"] == self._namespace:
                    event = change["o"]["_id"].rpartition("|")[0]
                    last[event] = max(entry["wall"], last.get(event, entry["wall"]))
        return last


def latency_of(
    store: Store, due: Mapping[str, datetime], committed: Mapping[str, datetime]
) -> Latency | None:
    """The distribution of times of those events that were committed; None where none was.

    Args:
        store: tells when the first handler of each event began to read.
        due: by event key, when it was to be sent.
        committed: by event key, when its last row was.
    """
    seen = [event for event in due if event in committed]
    if not seen:
        return None
    began = _began(store, seen)
    known = [event for event in seen if event in began]
    return Latency(
        wait=_distribution([_ms(due[event], began[event]) for event in known]),
        run=_distribution([_ms(began[event], committed[event]) for event in known]),
        end_to_end=percentiles_of([_ms(due[event], committed[event]) for event in seen]),
    )


def _began(store: Store, events: Sequence[str]) -> dict[str, datetime]:
    """By event, when the first of its handlers began to read."""
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
