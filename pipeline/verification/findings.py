"""What a verification finds, as values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import bson
from bson.errors import BSONError

from pipeline.replay import ABSENT, Difference, Kind
from pipeline.tables import CODEC

MOST_BYTES: Final = 1_000
"""Of one value in a finding that is kept: a unit may have 10,000 findings, of anything."""
SHOWN: Final = 200
"""Characters of a longer one that are kept."""


class Unknown(NamedTuple):
    """Something of which can't be told whether it is right, and is not taken to be.

    Attributes:
        table: the table's name.
        id: the document's.
        why: one sentence.
    """

    table: str
    id: Any
    why: str

    def __str__(self) -> str:
        return f"{self.table}[{self.id}]: can't tell: {self.why}"


Finding = Difference | Unknown


def stored_finding(finding: Finding) -> dict[str, Any]:
    """A finding as it is kept; what is absent is left out, and what is long is cut."""
    said: dict[str, Any] = {"table": finding.table, "id": cut(finding.id)}
    if isinstance(finding, Unknown):
        return said | {"why": finding.why}
    values = {"expected": finding.expected, "actual": finding.actual}
    there = {name: cut(value) for name, value in values.items() if value is not ABSENT}
    return said | {"kind": finding.kind.value, "path": cut(finding.path), **there}


def cut(value: Any) -> Any:
    """The value; its beginning as text, and its size, where it is long or can't be stored."""
    try:
        size = len(bson.encode({"": value}, codec_options=CODEC))
    except (BSONError, OverflowError) as error:
        return f"{str(value)[:SHOWN]}... (cut: {error})"
    if size <= MOST_BYTES:
        return value
    return f"{str(value)[:SHOWN]}... (cut: {size:,} bytes)"


def finding_of(stored: Mapping[str, Any]) -> Finding:
    """The finding that was kept so."""
    if "why" in stored:
        return Unknown(stored["table"], stored["id"], stored["why"])
    return Difference(
        stored["table"],
        stored["id"],
        Kind(stored["kind"]),
        stored["path"],
        stored.get("expected", ABSENT),
        stored.get("actual", ABSENT),
    )
