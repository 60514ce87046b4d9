"""The rules do what they say: judged by promtool, on series that are made up."""

import re
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from dashboards.monitoring.alerts import ALERTS
from dashboards.monitoring.rules import HERE, alert_rules, recording_rules, write_rules
from tests.monitoring.promtool import promtool, tried

ROOT = Path(__file__).parents[2]
FRESH = "pipe_event_e2e_seconds"


class Case(NamedTuple):
    """Series, and which alerts fire how many times at which minute."""

    what: str
    series: dict[str, str]
    fires: dict[tuple[int, str], int]


CASES = [
    Case(
        "a lane with old batches and none done is stuck, but not while it is being worked off",
        {
            'pipe_lane_oldest_batch_age_seconds{lane="actions"}': "0+60x30",
            'pipe_lane_oldest_batch_age_seconds{lane="observers"}': "0+60x30",
            'pipe_lane_oldest_batch_age_seconds{lane="repair"}': "0+60x30",
            'pipe_batches_total{lane="actions",outcome="done"}': "7x30",
            'pipe_batches_total{lane="observers",outcome="done"}': "0+1x30",
            'pipe_batches_total{lane="repair",outcome="done"}': "7x30",
            'pipe_batches_total{lane="actions",outcome="unavailable"}': "0+9x30",
        },
        {(10, "PipeLaneStuck"): 0, (12, "PipeLaneStuck"): 1},
    ),
    Case(
        "work without a worker; then one comes",
        {
            'pipe_lane_jobs{lane="actions",state="queued"}': "4x20",
            'pipe_workers{state="busy"}': "0x9 1x20",
            'pipe_workers{state="idle"}': "0x20",
        },
        {(2, "PipeNoWorkers"): 0, (4, "PipeNoWorkers"): 1, (11, "PipeNoWorkers"): 0},
    ),
    Case(
        "an idle pipeline needs no worker",
        {'pipe_lane_jobs{lane="actions",state="queued"}': "0x20"},
        {(10, "PipeNoWorkers"): 0, (10, "PipeMetricsAbsent"): 0},
    ),
    Case(
        "what waits takes long to work off",
        {
            'pipe_lane_jobs{lane="actions",state="queued"}': "4000x40",
            'pipe_lane_jobs{lane="observers",state="queued"}': "10x40",
            'pipe_batches_total{lane="actions",outcome="done"}': "0+60x40",
            'pipe_batches_total{lane="observers",outcome="done"}': "0+60x40",
        },
        {(10, "PipeLaneSlow"): 0, (20, "PipeLaneSlow"): 1},
    ),
    Case(
        "nobody sweeps",
        {"pipe_outbox_overdue_seconds": "0+60x20"},
        {(7, "PipeOutboxOverdue"): 0, (9, "PipeOutboxOverdue"): 1},
    ),
    Case(
        "the intake is about to close",
        {"pipe_outbox_pending_batches": "81x20", "pipe_outbox_max_batches": "100x20"},
        {(9, "PipeIntakeNearlyClosed"): 0, (10, "PipeIntakeNearlyClosed"): 1},
    ),
    Case(
        "a started batch without a worker is taken back at once, or somebody is told",
        {'pipe_lane_orphaned_batches{lane="actions"}': "1x2 0x4 1x20"},
        {(6, "PipeBatchesOrphaned"): 0, (14, "PipeBatchesOrphaned"): 1},
    ),
    Case(
        "one worker may die, not one after the other",
        {"pipe_batches_orphaned_total": "0 1x10 1+1x20"},
        {(9, "PipeWorkersDying"): 0, (20, "PipeWorkersDying"): 1},
    ),
    Case(
        "a process fails soon after each start",
        {"pipe_processes_crash_looping": "0x3 1x9"},
        {(3, "PipeCrashLoop"): 0, (6, "PipeCrashLoop"): 1},
    ),
    Case(
        "dead letters of one handler; retrying events are no one's business yet",
        {
            'pipe_trouble_events{handler="a.b",state="dead"}': "3x20",
            'pipe_trouble_events{handler="c.d",state="retrying"}': "3x20",
        },
        {(4, "PipeDeadLetters"): 0, (6, "PipeDeadLetters"): 1},
    ),
    Case(
        "held back for longer than any grace",
        {
            'pipe_trouble_oldest_age_seconds{handler="a.b",state="held"}': "3600+60x30",
            'pipe_trouble_oldest_age_seconds{handler="c.d",state="held"}': "3600x30",
        },
        {(12, "PipeHeldTooLong"): 0, (17, "PipeHeldTooLong"): 1},
    ),
    Case(
        "transactions undo each other",
        {
            'pipe_transaction_retries_total{cause="conflict"}': "0+120x40",
            "pipe_transaction_duration_seconds_count": "0+60x40",
        },
        {(10, "PipeTransactionsFight"): 0, (20, "PipeTransactionsFight"): 1},
    ),
    Case(
        "each tenant is silent by its own measure, and one may be for ever",
        {
            'pipe_intake_last_received_timestamp_seconds{tenant="acme"}': "0x60",
            'pipe_intake_last_received_timestamp_seconds{tenant="slow"}': "0x60",
            'pipe_intake_last_received_timestamp_seconds{tenant="ever"}': "0x60",
            'pipe_tenant_allowed_silence_seconds{tenant="acme"}': "600x60",
            'pipe_tenant_allowed_silence_seconds{tenant="slow"}': "86400x60",
            'pipe_tenant_allowed_silence_seconds{tenant="ever"}': "1000000000000x60",
        },
        {(14, "PipeTenantSilent"): 0, (17, "PipeTenantSilent"): 1},
    ),
    Case(
        "drift of one table",
        {'pipe_drift_documents{table="t"}': "0x3 2x9", 'pipe_drift_documents{table="u"}': "0x9"},
        {(3, "PipeDrift"): 0, (5, "PipeDrift"): 1},
    ),
    Case(
        "nothing is verified any more",
        {"pipe_drift_last_sample_timestamp_seconds": "-25000x30"},
        {(13, "PipeVerificationStale"): 0, (15, "PipeVerificationStale"): 1},
    ),
    Case(
        "Redis throws keys away, once",
        {"pipe_redis_evicted_keys_total": "0x5 3x20"},
        {(4, "PipeRedisEvicting"): 0, (7, "PipeRedisEvicting"): 1, (20, "PipeRedisEvicting"): 0},
    ),
    Case(
        "Redis is nearly full",
        {"pipe_redis_used_memory_bytes": "90x20", "pipe_redis_max_memory_bytes": "100x20"},
        {(9, "PipeRedisMemoryHigh"): 0, (10, "PipeRedisMemoryHigh"): 1},
    ),
    Case(
        "a Redis without a limit is never nearly full",
        {"pipe_redis_used_memory_bytes": "90x20", "pipe_redis_max_memory_bytes": "0x20"},
        {(15, "PipeRedisMemoryHigh"): 0},
    ),
    Case(
        "a server hangs",
        {"pipe_look_age_seconds": "0+60x9"},
        {(3, "PipeLookStale"): 0, (5, "PipeLookStale"): 1},
    ),
    Case(
        "a process is away",
        {'up{job="pipe",instance="a"}': "0x9", 'up{job="pipe",instance="b"}': "1x9"},
        {(4, "PipeProcessDown"): 0, (5, "PipeProcessDown"): 1},
    ),
    Case(
        "nothing is told at all, but that the way of alerts is open",
        {},
        {
            (4, "PipeMetricsAbsent"): 0,
            (6, "PipeMetricsAbsent"): 1,
            (0, "PipeWatchdog"): 1,
            (6, "PipeBudgetBurns"): 0,
        },
    ),
    Case(
        "an outage of the intake pages within minutes, by its fastest window",
        {
            'pipe_intake_submissions_total{outcome="stored"}': "0+60x60 3600x30",
            'pipe_intake_submissions_total{outcome="unavailable"}': "0x60 0+60x30",
            'pipe_intake_submissions_total{outcome="overloaded"}': "0+9000x90",
        },
        {(60, "PipeBudgetBurns"): 0, (68, "PipeBudgetBurns"): 2},
    ),
    Case(
        "one failure in a quiet hour is a large share, and tells nobody",
        {
            'pipe_intake_submissions_total{outcome="stored"}': "0+0.1x90",
            'pipe_intake_submissions_total{outcome="unavailable"}': "0x30 1x60",
        },
        {(32, "PipeBudgetBurns"): 0, (45, "PipeBudgetBurns"): 0, (80, "PipeBudgetBurns"): 0},
    ),
    Case(
        "events that take longer than 30 s burn the budget of freshness, those just below do not",
        {
            FRESH + '_count{handler="a.b"}': "0+60x90",
            FRESH + '_bucket{handler="a.b",le="30.0"}': "0+60x30 1800+6x60",
            FRESH + '_bucket{handler="a.b",le="10.0"}': "0x90",
        },
        {(30, "PipeBudgetBurns"): 0, (60, "PipeBudgetBurns"): 3},
    ),
]


