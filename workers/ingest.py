"""Reading events from NDJSON and submitting them, line by line and batch by batch."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

import structlog
from tenacity import RetryCallState, Retrying, retry_if_exception_type

from pipeline.clock import Clock
from pipeline.dispatch import Dispatcher, Receipt
from pipeline.errors import EventRejected, Overloaded
from pipeline.event import Event, parse_event
from pipeline.settings import Settings

GZIP_MAGIC: Final = b"\x1f\x8b"
ENVELOPE_BYTES: Final = 64 * 1024
"""What a line may be longer than the largest payload: JSON may write a byte as six."""

HELD_BYTES: Final = 64 * 1024 * 1024
"""Most text of events that are submitted at once, give or take a line."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that holds no event, from 1, and why."""

    number: int
    reason: str


@dataclass(slots=True)
class Ingested:
    """What became of a file."""

    lines: int = 0
    accepted: int = 0
    duplicates: int = 0
    conflicts: int = 0
    conflict_keys: list[str] = field(default_factory=list)
    unhandled: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0

    def add(self, receipt: Receipt) -> None:
        """Count a receipt in."""
        self.accepted += len(receipt.accepted)
        self.duplicates += len(receipt.duplicates)
        self.conflicts += len(receipt.conflicts)
        self.conflict_keys += receipt.conflicts[: max(0, 100 - len(self.conflict_keys))]
        for kind, count in receipt.unhandled.items():
            self.unhandled[kind] = self.unhandled.get(kind, 0) + count


def ingest(
    dispatcher: Dispatcher,
    clock: Clock,
    settings: Settings,
    source: Path | IO[bytes],
    *,
    on_bad_line: Callable[[BadLine], None],
    on_progress: Callable[[int, float], None],
) -> Ingested:
    """Submit every event of a file or stream, plain or gzip.

    Of a file as many at once as are best cut into batches; what comes through a pipe waits for
    no more than one batch.

    Args:
        dispatcher: takes the events.
        clock: for the time of receipt and the duration.
        settings: batch size and limits.
        source: NDJSON; empty lines are passed over.
        on_bad_line: told of each line that holds no event.
        on_progress: told the lines done, and the share of the file read (0.0 if unknown).

    Raises:
        Unavailable: MongoDB did not answer; all that was submitted before is stored.
    """
    total = Ingested()
    started = clock.monotonic()
    pending: list[tuple[int, Event]] = []
    held = 0
    room = dispatcher.window if isinstance(source, Path) else settings.batch_size

    def flush() -> None:
        receipt = _patiently(dispatcher, [event for _, event in pending])
        numbers = {id(event): number for number, event in pending}
        rejected = {numbers[id(event)]: str(rejection) for event, rejection in receipt.rejected}
        for number in sorted(rejected):
            on_bad_line(BadLine(number, rejected[number]))
        total.add(receipt)
        pending.clear()

    with _opened(source) as (stream, share):
        for number, line in _lines(stream, settings.max_payload_bytes * 6 + ENVELOPE_BYTES):
            total.lines = number
            if isinstance(line, BadLine):
                on_bad_line(line)
                continue
            if not line.strip():
                continue
            try:
                event = parse_event(line, now=clock.now(), max_skew=settings.max_clock_skew)
            except EventRejected as rejection:
                on_bad_line(BadLine(number, str(rejection)))
                continue
            pending.append((number, event))
            held += len(line)
            if len(pending) == room or held > HELD_BYTES:
                flush()
                held = 0
                on_progress(number, share())
        if pending:
            flush()
    total.seconds = clock.monotonic() - started
    return total


def _patiently(dispatcher: Dispatcher, events: list[Event]) -> Receipt:
    """Submit, waiting as long as there is no room: a file can wait, and a pipe's writer does."""
    for attempt in Retrying(
        retry=retry_if_exception_type(Overloaded), wait=_as_told, before_sleep=_tell
    ):
        with attempt:
            return dispatcher.submit(events)
    raise AssertionError("tenacity ends by returning or raising")


def _as_told(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    return error.retry_after if isinstance(error, Overloaded) else 0.0


def _tell(state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    log.warning("intake_waits", reason=str(error), attempt=state.attempt_number)


def _lines(stream: IO[bytes], longest: int) -> Iterator[tuple[int, bytes | BadLine]]:
    """Numbered lines, none held in memory beyond the longest an event can be."""
    number = 0
    while True:
        number += 1
        try:
            line = stream.readline(longest + 1)
        except (OSError, EOFError, zlib.error) as error:
            yield number, BadLine(number, f"the file can't be read further: {error}")
            return
        if not line:
            return
        if len(line) > longest:
            while line and not line.endswith(b"\n"):
                line = stream.readline(longest)
            yield number, BadLine(number, f"longer than {longest:,} bytes")
        else:
            yield number, line


@contextmanager
def _opened(source: Path | IO[bytes]) -> Iterator[tuple[IO[bytes], Callable[[], float]]]:
    """The plain text of a source, whether gzip or not, and how far it has been read."""
    if isinstance(source, Path):
        size = source.stat().st_size or 1
        with source.open("rb") as raw, _plain(raw) as stream:
            yield stream, lambda: min(1.0, raw.tell() / size)
    else:
        with _plain(io.BufferedReader(source)) as stream:  # type: ignore[type-var]
            yield stream, lambda: 0.0


@contextmanager
def _plain(raw: IO[bytes]) -> Iterator[IO[bytes]]:
    peeked = raw.peek(2)[:2] if hasattr(raw, "peek") else b""
    if peeked == GZIP_MAGIC:
        with gzip.GzipFile(fileobj=raw) as unpacked, io.BufferedReader(unpacked) as stream:
            yield stream
    else:
        yield raw
