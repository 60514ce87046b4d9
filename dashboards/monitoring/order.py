"""What came out of order, what is in trouble, and is what is stored right?"""

from __future__ import annotations

from typing import Final

from dashboards.monitoring.panels import Board, Panel, or_none, rate

ORDER: Final = (
    Panel(
        "Events out of order",
        "Late ones heal what came after them.",
        "ops",
        rate("pipe_events_out_of_order_total", "handler, mark"),
        console="/ops/late",
    ),
    Panel(
        "How late",
        "Each square: how many events were so late.",
        "s",
        (
            (
                "sum by (le) (increase(pipe_event_lateness_seconds_bucket{$s}[$__rate_interval]))",
                "{{le}}",
            ),
        ),
        "heatmap",
        "/ops/late",
    ),
)
TROUBLE: Final = (
    Panel(
        "Events in trouble",
        "Retrying, snoozed, held back or dead.",
        "short",
        or_none("sum by (handler, state) (pipe_trouble_events{$s})", "handler, state"),
        console="/ops/failed",
    ),
    Panel(
        "Oldest in trouble",
        "Since when the oldest is in that state.",
        "s",
        or_none("max by (handler, state) (pipe_trouble_oldest_age_seconds{$s})", "handler, state"),
        console="/ops/late",
    ),
    Panel(
        "Holds ended",
        "By the predecessor that came, or by the end of the grace.",
        "ops",
        rate("pipe_event_holds_ended_total", "handler, end"),
        console="/ops/late",
    ),
)
TRUTH: Final = (
    Panel(
        "Documents that have drifted",
        "Found by the last background verification; must be 0.",
        "short",
        (("sum by (table) (pipe_drift_documents{$s})", "{{table}}"),),
        console="/ops/drift",
    ),
    Panel(
        "What was looked at",
        "By the last background verification, and of how much nothing could be told.",
        "short",
        (
            ("sum(pipe_drift_sampled_documents{$s})", "looked at"),
            ("sum(pipe_drift_unknown{$s})", "not known"),
        ),
        console="/ops/drift",
    ),
    Panel(
        "Since the last background verification",
        "A few minutes where it is on; hours where workers never have time for it.",
        "s",
        (("time() - max(pipe_drift_last_sample_timestamp_seconds{$s})", "last"),),
        "stat",
        "/ops/drift",
    ),
    Panel(
        "What people changed",
        "Decisions by the command line.",
        "ops",
        rate("pipe_operator_actions_total", "action"),
        console="/ops/audit",
    ),
)

ORDER_BOARD: Final = Board(
    "pipe-order",
    "Pipeline / Order and truth",
    "What came out of order, what is in trouble, and is what is stored right?",
    (("Out of order", ORDER), ("In trouble", TROUBLE), ("Right or wrong", TRUTH)),
)
