"""What the demo tells at its end: figures, proof, and what to try next."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from benchmarks import oracle
from benchmarks.feeding import Fed, percentiles
from pipeline.event import event_id_of
from pipeline.settings import Settings
from pipeline.store.ledger import row_id
from workers.bootstrap import Application

MILLISECONDS: Final = 1000
SAMPLED_AT_ONCE: Final = 1_000


def figures(app: Application, fed: Fed, seconds: float) -> dict[str, Any]:
    """What the run came to, for people and programs alike."""
    p50, p99 = percentiles(_latencies(app, fed.sample), 0.50, 0.99)
    records = app.store.records
    return {
        "submitted": fed.submitted,
        "events": fed.accepted,
        "duplicates": fed.duplicates,
        "refused": fed.others,
        "seconds": round(seconds, 2),
        "events_per_second": round(fed.submitted / seconds),
        "latency_ms": {"p50": p50, "p99": p99, "sampled": len(fed.sample)},
        "documents": app.store.counts(app.registry.tables()),
        "late_healed": app.store.database["ledger"].count_documents({"mark": "late"}),
        "trouble": records.ledger.in_trouble(),
        "workers": app.settings.workers,
    }


def print_run(out: Console, run: dict[str, Any], settings: Settings) -> None:
    """The figures, in words."""
    latency = run["latency_ms"]
    rows = {
        "data": f"the first {run['flights']:,} flights from New York City in 2013",
        "events": f"{run['submitted']:,} sent, {run['events']:,} of them new",
        "injected": f"{run['sent_twice']:,} events sent twice, {run['moved_later']:,} moved later "
        f"(seed {run['seed']})",
        "duplicates": f"{run['duplicates']:,} turned away",
        "late": f"{run['late_healed']:,} applied after a later event of their flight, and healed",
        "rate": f"{run['events_per_second']:,} events a second end to end: {run['seconds']:.1f} s "
        f"from first submission to nothing left to do, {settings.workers} workers",
        "latency": f"half within {_duration(latency['p50'])}, 99% within "
        f"{_duration(latency['p99'])}, from an event's receipt to its last handler's write; we "
        f"send as fast as the workers go, so this is mostly waiting in line",
        **{name: f"{documents:,} documents" for name, documents in run["documents"].items()},
    }
    if not latency["sampled"]:
        del rows["latency"]  # all of it was there before
    shown = Table.grid(padding=(0, 2))
    for name, text in rows.items():
        shown.add_row(f"[bold]{name}[/]", text)
    out.print(shown, highlight=False)
    for state, count in run["trouble"].items():
        out.print(f"[red]✗[/] {count:,} handler runs are {state}", highlight=False)
    if run["refused"]:
        out.print(f"[red]✗[/] {run['refused']:,} events were refused", highlight=False)


def prove(out: Console, app: Application, path: Path, flights: int) -> list[str]:
    """Compare every document with the recalculation; say so, and return what differs."""
    expected = oracle.expected_tables(path, flights)
    with Progress(
        TextColumn("compared "), BarColumn(), MofNCompleteColumn(), console=out, transient=True
    ) as progress:
        task = progress.add_task("compared", total=len(expected))
        found = oracle.differences(
            app.store.database,
            expected,
            progress=lambda documents: progress.advance(task, documents),
        )
    if found:
        out.print("[bold red]✗ the tables differ from the recalculation:[/]")
        for difference in found:
            out.print(f"  {difference}", markup=False, highlight=False, soft_wrap=True)
    else:
        out.print(
            f"[bold green]✓ all {len(expected):,} documents of {len(expected.tables)} tables "
            f"equal an independent recalculation from the raw file with pandas[/]",
            highlight=False,
            soft_wrap=True,
        )
    return found


def print_next(out: Console, app: Application) -> None:
    """Three commands that work as they are printed, from where the demo was run."""
    out.print("\nTry next:")
    for arguments in (
        f"trace {shlex.quote(_event_to_trace(app))}",
        "query rs_lead_global_conversions --tenant UA",
        "status",
    ):
        command = f"{_environment(app.settings)} {_program()} {arguments}"
        out.print(f"  {command}", markup=False, highlight=False, soft_wrap=True)
    if app.settings.mongo_url or app.settings.redis_url:
        out.print("with the addresses of the servers in the environment, as they are now")


def _latencies(app: Application, sample: list[str]) -> list[float]:
    """Per sampled event, milliseconds from its receipt to its last handler's write."""
    handlers = [handler.name for handler in app.registry]
    slowest: dict[str, float] = {}
    for start in range(0, len(sample), SAMPLED_AT_ONCE):
        part = sample[start : start + SAMPLED_AT_ONCE]
        ids = [row_id(event, handler) for event in part for handler in handlers]
        for row in app.store.records.ledger.rows(ids).values():
            slowest[row.event] = max(slowest.get(row.event, 0), row.lag_ms)
    return list(slowest.values())


def _event_to_trace(app: Application) -> str:
    """An event that came late if there is one, else any."""
    ledger = app.store.database["ledger"]
    late = ledger.find({"mark": "late"}, {"_id": 1}).limit(1)
    row = next(late, None) or next(ledger.find({}, {"_id": 1}).limit(1))
    return event_id_of(row["_id"].rpartition("|")[0])


def _environment(settings: Settings) -> str:
    words = [f"PIPELINE_DATA_DIR={shlex.quote(_from_here(settings.data_dir))}"]
    if settings.mongo_url is not None:
        words.append(f"PIPELINE_DATABASE={settings.database}")
    return " ".join(words)


def _program() -> str:
    return shlex.quote(_from_here(Path(sys.executable).with_name("pipeline")))


def _from_here(path: Path) -> str:
    """The path as a person would type it here."""
    absolute, here = path.absolute(), Path.cwd()
    return str(absolute.relative_to(here) if absolute.is_relative_to(here) else absolute)


def _duration(milliseconds: float) -> str:
    if milliseconds < MILLISECONDS:
        return f"{milliseconds:.0f} ms"
    return f"{milliseconds / MILLISECONDS:.1f} s"
