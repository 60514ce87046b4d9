"""Every metric that stands for the whole pipeline: name, meaning, labels, edges.

Names follow Prometheus: base units, `_total` for counters. Labels are bounded: handlers and
lanes are those that are declared, tenants those that the settings name, errors those of a list.
No label ever holds an id, an address, the name of a worker or the text of an error.

The edges of histograms hold the limits of our objectives (30 s from receipt to applied), so
what is within an objective is counted and not estimated.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

OTHER: Final = "_other"
"""Stands for all values of a label that are not told apart."""
ERRORS: Final = frozenset(
    {
        "AssertionError",
        "AttributeError",
        "BulkWriteError",
        "Cancel",
        "DocumentTooLarge",
        "HandlerFault",
        "IndexError",
        "KeyError",
        "LaterEventFails",
        "NotFound",
        "OSError",
        "OverflowError",
        "PayloadExpired",
        "RefoldTooLarge",
        "Retry",
        "RuntimeError",
        "Snooze",
        "StateMisfit",
        "TimeoutError",
        "TypeError",
        "UpdateError",
        "ValidationError",
        "ValueError",
        "WorkerDied",
        "WriteError",
        "ZeroDivisionError",
    }
)
"""Types of errors that are told apart."""

RUN_EDGES: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
WAIT_EDGES: Final = (0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0)
E2E_EDGES: Final = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0)
LATENESS_EDGES: Final = (
    *(0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 86400.0),
)


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric.

    Attributes:
        name: as Prometheus knows it, without a counter's `_total`.
        help: what it means, in one sentence.
        labels: names of its labels.
        values: of labels, what they can be where the metric itself tells.
    """

    name: str
    help: str
    labels: tuple[str, ...] = ()
    values: Mapping[str, tuple[str, ...]] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class Counter(Metric):
    """What only grows."""


@dataclass(frozen=True, slots=True)
class Gauge(Metric):
    """What is so now. Where it is noted and not looked up, it is the last that was noted."""


@dataclass(frozen=True, slots=True)
class Histogram(Metric):
    """How often values up to each edge were seen.

    Attributes:
        edges: upper edges of the buckets but the last, which has none.
    """

    edges: tuple[float, ...] = ()


INTAKE_EVENTS: Final = Counter(
    "pipe_intake_events",
    "Events that were submitted, by what became of them.",
    ("tenant", "outcome"),
    {"outcome": ("accepted", "duplicate", "conflict", "rejected")},
)
SUBMISSIONS: Final = Counter(
    "pipe_intake_submissions",
    "Calls that submitted events; unavailable is our fault, overloaded asks to come again.",
    ("outcome",),
    {"outcome": ("stored", "overloaded", "unavailable")},
)
SUBMISSION_SECONDS: Final = Histogram(
    "pipe_intake_duration_seconds",
    "Time from a call that submits events until they are stored.",
    edges=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)
SOURCE_LAG: Final = Histogram(
    "pipe_intake_source_lag_seconds",
    "Time from when an event happened until it was received; 0 where its clock is ahead of ours.",
    edges=LATENESS_EDGES,
)
LAST_RECEIVED: Final = Gauge(
    "pipe_intake_last_received_timestamp_seconds",
    "When an event of the tenant was last accepted.",
    ("tenant",),
)

BATCHES: Final = Counter(
    "pipe_batches",
    "Runs of batches that ended; unavailable ones go back to their lane.",
    ("lane", "outcome"),
    {"outcome": ("done", "unavailable", "failed")},
)
BATCH_WAIT: Final = Histogram(
    "pipe_batch_wait_seconds",
    "Time from when a batch was enqueued until a worker began it; first attempts only.",
    ("lane",),
    edges=WAIT_EDGES,
)
RUN_SECONDS: Final = Histogram(
    "pipe_run_duration_seconds",
    "Time of one run: one transaction, of one batch or of several small ones together; that of"
    " observers that a fold takes along is the fold's.",
    ("handler",),
    edges=RUN_EDGES,
)
RUN_EVENTS: Final = Histogram(
    "pipe_run_events",
    "Events in one run.",
    ("handler",),
    edges=(1.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0),
)
EVENTS: Final = Counter(
    "pipe_events",
    "Attempts of a handler on an event, by the state that came of it.",
    ("handler", "outcome"),
    {
        "outcome": (
            *("done", "skipped", "repeated", "held"),
            *("retrying", "snoozed", "cancelled", "dead"),
        )
    },
)
EVENT_FAILURES: Final = Counter(
    "pipe_event_failures",
    "Attempts that failed, by type of the error.",
    ("handler", "error"),
)
EVENT_E2E: Final = Histogram(
    "pipe_event_e2e_seconds",
    "Time from an event's receipt until the handler's effect was written.",
    ("handler",),
    edges=E2E_EDGES,
)
OUT_OF_ORDER: Final = Counter(
    "pipe_events_out_of_order",
    "Events that came out of order for their document.",
    ("handler", "mark"),
    {"mark": ("late", "tie", "gap")},
)
LATENESS: Final = Histogram(
    "pipe_event_lateness_seconds",
    "How much earlier a late event happened than the newest one that its document had seen.",
    ("handler",),
    edges=LATENESS_EDGES,
)
HOLDS_ENDED: Final = Counter(
    "pipe_event_holds_ended",
    "Events that were held back and are applied now, by what ended it.",
    ("handler", "end"),
    {"end": ("predecessor", "grace")},
)

TRANSACTION_SECONDS: Final = Histogram(
    "pipe_transaction_duration_seconds",
    "Time of a transaction in MongoDB, with all its tries.",
    edges=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0),
)
TRANSACTION_RETRIES: Final = Counter(
    "pipe_transaction_retries",
    "Tries of a transaction that were undone and tried again.",
    ("cause",),
    {"cause": ("conflict", "done_before", "duplicate", "connection", "other")},
)
SWEEPS: Final = Counter(
    "pipe_sweeps", "Passes of the sweeper.", ("outcome",), {"outcome": ("done", "failed")}
)
ENQUEUED_AGAIN: Final = Counter(
    "pipe_batches_enqueued_again", "Batches that no job stood for, which the sweeper enqueued."
)
ORPHANED: Final = Counter(
    "pipe_batches_orphaned", "Batches that a worker held when it died, once for each death."
)
OPERATOR_ACTIONS: Final = Counter(
    "pipe_operator_actions",
    "What people changed by the command line or the console, in events, groups or policies.",
    ("action",),
    {
        "action": (
            *("requeue", "discard", "undo", "redo", "hold", "locks"),
            *("acknowledge", "ignore", "reopen"),
        )
    },
)

CATALOGUE: Final[tuple[Metric, ...]] = (
    *(INTAKE_EVENTS, SUBMISSIONS, SUBMISSION_SECONDS, SOURCE_LAG, LAST_RECEIVED),
    *(BATCHES, BATCH_WAIT, RUN_SECONDS, RUN_EVENTS),
    *(EVENTS, EVENT_FAILURES, EVENT_E2E, OUT_OF_ORDER, LATENESS, HOLDS_ENDED),
    *(TRANSACTION_SECONDS, TRANSACTION_RETRIES),
    *(SWEEPS, ENQUEUED_AGAIN, ORPHANED, OPERATOR_ACTIONS),
)
"""What is counted where it happens. What is so now is looked up, in `pipeline.scraping`."""


def error_label(name: str) -> str:
    """The label of an error of this type."""
    return name if name in ERRORS else OTHER
