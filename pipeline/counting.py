"""What a run adds to the counts: once for all of its events, from the rows it has written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import groupby
from operator import attrgetter
from typing import Final

from pipeline.disorder import Disorder
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
from pipeline.store import Batch, LedgerRow, LedgerState

MILLISECONDS: Final = 1000

_handler = attrgetter("handler")
_lag = attrgetter("lag_ms")


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
    for along in outcome.along:
        counts.observe(RUN_EVENTS, [(len(along.events), 1)], (along.handler,))
    # Rows come handler after handler.
    for name, rows in groupby(outcome.rows, _handler):
        _count_rows(counts, name, list(rows), now)
    repeated = outcome.repeated
    if not outcome.claimed:
        repeated += sum(len(batch.events) for batch in batches)
    counts.add(EVENTS, (handler, "repeated"), repeated)
    _count_failures(counts, [failed.row for failed in outcome.failures])
    for held in outcome.held:
        counts.add(EVENTS, (held.row.handler, held.row.state.value))


def _count_rows(counts: Counts, handler: str, rows: Sequence[LedgerRow], now: datetime) -> None:
    _count_states(counts, handler, rows)
    lags: dict[int, int] = {}
    for row in rows:
        lags[row.lag_ms] = lags.get(row.lag_ms, 0) + 1
    counts.observe(EVENT_E2E, [(ms / MILLISECONDS, n) for ms, n in lags.items()], (handler,))
    slowest = max(rows, key=_lag)
    exemplar = Exemplar(slowest.event, slowest.lag_ms / MILLISECONDS, now.timestamp())
    counts.exemplify(EVENT_E2E, exemplar, (handler,))
    if marked := [row.disorder for row in rows if row.disorder is not None]:
        _count_marks(counts, handler, marked)
    for held in [row.held for row in rows if row.held is not None]:
        if held.end is not None:
            counts.add(HOLDS_ENDED, (handler, held.end.value))


def _count_marks(counts: Counts, handler: str, marked: Sequence[Disorder]) -> None:
    for mark, n in Counter(one.mark for one in marked).items():
        counts.add(OUT_OF_ORDER, (handler, mark.value), n)
    late = [(one.late_ms / MILLISECONDS, 1) for one in marked if one.late_ms]
    counts.observe(LATENESS, late, (handler,))


def _count_failures(counts: Counts, rows: Iterable[LedgerRow]) -> None:
    for row in rows:
        counts.add(EVENTS, (row.handler, row.state.value))
        error = (row.error or {}).get("type", "")
        counts.add(EVENT_FAILURES, (row.handler, error_label(error)))


def _count_states(counts: Counts, handler: str, rows: Sequence[LedgerRow]) -> None:
    done = LedgerState.DONE
    others = [row.state for row in rows if row.state is not done]
    counts.add(EVENTS, (handler, "done"), len(rows) - len(others))
    for state in set(others):
        counts.add(EVENTS, (handler, state.value), others.count(state))
