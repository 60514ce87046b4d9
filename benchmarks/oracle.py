"""An independent recalculation: what the tables must hold, from the raw file with pandas.

Nothing of the pipeline, of its handlers or of the event generator is used here: the rules
are written a second time, over columns instead of events. A fault on either side shows as
a difference.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import pandas as pd
from bson.codec_options import CodecOptions
from pymongo.database import Database

Document = dict[str, Any]
Flat = dict[str, Any]
Progress = Callable[[int], None]

CHUNK: Final = 5_000
SHOWN: Final = 20
# Moments are compared without a zone: everything is UTC on both sides.
NAIVE: Final[CodecOptions[Document]] = CodecOptions(document_class=dict, tz_aware=False)
ORDER: Final = {"scheduled": 0, "departed": 1, "canceled": 1, "arrived": 2}


class Expected:
    """The expected tables, by name: documents as flat columns, in the order of `_id`."""

    def __init__(self, tables: dict[str, pd.DataFrame]) -> None:
        self.tables = {
            name: table.sort_values("_id", ignore_index=True) for name, table in tables.items()
        }

    def __len__(self) -> int:
        """How many documents, in all tables."""
        return sum(map(len, self.tables.values()))

    def documents(self, table: str) -> Iterator[Flat]:
        """The documents of one table, some thousands made at a time."""
        frame = self.tables[table]
        for start in range(0, len(frame), CHUNK):
            part = frame.iloc[start : start + CHUNK].astype(object)
            for record in part.where(part.notna(), None).to_dict("records"):
                yield _without_nothing(record)


def expected_tables(path: Path, flights: int | None = None) -> Expected:
    """The tables that the first flights of the file must come to."""
    rows = _rows(_flights(path, flights))
    return Expected(
        {
            "rs_appointments": _appointments(rows),
            "rs_appointment_changes": _changes(rows),
            "rs_lead_global_conversions": _conversions(rows),
            "rs_tenant_totals": _totals(rows),
        }
    )


def differences(
    database: Database[Document],
    expected: Expected,
    *,
    limit: int = SHOWN,
    progress: Progress = lambda _compared: None,
) -> list[str]:
    """Compare every document of the four tables, both ways; say what differs.

    Args:
        database: of the run.
        expected: what it must hold.
        limit: most sentences; one more says that there are more.
        progress: told how many documents were compared since it was last told.
    """
    found: list[str] = []
    for table in expected.tables:
        for fault in _compared(database, table, expected.documents(table), progress):
            if len(found) == limit:
                return [*found, "... and more"]
            found.append(f"{table}: {fault}")
    return found


def _flights(path: Path, flights: int | None) -> pd.DataFrame:
    """The flights with what all tables need, one row each."""
    raw = pd.read_csv(path, nrows=flights, dtype={"flight": str})
    hour = pd.to_datetime(raw["time_hour"], utc=True).dt.tz_localize(None)
    start = hour + pd.to_timedelta(raw["minute"], unit="min")
    left = start + pd.to_timedelta(raw["dep_delay"], unit="min")
    number = raw["carrier"] + raw["flight"] + "-" + raw["origin"]
    day = pd.to_datetime(raw[["year", "month", "day"]])
    return pd.DataFrame(
        {
            "tenant": raw["carrier"],
            "lead": raw["dest"],
            "channel": raw["origin"],
            "key": raw["carrier"] + ":" + day.dt.strftime("%Y-%m-%d") + "-" + number,
            "fact": number + day.dt.strftime("-%Y%m%d-"),
            "starts_at": start,
            "scheduled": hour - pd.to_timedelta(raw["hour"], unit="h"),
            "departed": left.where(raw["dep_time"].notna()),
            "canceled": start.where(raw["dep_time"].isna()),
            "arrived": left + pd.to_timedelta(raw["air_time"], unit="min"),
        }
    )


def _rows(flights: pd.DataFrame) -> pd.DataFrame:
    """One row for each thing that happened, in the order of each flight's times."""
    rows = flights.melt(
        id_vars=["tenant", "lead", "channel", "key", "fact", "starts_at"],
        value_vars=list(ORDER),
        var_name="status",
        value_name="at",
    ).dropna(subset=["at"])
    rows["seq"] = rows["status"].map(ORDER)
    rows = rows.sort_values(["key", "at", "seq"], ignore_index=True)
    rows["event"] = rows["fact"] + rows["seq"].astype(str) + "@" + rows["tenant"] + "/airline"
    chains = rows.groupby("key", sort=False)
    rows["prev"] = chains["event"].shift(1)
    rows["before"] = chains["status"].shift(1)
    rows["until"] = chains["at"].shift(-1)
    return rows


