"""What a run adds to the counts: once for all of its events, from the rows it has written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import groupby
from operator import attrgetter
from typing import Final

from pipeline.executor import Outcome
from pipeline.metrics import Counts, Exemplar
from pipeline.metrics.catalogue import (
    EVENT_E2E,
    EVENT_FAILURES,
    EVENTS,
    HOLDS_ENDED,
    LATENESS,
    OUT_OF_ORDER,
    RUN_EVENTS,
    RUN_SECONDS,
    error_label,
)
from pipeline.store import Batch, LedgerRow

MILLISECONDS: Final = 1000


def count_run(
    counts: Counts, batches: Sequence[Batch], outcome: Outcome, seconds: float, now: datetime
) -> None:
    """Count a run that has ended.

    Args:
        counts: where it is counted.
        batches: what was run together.
        outcome: what came of it.
        seconds: how long it took.
        now: the time, for exemplars.
    """
    handler = batches[0].handler
    counts.observe(RUN_SECONDS, [(seconds, 1)], (handler,))
    counts.observe(RUN_EVENTS, [(sum(len(batch.events) for batch in batches), 1)], (handler,))
    # Rows come handler after handler.
    for name, rows in groupby(outcome.rows, attrgetter("handler")):
        _count_rows(counts, name, list(rows), now)
    repeated = outcome.repeated
    if not outcome.claimed:
        repeated += sum(len(batch.events) for batch in batches)
    counts.add(EVENTS, (handler, "repeated"), repeated)
    _count_failures(counts, [failed.row for failed in outcome.failures])
    _count_states(counts, [held.row for held in outcome.held])


def _count_rows(counts: Counts, handler: str, rows: Sequence[LedgerRow], now: datetime) -> None:
    _count_states(counts, rows)
    lags = Counter([row.lag_ms for row in rows])
    counts.observe(EVENT_E2E, [(ms / MILLISECONDS, n) for ms, n in lags.items()], (handler,))
    slowest = max(rows, key=attrgetter("lag_ms"))
    exemplar = Exemplar(slowest.event, slowest.lag_ms / MILLISECONDS, now.timestamp())
    counts.exemplify(EVENT_E2E, exemplar, (handler,))
    marked = [row.disorder for row in rows if row.disorder is not None]
    for mark, n in Counter(one.mark for one in marked).items():
        counts.add(OUT_OF_ORDER, (handler, mark.value), n)
    late = [(one.late_ms / MILLISECONDS, 1) for one in marked if one.late_ms]
    counts.observe(LATENESS, late, (handler,))
    ends = Counter(row.held.end for row in rows if row.held is not None)
    for end, n in ends.items():
        if end is not None:
            counts.add(HOLDS_ENDED, (handler, end.value), n)


def _count_failures(counts: Counts, rows: Iterable[LedgerRow]) -> None:
    for row in rows:
        counts.add(EVENTS, (row.handler, row.state.value))
        error = (row.error or {}).get("type", "")
        counts.add(EVENT_FAILURES, (row.handler, error_label(error)))


def _count_states(counts: Counts, rows: Iterable[LedgerRow]) -> None:
    for (handler, state), n in Counter((row.handler, row.state) for row in rows).items():
        counts.add(EVENTS, (handler, state.value), n)
