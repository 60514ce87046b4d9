"""Recording and alert rules as text for Prometheus."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from dashboards.monitoring.alerts import ALERTS, Alert
from dashboards.monitoring.objectives import BURNS, FEWEST, OBJECTIVES, WINDOWS, Burn, Objective

HERE: Final = Path(__file__).parents[1]
"""The folder of dashboards, where all that is written is kept."""
HEAD: Final = "# Written by `python -m dashboards.monitoring`; change it there.\ngroups:\n"
SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
LONG: Final = "30d"
"""Evaluated rarely: it looks at a month of samples."""
CONSOLE: Final = "{{ $externalLabels.console }}"
"""Where the console is, as `external_labels` of Prometheus' own configuration says."""


def write_rules(folder: Path, patience: float = 1.0) -> None:
    """Write both kinds of rules into a folder.

    Args:
        folder: where.
        patience: multiplies what alerts wait, and what rarely evaluated rules do.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "recording.rules.yml").write_text(recording_rules(patience))
    (folder / "alerts.rules.yml").write_text(alert_rules(patience))


def recording_rules(scale: float = 1.0) -> str:
    """The rules that alerts and dashboards share.

    Args:
        scale: by how much the time between two looks at a month is multiplied.
    """
    shared = [
        _record("lane:pipe_batches:rate5m", BATCHES_RATE),
        _record("lane:pipe_lane_drain_seconds:estimate", DRAIN),
        _record("handler:pipe_run_duration_seconds:p95_5m", RUN_P95),
    ]
    fast: list[str] = []
    slow: list[str] = []
    for one in OBJECTIVES:
        labels = {"slo": one.name}
        fast.append(_record("slo:objective:ratio", f"vector({one.target})", labels))
        for window in WINDOWS:
            rule = _record(f"slo:error_ratio:rate{window}", error_ratio(one, window), labels)
            (slow if window == LONG else fast).append(rule)
        for window in dict.fromkeys(burn.long for burn in BURNS):
            rule = _record(f"slo:bad_events:increase{window}", bad_events(one, window), labels)
            fast.append(rule)
    groups = [
        ("pipe_shared", "", shared),
        ("pipe_slo", "", fast),
        ("pipe_slo_month", _scaled("5m", scale), slow),
    ]
    return HEAD + "".join(_group(*group) for group in groups)


def alert_rules(scale: float = 1.0) -> str:
    """The alerts.

    Args:
        scale: by how much what `for` says is multiplied, for a trial run of them.
    """
    burning = [
        alert for one in OBJECTIVES for burn in BURNS for alert in _burn_rate(one, burn, scale)
    ]
    plain = [line for alert in ALERTS for line in _alert(alert, scale)]
    return HEAD + _group("pipe_burn", "", burning) + _group("pipe_alerts", "", plain)


def error_ratio(one: Objective, window: str) -> str:
    """The share of bad ones in a window."""
    bad, total = one.bad.replace("$w", window), one.total.replace("$w", window)
    return f"({bad} or 0 * {total}) / {total}"


def bad_events(one: Objective, window: str) -> str:
    """How many bad ones there were in a window."""
    return one.bad.replace("rate(", "increase(").replace("$w", window)


BATCHES_RATE: Final = 'sum by (lane) (rate(pipe_batches_total{outcome="done"}[5m]))'
DRAIN: Final = 'sum by (lane) (pipe_lane_jobs{state="queued"}) / (lane:pipe_batches:rate5m > 0)'
RUN_P95: Final = (
    "histogram_quantile(0.95, sum by (handler, le) (rate(pipe_run_duration_seconds_bucket[5m])))"
)


def _burn_rate(one: Objective, burn: Burn, scale: float) -> Iterator[str]:
    limit = round(burn.rate * (1 - one.target), 6)
    of = f'{{slo="{one.name}"}}'
    expr = (
        f"slo:error_ratio:rate{burn.long}{of} > {limit}"
        f" and slo:error_ratio:rate{burn.short}{of} > {limit}"
        f" and slo:bad_events:increase{burn.long}{of} > {FEWEST}"
    )
    summary = (
        f"{one.name} spends its budget of 30 days {burn.rate:g} times too fast:"
        f" {{{{ $value | humanizePercentage }}}} within {burn.long} were bad."
        f" Promised: {one.target:.1%} {one.means}."
    )
    alert = Alert("PipeBudgetBurns", expr, burn.hold, burn.severity, summary, one.console)
    labels = {"slo": one.name, "window": burn.long, "burn": f"{burn.rate:g}"}
    yield from _alert(alert, scale, labels)


def _alert(alert: Alert, scale: float, labels: Mapping[str, str] | None = None) -> Iterator[str]:
    yield (
        f"      - alert: {alert.name}\n"
        f"        expr: {_quoted(alert.expr)}\n"
        f"        for: {_scaled(alert.hold, scale)}\n"
        f"        labels: {_labels({'severity': alert.severity, **(labels or {})})}\n"
        f"        annotations:\n"
        f"          summary: {_quoted(alert.summary)}\n"
        f"          runbook_url: docs/runbooks/{alert.name}.md\n"
        f"          console_url: {_quoted(CONSOLE + alert.console)}\n"
    )


def _record(name: str, expr: str, labels: Mapping[str, str] | None = None) -> str:
    told = f"        labels: {_labels(labels)}\n" if labels else ""
    return f"      - record: {name}\n        expr: {_quoted(expr)}\n{told}"


def _group(name: str, interval: str, rules: Sequence[str]) -> str:
    often = f"    interval: {interval}\n" if interval else ""
    return f"  - name: {name}\n{often}    rules:\n" + "".join(rules)


def _labels(labels: Mapping[str, str]) -> str:
    return "{" + ", ".join(f"{name}: {_quoted(value)}" for name, value in labels.items()) + "}"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _scaled(duration: str, scale: float) -> str:
    if scale == 1:
        return duration
    found = re.fullmatch(r"(\d+)([smhd])", duration)
    if found is None:
        raise ValueError(f"{duration} is no duration of one unit")
    return f"{math.ceil(int(found[1]) * SECONDS[found[2]] * scale)}s"
