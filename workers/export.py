"""Writing events as NDJSON, in the form in which they are taken in."""

from __future__ import annotations

import gzip
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final, cast

from pydantic_core import to_json

from pipeline.event import decode_payload
from pipeline.store.traffic import Captured

TOLD_EVERY: Final = 500

Disguise = Callable[[dict[str, Any], dict[str, Any]], tuple[dict[str, Any], dict[str, Any]]]
"""From an envelope and a payload to those that are written instead."""


@dataclass(slots=True)
class Exported:
    """What was written.

    Attributes:
        events: lines.
        bytes: of plain text.
        expired: events that were left out, since their payloads are stored no longer.
        copies: how often those written had been sent again; a line stands for all of them.
    """

    events: int = 0
    bytes: int = 0
    expired: int = 0
    copies: int = 0


def export(
    events: Iterable[Captured],
    target: IO[bytes],
    *,
    disguise: Disguise | None = None,
    on_progress: Callable[[int], None] = lambda _looked_at: None,
) -> Exported:
    """Write a line for each event whose payload is there; one event is in memory at a time.

    Args:
        events: in the order of the lines.
        target: takes plain text.
        disguise: changes what is written; a payload is written as it was stored unless given.
        on_progress: told how many events were looked at.

    Raises:
        OSError: the target can't be written to.
    """
    total = Exported()
    for number, event in enumerate(events, start=1):
        if number % TOLD_EVERY == 0:
            on_progress(number)
        if event.payload is None:
            total.expired += 1
            continue
        line = _line(event.envelope, event.payload, disguise)
        target.write(line)
        total.events += 1
        total.bytes += len(line)
        total.copies += event.copies
    return total


def _line(envelope: dict[str, Any], payload: bytes, disguise: Disguise | None) -> bytes:
    if disguise is not None:
        envelope, said = disguise(envelope, decode_payload(payload))
        payload = to_json(said)
    # The payload's own text: what is read back has the bytes that were stored.
    given = {name: value for name, value in envelope.items() if value is not None}
    return to_json(given)[:-1] + b',"payload":' + payload + b"}\n"


@contextmanager
def written(path: Path) -> Iterator[IO[bytes]]:
    """A file that is there, whole, once all is written to it, and before that not at all.

    Gzip where its name ends so. Only its owner may read it.

    Raises:
        FileExistsError: there is one of this name.
        OSError: it can't be written.
    """
    if path.exists():
        raise FileExistsError(f"{path} is there already; remove it, or name another file")
    descriptor, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as raw:
            if path.suffix == ".gz":
                # Without a time in it, the same events make the same file.
                with gzip.GzipFile(filename="", fileobj=raw, mode="wb", mtime=0) as packed:
                    yield cast("IO[bytes]", packed)
            else:
                yield raw
            raw.flush()
            os.fsync(raw.fileno())
        Path(beside).replace(path)
    finally:
        Path(beside).unlink(missing_ok=True)