def as_promtool(case: Case) -> dict[str, Any]:
    """A case as promtool reads it."""
    checks = [
        {
            "eval_time": f"{minute}m",
            "expr": f'count(ALERTS{{alertname="{name}",alertstate="firing"}}) or vector(0)',
            "exp_samples": [{"labels": "{}", "value": times}],
        }
        for (minute, name), times in case.fires.items()
    ]
    series = [{"series": name, "values": values} for name, values in case.series.items()]
    return {"interval": "1m", "name": case.what, "input_series": series, "promql_expr_test": checks}


NO_BAD_YET = {
    "interval": "1m",
    "name": "where nothing bad was ever counted, the ratio is 0 and not nothing",
    "input_series": [
        {"series": 'pipe_intake_submissions_total{outcome="stored"}', "values": "0+60x30"}
    ],
    "promql_expr_test": [
        {
            "eval_time": "20m",
            "expr": 'slo:error_ratio:rate5m{slo="intake_availability"}',
            "exp_samples": [
                {
                    "labels": 'slo:error_ratio:rate5m{slo="intake_availability"}',
                    "value": 0,
                }
            ],
        }
    ],
}
TESTS = [*map(as_promtool, CASES), NO_BAD_YET]


def test_every_alert_fires_when_it_should_and_not_before(tmp_path: Path) -> None:
    """All cases."""
    assert tried(tmp_path, [recording_rules(), alert_rules()], TESTS) == ""


