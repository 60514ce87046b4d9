"""Real hotel bookings through real processes, in order, shuffled, repeated and under kill -9."""

import collections
import contextlib
import json
import os
import random
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from tests.acceptance.conftest import Pipeline
from workers.embedded import EmbeddedMongo

pytestmark = pytest.mark.uncounted

TABLES = (
    "rs_appointments",
    "rs_appointment_changes",
    "rs_lead_global_conversions",
    "rs_tenant_totals",
)


def contents(pipeline: Pipeline) -> dict[str, dict[str, Any]]:
    """All documents of all tables, without stamps and counters at zero."""
    address = EmbeddedMongo.running_address(pipeline.folder / "data")
    assert address is not None
    with MongoClient[dict[str, Any]](address) as client:
        return {
            name: {
                document["_id"]: plain({k: v for k, v in document.items() if k != "_sync"})
                for document in client["pipeline"][name].find()
            }
            for name in TABLES
        }


def plain(value: Any) -> Any:
    """The value with zero counters left out: zero and absent mean the same."""
    if isinstance(value, dict):
        return {name: plain(inner) for name, inner in value.items() if inner != 0}
    return value


def final_states(lines: list[bytes]) -> dict[str, str]:
    """The truth: each booking's last status by its source's sequence."""
    last: dict[str, tuple[int, str]] = {}
    for line in lines:
        event = json.loads(line)
        key = f"{event['tenant']}:{event['entity_id']}"
        word = event["type"].partition(".")[2].replace("created", "scheduled")
        last[key] = max(last.get(key, (-1, "")), (event["seq"], word))
    return {key: status for key, (_, status) in last.items()}


def ingest(pipeline: Pipeline, lines: list[bytes]) -> dict[str, Any]:
    """Send the lines and wait until all is done."""
    result: dict[str, Any] = pipeline.json("ingest", "-", stdin=b"".join(lines))
    pipeline.wait_until_idle()
    return result


@pytest.fixture(scope="module")
def in_order(
    bookings: list[bytes], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, dict[str, Any]]:
    """Give the tables after an undisturbed run in order; the second sending changes nothing."""
    pipeline = Pipeline(tmp_path_factory.mktemp("in_order"))
    pipeline.up()
    try:
        first = ingest(pipeline, bookings)
        assert first["accepted"] == len(bookings)
        tables = contents(pipeline)
        second = ingest(pipeline, bookings)
        assert (second["accepted"], second["duplicates"]) == (0, len(bookings))
        assert contents(pipeline) == tables
        assert pipeline.down() == 0
    finally:
        pipeline.stop()
    return tables


def test_final_states_are_those_of_the_source(
    in_order: dict[str, dict[str, Any]], bookings: list[bytes]
) -> None:
    """Each booking ends as its last event by sequence says."""
    stored = {key: found["status"] for key, found in in_order["rs_appointments"].items()}
    assert stored == final_states(bookings)


def test_totals_are_the_sums_of_the_bookings(
    in_order: dict[str, dict[str, Any]], bookings: list[bytes]
) -> None:
    """Tenant totals stand at what the bookings stand at."""
    expected: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    for key, status in final_states(bookings).items():
        expected[key.partition(":")[0]][status] += 1
    stored = {key: found["standing"] for key, found in in_order["rs_tenant_totals"].items()}
    assert stored == {tenant: dict(counts) for tenant, counts in expected.items()}


def test_shuffled_with_a_tenth_sent_twice_and_workers_killed_the_tables_are_the_same(
    pipeline: Pipeline, in_order: dict[str, dict[str, Any]], bookings: list[bytes], tmp_path: Path
) -> None:
    """Disorder, duplicates and kill -9 of workers in the middle leave no mark on any table."""
    draw = random.Random(11)
    lines = bookings + draw.sample(bookings, len(bookings) // 10)
    draw.shuffle(lines)
    file = tmp_path / "shuffled.ndjson"
    file.write_bytes(b"".join(lines))
    pipeline.up()
    with file.open("rb") as lines_read:  # batch after batch: a window would put them in order
        sending = pipeline.start_command("ingest", "-", "--json", stdin=lines_read)
    killed = 0
    while sending.poll() is None or killed < 3:
        for pid in pipeline.worker_pids()[:1]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                killed += 1
        with contextlib.suppress(subprocess.TimeoutExpired):
            sending.wait(1.0)
    result = json.loads(sending.communicate()[0])
    assert result["duplicates"] == len(bookings) // 10
    pipeline.wait_until_idle()
    assert killed >= 3
    assert contents(pipeline) == in_order
