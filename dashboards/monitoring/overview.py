"""Is anybody hurt, and where does it hold?"""

from __future__ import annotations

from typing import Final

from dashboards.monitoring.panels import Board, Panel, now, or_none, quantiles, rate

HURT: Final = (
    Panel(
        "Budget for errors left",
        "Of what may go wrong in 30 days, the share that has not. Below 0 a promise is broken.",
        "percentunit",
        (
            (
                (
                    "1 - (max by (slo) (slo:error_ratio:rate30d)"
                    " / (1 - max by (slo) (slo:objective:ratio)))"
                ),
                "{{slo}}",
            ),
        ),
        "stat",
    ),
    Panel(
        "How fast the budget burns",
        "1 spends it in just 30 days; a page comes at 14.4 over an hour.",
        "none",
        (
            (
                "max by (slo) (slo:error_ratio:rate1h) / (1 - max by (slo) (slo:objective:ratio))",
                "{{slo}} 1 h",
            ),
            (
                "max by (slo) (slo:error_ratio:rate6h) / (1 - max by (slo) (slo:objective:ratio))",
                "{{slo}} 6 h",
            ),
        ),
    ),
    Panel(
        "Firing alerts",
        "Each has a runbook in docs/runbooks. Empty is good.",
        "none",
        (('ALERTS{alertstate="firing",severity!="none"}', ""),),
        "table",
    ),
)
INTAKE: Final = (
    Panel(
        "Events by what became of them",
        "Accepted ones are stored; copies and conflicts are turned away.",
        "ops",
        rate("pipe_intake_events_total", "outcome"),
        console="/ops/events",
    ),
    Panel(
        "Accepted events by tenant",
        "Those that the settings name; all others together.",
        "ops",
        rate("pipe_intake_events_total", "tenant", 'outcome="accepted"'),
        console="/ops/events",
    ),
    Panel(
        "Calls by how they ended",
        "Unavailable is our fault; overloaded asks to come again.",
        "ops",
        rate("pipe_intake_submissions_total", "outcome"),
    ),
    Panel(
        "Time to store a call's events",
        "What a sender waits for.",
        "s",
        quantiles("pipe_intake_duration_seconds"),
    ),
    Panel(
        "From happening to receipt",
        "How long sources take to tell us.",
        "s",
        quantiles("pipe_intake_source_lag_seconds"),
    ),
    Panel(
        "Silence against what is allowed",
        "Above 1 a tenant is silent for too long.",
        "percentunit",
        (
            (
                (
                    "(time() - max by (tenant) (pipe_intake_last_received_timestamp_seconds{$s}))"
                    " / max by (tenant) (pipe_tenant_allowed_silence_seconds{$s})"
                ),
                "{{tenant}}",
            ),
        ),
        console="/ops/events",
    ),
)
FRESH: Final = (
    Panel(
        "Accepted to applied",
        "Each square: how many effects took so long. Dots are single slow events to look at.",
        "s",
        (
            (
                "sum by (le) (increase(pipe_event_e2e_seconds_bucket{$s}[$__rate_interval]))",
                "{{le}}",
            ),
        ),
        "heatmap",
        "/ops/events",
    ),
    Panel(
        "Accepted to applied, of 100 events",
        "Half, 95 and 99 of 100 are faster.",
        "s",
        quantiles("pipe_event_e2e_seconds"),
        console="/ops/events",
    ),
)
BACKLOG: Final = (
    Panel(
        "Oldest batch",
        "Age of the oldest batch in each lane; it grows when nothing is done.",
        "s",
        now("pipe_lane_oldest_batch_age_seconds", "lane", how="max"),
        console="/ops/queues",
    ),
    Panel(
        "Jobs that wait",
        "Each is a batch of up to 500 events.",
        "short",
        now("pipe_lane_jobs", "lane", 'state="queued"'),
        console="/ops/queues",
    ),
    Panel(
        "Time to work it off",
        "At the rate of the last five minutes.",
        "s",
        or_none("max by (lane) (lane:pipe_lane_drain_seconds:estimate)", "lane"),
        console="/ops/queues",
    ),
    Panel(
        "Pending batches against the most that may",
        "At 100% the intake closes.",
        "percentunit",
        (
            (
                "max(pipe_outbox_pending_batches{$s}) / max(pipe_outbox_max_batches{$s})",
                "pending",
            ),
        ),
        console="/ops/queues",
    ),
    Panel(
        "Workers",
        "Those that beat, by what they do.",
        "short",
        now("pipe_workers", "state"),
        console="/ops/queues",
    ),
    Panel(
        "Batches that workers died of, and overdue ones",
        "Orphans are taken back by the sweeper; overdue is how long batches wait for it.",
        "short",
        (
            (
                "sum(increase(pipe_batches_orphaned_total{$s}[$__rate_interval]))",
                "worker died",
            ),
            ("sum(pipe_lane_orphaned_batches{$s})", "not taken back"),
            (
                "sum(increase(pipe_batches_enqueued_again_total{$s}[$__rate_interval]))",
                "enqueued again",
            ),
            ("max(pipe_outbox_overdue_seconds{$s})", "overdue, s"),
        ),
        console="/ops/queues",
    ),
)

OVERVIEW_BOARD: Final = Board(
    "pipe-overview",
    "Pipeline / Overview",
    "Is anybody hurt, and where does it hold?",
    (
        ("Is anybody hurt?", HURT),
        ("Intake", INTAKE),
        ("Freshness", FRESH),
        ("Backlog", BACKLOG),
    ),
)
