"""What a verification finds, as values."""

from __future__ import annotations

from typing import Any, NamedTuple

from pipeline.replay import Difference


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
