"""What an event costs in Redis while its batch waits there."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

from benchmarks.bench import Bench, plain
from benchmarks.product import Told
from benchmarks.spec import Spec
from benchmarks.workload import in_order
from pipeline.store import Batch
from workers.bootstrap import Application


def redis_memory(bench: Bench, spec: Spec, _told: Told) -> dict[str, Any]:
    """Redis's memory with batches in a lane, and without them."""
    began_at, started = datetime.now(UTC), time.monotonic()
    with bench.fresh(workers=spec.workers) as app:
        size = app.settings.batch_size
        keys = [event.key for event in in_order(spec.workload)]
        action = app.registry.actions_for("appointment.scheduled")[0]
        batches = [
            Batch.of(action.name, keys[start : start + size], action.lane)
            for start in range(0, len(keys), size)
        ]
        before = _used_memory(app)
        for batch in batches:
            app.queue.enqueue([batch])
        used = _used_memory(app) - before
        for batch in batches:
            app.redis.delete(f"rq:job:{batch.id}")
        app.redis.delete(f"rq:queue:{action.lane}")
    figures = {"batches": len(batches), "bytes_per_event": round(used / len(keys), 1)}
    seconds = time.monotonic() - started
    return plain(spec, began_at, len(keys), seconds) | {"figures": figures}


def _used_memory(app: Application) -> int:
    return int(app.redis.info("memory")["used_memory"])