def test_no_alert_is_left_out() -> None:
    """Each fires in some case and is silent in another, but for the one that always does."""
    tried_ones = {(name, bool(n)) for case in CASES for (_, name), n in case.fires.items()}
    names = {alert.name for alert in ALERTS} | {"PipeBudgetBurns"}
    assert {name for name, fires in tried_ones if fires} == names
    assert {name for name, fires in tried_ones if not fires} == names - {"PipeWatchdog"}


@pytest.mark.parametrize(
    ("alert", "old", "new"),
    [
        ("PipeBudgetBurns", r" and slo:bad_events:increase\w+\{slo=\S+\} > 10", ""),
        ("", r" or 0 \* sum\(rate\(pipe_intake[^)]*\)\)", ""),
        ("PipeLaneStuck", r" and on \(lane\) lane:pipe_batches:rate5m == 0", ""),
        ("PipeNoWorkers", r" unless on \(\) sum\(pipe_workers\) > 0", ""),
        (
            "PipeRedisMemoryHigh",
            r"\(pipe_redis_max_memory_bytes > 0\)",
            "pipe_redis_max_memory_bytes",
        ),
        ("PipeBudgetBurns", r'le="30.0"', 'le="10.0"'),
        ("PipeBudgetBurns", r'outcome!="overloaded"', 'outcome!="other"'),
        ("PipeLaneStuck", r'\{lane!="repair"\}', ""),
    ],
)
def test_a_rule_that_is_broken_on_purpose_is_found(
    tmp_path: Path, alert: str, old: str, new: str
) -> None:
    """Guard, zero, join, threshold and label each matter to some case."""
    concerned = [case for case in CASES if any(name == alert for _, name in case.fires)]
    tests = [*map(as_promtool, concerned), *([] if alert else [NO_BAD_YET])]
    rules = [recording_rules(), alert_rules()]
    broken = [re.sub(old, new, text) for text in rules]
    assert broken != rules
    assert "FAILED" in tried(tmp_path, broken, tests)


def test_promtool_finds_nothing_to_say_against_the_rules(tmp_path: Path) -> None:
    """Its lint as well."""
    write_rules(tmp_path)
    done = promtool("check", "rules", "--lint=all", "--lint-fatal", *tmp_path.iterdir())
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_rules_in_the_repository_are_those_of_the_code(tmp_path: Path) -> None:
    """Written anew, nothing changes."""
    write_rules(tmp_path)
    for file in tmp_path.iterdir():
        assert (HERE / "prometheus" / file.name).read_text() == file.read_text()


def test_patience_shortens_what_alerts_wait_and_nothing_else() -> None:
    """So a trial sees them fire soon, by the same conditions."""
    plain, quick = (re.sub(r"for: \w+", "", alert_rules(scale)) for scale in (1.0, 0.01))
    assert plain == quick
    longest = max(int(seconds) for seconds in re.findall(r"for: (\d+)s", alert_rules(0.01)))
    assert longest <= 18


def test_every_alert_has_a_runbook_and_links_the_console() -> None:
    """A short file that says what it means, what to look at and what to do."""
    for name in {alert.name for alert in ALERTS} | {"PipeBudgetBurns"}:
        text = (ROOT / "docs" / "runbooks" / f"{name}.md").read_text()
        assert text.startswith(f"# {name}\n")
        for part in ("**It means**", "**Look at**", "**Do**"):
            assert part in text, (name, part)
    for alert in ALERTS:
        assert alert.console.startswith("/ops/")
