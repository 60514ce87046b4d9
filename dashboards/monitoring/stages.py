"""Which handler, lane, server or process is it?"""

from __future__ import annotations

from typing import Final

from dashboards.monitoring.panels import Board, Panel, now, or_none, quantiles, rate

HANDLERS: Final = (
    Panel(
        "Events by outcome",
        "What came of attempts; dead ones need a person.",
        "ops",
        rate("pipe_events_total", "handler, outcome", 'handler=~"$handler"'),
        console="/ops/events",
    ),
    Panel(
        "Failures by type of error",
        "Attempts that raised.",
        "ops",
        or_none(
            "sum by (handler, error) (rate(pipe_event_failures_total"
            '{$s,handler=~"$handler"}[$__rate_interval]))',
            "handler, error",
        ),
        console="/ops/failed",
    ),
    Panel(
        "Run time, 95 of 100",
        "Of one transaction.",
        "s",
        quantiles("pipe_run_duration_seconds", "handler"),
        console="/ops/queues",
    ),
    Panel(
        "Runs at once (Little)",
        "Seconds of runs in a second: how many workers a handler keeps busy.",
        "none",
        rate("pipe_run_duration_seconds_sum", "handler"),
    ),
    Panel(
        "Events in a run, 50 of 100",
        "Many small runs cost more than few large ones.",
        "short",
        (
            (
                (
                    "histogram_quantile(0.5, sum by (handler, le)"
                    " (rate(pipe_run_events_bucket{$s}[$__rate_interval])))"
                ),
                "{{handler}}",
            ),
        ),
    ),
    Panel(
        "Wait in the lane, 95 of 100",
        "First attempts, from enqueued to begun.",
        "s",
        quantiles("pipe_batch_wait_seconds", "lane"),
        console="/ops/queues",
    ),
    Panel(
        "Batches by outcome",
        "Unavailable ones go back to their lane: MongoDB was away.",
        "ops",
        rate("pipe_batches_total", "lane, outcome"),
        console="/ops/queues",
    ),
    Panel(
        "Jobs by registry",
        "What RQ shows: queued, started, scheduled, failed.",
        "short",
        now("pipe_lane_jobs", "lane, state"),
        console="/ops/queues",
    ),
)
STORES: Final = (
    Panel(
        "Transactions",
        "Time with all tries.",
        "s",
        quantiles("pipe_transaction_duration_seconds"),
    ),
    Panel(
        "Transactions tried again",
        "By what undid the try before.",
        "ops",
        rate("pipe_transaction_retries_total", "cause"),
    ),
    Panel(
        "Memory of Redis",
        "It must never be full; what may be used is 0 where there is no limit.",
        "bytes",
        (
            ("max(pipe_redis_used_memory_bytes{$s})", "used"),
            ("max(pipe_redis_max_memory_bytes{$s})", "may be used"),
        ),
    ),
    Panel(
        "Keys that Redis threw away",
        "Must be 0.",
        "short",
        (("sum(increase(pipe_redis_evicted_keys_total{$s}[$__range]))", "evicted"),),
        "stat",
    ),
)
SELF: Final = (
    Panel(
        "Sweeps",
        "Passes of the sweeper; one a second is well.",
        "ops",
        rate("pipe_sweeps_total", "outcome"),
    ),
    Panel(
        "What the measuring costs",
        "Time to collect, age of the last look at the servers, and failures.",
        "s",
        (
            ("max(pipe_exporter_collect_seconds{$s})", "collect"),
            ("max(pipe_look_age_seconds{$s})", "age of the look"),
            ("sum(rate(pipe_exporter_errors_total{$s}[$__rate_interval]))", "errors a second"),
        ),
    ),
    Panel(
        "Memory by role",
        "Resident memory of all processes of a role.",
        "bytes",
        (
            (
                (
                    "sum by (role) (process_resident_memory_bytes{$s}"
                    " * on (job, instance) group_left (role) pipe_build_info{$s})"
                ),
                "{{role}}",
            ),
        ),
        console="/ops/queues",
    ),
    Panel(
        "CPU by role",
        "Cores in use.",
        "none",
        (
            (
                (
                    "sum by (role) (rate(process_cpu_seconds_total{$s}[$__rate_interval])"
                    " * on (job, instance) group_left (role) pipe_build_info{$s})"
                ),
                "{{role}}",
            ),
        ),
        console="/ops/queues",
    ),
    Panel(
        "Supervised processes",
        "Of `pipeline up`: by phase, and those in a crash loop.",
        "short",
        (
            ("sum by (phase) (pipe_processes{$s})", "{{phase}}"),
            ("sum(pipe_processes_crash_looping{$s})", "crash loop"),
        ),
        console="/ops/queues",
    ),
    Panel(
        "Versions",
        "Processes by role, version and revision; several revisions are a rollout under way.",
        "none",
        (("count by (role, version, revision) (pipe_build_info{$s})", ""),),
        "table",
        "/ops/queues",
    ),
)

STAGES_BOARD: Final = Board(
    "pipe-stages",
    "Pipeline / Stages",
    "Which handler, lane, server or process is it?",
    (("Handlers", HANDLERS), ("Servers", STORES), ("Processes", SELF)),
)