def _appointments(rows: pd.DataFrame) -> pd.DataFrame:
    last = rows[rows["until"].isna()]
    return last[["key", "status", "lead", "channel", "starts_at"]].rename(columns={"key": "_id"})


def _changes(rows: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "_id": rows["key"] + "|" + rows["event"],
            "key": rows["key"],
            "event": rows["event"],
            "prev": rows["prev"],
            "valid_from": rows["at"],
            "valid_to": rows["until"],
            "state.status": rows["status"],
            "state.lead": rows["lead"],
            "state.channel": rows["channel"],
            "state.starts_at": rows["starts_at"],
            "changed.status": rows["before"],
        }
    )


def _conversions(rows: pd.DataFrame) -> pd.DataFrame:
    by = ["tenant", "lead", "channel"]
    counts = _counted(rows, by, "outcomes")
    times = rows.groupby(by)["at"].agg(first_at="min", last_at="max")
    table = counts.join(times).reset_index()
    table["_id"] = table["tenant"] + ":" + table["lead"] + ":" + table["channel"]
    return table


def _totals(rows: pd.DataFrame) -> pd.DataFrame:
    standing = _counted(rows[rows["until"].isna()], ["tenant"], "standing")
    sums = rows.groupby("tenant").agg(appointments=("key", "nunique"), changes=("key", "size"))
    table = standing.join(sums).reset_index()
    table["_id"] = table["tenant"]
    return table


def _counted(rows: pd.DataFrame, by: list[str], name: str) -> pd.DataFrame:
    """How many rows of each status, a column each."""
    table = pd.crosstab([rows[column] for column in by], rows["status"])
    return table.add_prefix(f"{name}.")


def _compared(
    database: Database[Document], table: str, expected: Iterator[Flat], progress: Progress
) -> Iterator[str]:
    """Walk both sides in the order of `_id`, so that neither is ever held whole."""
    wanted, stored = next(expected, None), _stored(database, table, progress)
    for document in stored:
        while wanted is not None and wanted["_id"] < document["_id"]:
            yield f"{wanted['_id']!r} is missing"
            wanted = next(expected, None)
        if wanted is None or document["_id"] < wanted["_id"]:
            yield f"{document['_id']!r} should not be there"
            continue
        if wanted != document:
            yield f"{document['_id']!r}: {_difference(wanted, document)}"
        wanted = next(expected, None)
    while wanted is not None:
        yield f"{wanted['_id']!r} is missing"
        wanted = next(expected, None)


def _stored(database: Database[Document], table: str, progress: Progress) -> Iterator[Flat]:
    """The documents of a table, flat, without the framework's notes on how they came there."""
    collection = database.get_collection(table, codec_options=NAIVE)
    since = 0
    for document in collection.find({}, {"_sync": 0}, batch_size=CHUNK).sort("_id"):
        yield _without_nothing(_flat(_with_events_for_orders(document)))
        since += 1
        if since == CHUNK:
            progress(since)
            since = 0
    progress(since)


def _with_events_for_orders(document: Document) -> Document:
    """A temporal row whose links name events.

    How the framework writes an order is its own affair; which event it ends with is not.
    """
    if "valid_from" in document:
        key, _, order = document["_id"].partition("|")
        document["_id"] = f"{key}|{order.rpartition('~')[2]}"
        if document.get("prev") is not None:
            document["prev"] = document["prev"].rpartition("~")[2]
    return document


def _flat(document: Document) -> Flat:
    flat: Flat = {}
    for name, value in document.items():
        if isinstance(value, dict):
            flat |= {f"{name}.{inner}": held for inner, held in _flat(value).items()}
        else:
            flat[name] = value
    return flat


def _without_nothing(flat: Flat) -> Flat:
    """Without null and zero: a counter at zero, or no end of validity, is as good as absent."""
    return {name: value for name, value in flat.items() if value is not None and value != 0}


def _difference(wanted: Flat, found: Flat) -> str:
    names = [name for name in {**wanted, **found} if wanted.get(name) != found.get(name)]
    return "; ".join(
        f"{name} is {_said(found.get(name))}, expected {_said(wanted.get(name))}"
        for name in sorted(names)
    )


def _said(value: object) -> str:
    if value is None:
        return "nothing"
    return f"{value:%Y-%m-%d %H:%M:%S}" if isinstance(value, datetime) else repr(value)
