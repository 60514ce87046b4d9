"""Slots: entities spread evenly by a hash of their id, to split a pass over all of them.

An event is stored with its entity's slot, so a part of all entities is a range of an index.
"""

from __future__ import annotations

import re
import zlib
from typing import Final, NamedTuple, Self

from pipeline.errors import PipelineError

SLOTS: Final = 65_536
_PART: Final = re.compile(r"(\d{1,5})/(\d{1,5})")


def slot_of(tenant: str, entity_id: str) -> int:
    """The slot of an entity, 0 to 65,535: the low half of the CRC-32 of `tenant:entity_id`."""
    return zlib.crc32(f"{tenant}:{entity_id}".encode()) & (SLOTS - 1)


class Part(NamedTuple):
    """One of several parts of all entities, by their slots.

    Attributes:
        number: which of them, from 0.
        of: how many there are, 1 to 65,536.
    """

    number: int
    of: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """The part that is written as `3/16`.

        Raises:
            PipelineError: it is not written so, or there is no such part.
        """
        found = _PART.fullmatch(text)
        number, of = (int(found[1]), int(found[2])) if found else (0, 0)
        if not 0 <= number < of <= SLOTS:
            raise PipelineError(f"{text!r} is no part; write 0/16 to 15/16 for sixteen parts")
        return cls(number, of)

    @property
    def slots(self) -> range:
        """The slots of this part; the parts of a number of parts hold every slot once."""
        return range(self.number * SLOTS // self.of, (self.number + 1) * SLOTS // self.of)

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"
