"""The alerts: each on what a person can do something about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert.

    Attributes:
        name: its name; its runbook is `docs/runbooks/<name>.md`.
        expr: fires while this has a value.
        hold: for how long it must before somebody is told.
        severity: page, ticket or none.
        summary: one line for the person who is woken.
        console: the page of the console to begin at.
    """

    name: str
    expr: str
    hold: str
    severity: str
    summary: str
    console: str


ALERTS: Final = (
    Alert(
        "PipeLaneStuck",
        'pipe_lane_oldest_batch_age_seconds{lane!="repair"} > 300'
        " and on (lane) lane:pipe_batches:rate5m == 0",
        "5m",
        "page",
        "Batches wait in lane {{ $labels.lane }} and none is done; the oldest is"
        " {{ $value | humanizeDuration }} old.",
        "/ops/queues",
    ),
    Alert(
        "PipeNoWorkers",
        'sum(pipe_lane_jobs{state="queued"}) > 0 unless on () sum(pipe_workers) > 0',
        "3m",
        "page",
        "{{ $value }} batches wait and no worker lives.",
        "/ops/queues",
    ),
    Alert(
        "PipeLaneSlow",
        "lane:pipe_lane_drain_seconds:estimate > 1800",
        "15m",
        "ticket",
        "Lane {{ $labels.lane }} needs {{ $value | humanizeDuration }} for what waits in it.",
        "/ops/queues",
    ),
    Alert(
        "PipeOutboxOverdue",
        "pipe_outbox_overdue_seconds > 120",
        "5m",
        "page",
        "Batches have waited for the sweeper for {{ $value | humanizeDuration }}.",
        "/ops/queues",
    ),
    Alert(
        "PipeIntakeNearlyClosed",
        "pipe_outbox_pending_batches / pipe_outbox_max_batches > 0.8",
        "10m",
        "ticket",
        "{{ $value | humanizePercentage }} of the batches that may wait do;"
        " at 100% no event is taken in.",
        "/ops/queues",
    ),
    Alert(
        "PipeBatchesOrphaned",
        "pipe_lane_orphaned_batches > 0",
        "5m",
        "ticket",
        "{{ $value }} started batches of lane {{ $labels.lane }} have no worker any more,"
        " and the sweeper does not take them back.",
        "/ops/queues",
    ),
    Alert(
        "PipeWorkersDying",
        "increase(pipe_batches_orphaned_total[15m]) > 3",
        "0m",
        "ticket",
        "Workers died while they ran {{ $value | humanize }} batches within 15 minutes.",
        "/ops/queues",
    ),
    Alert(
        "PipeCrashLoop",
        "pipe_processes_crash_looping > 0",
        "1m",
        "page",
        "{{ $value }} processes of {{ $labels.instance }} fail soon after each start.",
        "/ops/queues",
    ),
    Alert(
        "PipeDeadLetters",
        'sum by (handler) (pipe_trouble_events{state="dead"}) > 0',
        "5m",
        "ticket",
        "{{ $value }} events are dead letters of {{ $labels.handler }}.",
        "/ops/failed/group?handler={{ $labels.handler }}",
    ),
    Alert(
        "PipeHeldTooLong",
        'max by (handler) (pipe_trouble_oldest_age_seconds{state="held"}) > 3900',
        "10m",
        "ticket",
        "An event of {{ $labels.handler }} is held back since {{ $value | humanizeDuration }},"
        " longer than any grace.",
        "/ops/late",
    ),
    Alert(
        "PipeTransactionsFight",
        'sum(rate(pipe_transaction_retries_total{cause="conflict"}[10m]))'
        " / sum(rate(pipe_transaction_duration_seconds_count[10m])) > 1",
        "15m",
        "ticket",
        "A transaction is undone {{ $value | humanize }} times by others before it commits.",
        "/ops/queues",
    ),
    Alert(
        "PipeTenantSilent",
        "time() - pipe_intake_last_received_timestamp_seconds"
        " > on (tenant) pipe_tenant_allowed_silence_seconds",
        "5m",
        "ticket",
        "{{ $labels.tenant }} has sent nothing for {{ $value | humanizeDuration }}.",
        "/ops/events?tenant={{ $labels.tenant }}",
    ),
    Alert(
        "PipeDrift",
        "sum by (table) (pipe_drift_documents) > 0",
        "0m",
        "ticket",
        "{{ $value }} documents of {{ $labels.table }} are not what their events come to.",
        "/ops/drift",
    ),
    Alert(
        "PipeVerificationStale",
        "time() - pipe_drift_last_sample_timestamp_seconds > 25200",
        "10m",
        "ticket",
        "No background verification has been done for {{ $value | humanizeDuration }}.",
        "/ops/drift",
    ),
    Alert(
        "PipeRedisEvicting",
        "increase(pipe_redis_evicted_keys_total[10m]) > 0",
        "0m",
        "page",
        "Redis has thrown {{ $value | humanize }} keys away; its policy must be noeviction.",
        "/ops/",
    ),
    Alert(
        "PipeRedisMemoryHigh",
        "pipe_redis_used_memory_bytes / (pipe_redis_max_memory_bytes > 0) > 0.85",
        "10m",
        "ticket",
        "Redis uses {{ $value | humanizePercentage }} of the memory it may.",
        "/ops/",
    ),
    Alert(
        "PipeLookStale",
        "pipe_look_age_seconds > 60",
        "2m",
        "page",
        "MongoDB or Redis has not answered the sweeper for {{ $value | humanizeDuration }}.",
        "/ops/",
    ),
    Alert(
        "PipeProcessDown",
        'up{job="pipe"} == 0',
        "5m",
        "ticket",
        "{{ $labels.instance }} does not answer Prometheus.",
        "/ops/queues",
    ),
    Alert(
        "PipeMetricsAbsent",
        "absent(pipe_lane_jobs)",
        "5m",
        "page",
        "No sweeper leads, or none tells Prometheus: nobody watches the pipeline.",
        "/ops/queues",
    ),
    Alert(
        "PipeWatchdog",
        "vector(1)",
        "0m",
        "none",
        "Always fires: who gets no such message any more has lost the way of all others.",
        "/ops/",
    ),
)
