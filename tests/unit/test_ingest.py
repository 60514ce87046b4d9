"""Reading NDJSON: whatever the file is like, good lines get through and bad ones are named."""

import gzip
import io
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from unittest.mock import patch

import pytest

from pipeline.clock import ManualClock
from pipeline.dispatch import Receipt
from pipeline.errors import EventRejected
from pipeline.event import Event
from pipeline.settings import Settings
from workers.ingest import BadLine, Ingested, ingest

NOW = datetime(2024, 6, 1, tzinfo=UTC)


class Taking:
    """Stands in for the dispatcher: accepts everything and remembers the calls."""

    window = 5

    def __init__(self) -> None:
        self.calls: list[list[str]] = []

    def submit(self, events: Sequence[Event]) -> Receipt:
        """Accept all."""
        self.calls.append([event.event_id for event in events])
        return Receipt(accepted=[event.key for event in events])


def line(event_id: str, **fields: object) -> bytes:
    """One event as a line."""
    event = {
        "event_id": event_id,
        "tenant": "acme",
        "source": "shop",
        "type": "order.created",
        "entity_id": "o1",
        "occurred_at": "2024-05-01T10:00:00Z",
        **fields,
    }
    return json.dumps(event).encode() + b"\n"


class Refusing(Taking):
    """Accepts nothing, and says so from the last to the first."""

    def submit(self, events: Sequence[Event]) -> Receipt:
        """Refuse all."""
        return Receipt(rejected=[(event, EventRejected("no")) for event in reversed(events)])


def read(
    source: Path | bytes, *, taking: Taking | None = None, **settings: int
) -> tuple[Ingested, Taking, list[BadLine]]:
    """Ingest a file or a stream."""
    bad: list[BadLine] = []
    taking = taking or Taking()
    total = ingest(
        taking,  # type: ignore[arg-type]
        ManualClock(NOW),
        Settings(_env_file=None, **settings),
        io.BytesIO(source) if isinstance(source, bytes) else source,
        on_bad_line=bad.append,
        on_progress=lambda _done, _share: None,
    )
    return total, taking, bad


@pytest.mark.parametrize("packed", [False, True])
def test_plain_and_gzip_are_told_apart_by_content(tmp_path: Path, *, packed: bool) -> None:
    """The name of the file says nothing; a stream may be gzip too."""
    data = line("e1") + line("e2")
    data = gzip.compress(data) if packed else data
    file = tmp_path / "events"
    file.write_bytes(data)
    for source in (file, data):
        total, taking, bad = read(source)
        assert (total.accepted, taking.calls, bad) == (2, [["e1", "e2"]], [])


def test_what_comes_through_a_pipe_waits_for_no_more_than_a_batch() -> None:
    """Full batches in their order, then the rest."""
    _, taking, _ = read(b"".join(line(f"e{n}") for n in range(5)), batch_size=2)
    assert taking.calls == [["e0", "e1"], ["e2", "e3"], ["e4"]]


def test_of_a_file_as_many_are_submitted_as_are_cut_at_once(tmp_path: Path) -> None:
    """In their order, then the rest; fewer where they hold much text."""
    file = tmp_path / "events"
    file.write_bytes(b"".join(line(f"e{n}") for n in range(11)))
    assert [len(call) for call in read(file, batch_size=2)[1].calls] == [5, 5, 1]
    with patch("workers.ingest.HELD_BYTES", 2.5 * len(line("e1"))):
        assert [len(call) for call in read(file, batch_size=2)[1].calls] == [3, 3, 3, 2]


def test_empty_lines_are_passed_over_and_counted_as_lines() -> None:
    """A bad line is named by its number in the file."""
    total, taking, bad = read(b"\n" + line("e1") + b"\n  \nnot json\n" + line("e2"))
    assert taking.calls == [["e1", "e2"]]
    assert [b.number for b in bad] == [5]
    assert total.lines == 6


def test_lines_that_are_refused_are_named_in_their_order() -> None:
    """Also where they were cut into batches in another."""
    _, _, bad = read(b"".join(line(f"e{n}") for n in range(4)), taking=Refusing())
    assert [one.number for one in bad] == [1, 2, 3, 4]


def test_a_line_longer_than_any_event_is_named_and_the_next_one_read() -> None:
    """It is passed over without being held in memory."""
    long = b'{"x":"' + b"y" * 200_000 + b'"}\n'
    total, taking, bad = read(long + line("e1"), max_payload_bytes=1000)
    assert (total.accepted, taking.calls) == (1, [["e1"]])
    assert [(b.number, "longer than" in b.reason) for b in bad] == [(1, True)]


def test_a_broken_gzip_file_is_named_where_it_breaks_and_what_came_before_is_kept() -> None:
    """A transfer that was cut off loses nothing of what arrived."""
    whole = gzip.compress(b"".join(line(f"e{n}", payload={"n": n}) for n in range(2000)))
    total, _, bad = read(whole[: len(whole) // 2])
    assert total.accepted > 100
    assert "can't be read further" in bad[0].reason


def test_a_last_line_without_a_line_end_is_an_event_too() -> None:
    """As editors leave it."""
    assert read(line("e1").rstrip())[0].accepted == 1
