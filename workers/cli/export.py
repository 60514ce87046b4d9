"""`pipeline export`: the events that came, as a file that can be taken in again."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Annotated, Final

import typer

from pipeline.store.traffic import Asked, Order, Traffic
from workers.cli.bars import counting
from workers.cli.context import Exit, Json, cell, err, fail, opened, out, print_json, settings_from
from workers.cli.options import OfTenant
from workers.cli.times import moment_option
from workers.export import Disguise, Exported, export, written
from workers.pseudonyms import Pseudonyms, without

OUT: Final = "-"
SEED: Final = "PIPELINE_PSEUDONYMS"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("export")(export_events)


def export_events(  # noqa: PLR0913 - each is an option of the command line
    file: Annotated[
        Path,
        typer.Argument(help="NDJSON to write; gzip where it ends with .gz; - for standard output."),
    ],
    *,
    tenant: OfTenant = None,
    types: Annotated[
        list[str] | None,
        typer.Option("--type", help="Only this type, * for any text; may be given again."),
    ] = None,
    since: Annotated[
        datetime | None,
        typer.Option(
            parser=moment_option,
            metavar="TIME",
            help="Received then or later (with --order event: that happened then or later): "
            "ISO 8601, or 2h, 3d for ago.",
        ),
    ] = None,
    until: Annotated[
        datetime | None,
        typer.Option(parser=moment_option, metavar="TIME", help="Before then, likewise."),
    ] = None,
    order: Annotated[
        Order, typer.Option(help="Lines in the order of receipt, or of event time.")
    ] = Order.ARRIVAL,
    pseudonyms: Annotated[
        str | None,
        typer.Option(
            metavar="SEED",
            envvar=SEED,
            help="Write other names for event ids, tenants, entities, and for every text and "
            "number of payloads; the same seed gives the same names. Keep it secret.",
        ),
    ] = None,
    keep: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FIELD",
            help="With --pseudonyms: leave this payload field as it is; a.b for b within a; "
            "may be given again.",
        ),
    ] = None,
    drop: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FIELD", help="Leave this payload field out; a.b as above; may be given again."
        ),
    ] = None,
    undone: Annotated[
        bool, typer.Option("--undone", help="Also events that a person took back.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Write the events that came to a file, for `pipeline ingest` and `pipeline bench run --data`.

    A line holds an event as its source told it, and one that was sent several times stands there
    once. Events that come meanwhile are not in it. Left out and told: events whose payloads are
    stored no longer (exit status 3), and those that were undone. The file is for its owner's
    eyes, and an existing one is never overwritten.

    By default payloads are written as they are, with all that is personal in them. To give a file
    away take --pseudonyms: then all of a payload is disguised but for what --keep names, such as
    times that handlers have to read. What stays in any case: types, sources, event times, numbers
    in their sequence, names of fields, true, false and null. Events of the same time and number
    may change places, since their ids decide.

    Example: pipeline export traffic.ndjson.gz --since 2h --pseudonyms "$SEED" --keep starts_at
    """
    if as_json and str(file) == OUT:
        fail("with - the lines go where --json would; name a file", Exit.USAGE)
    disguise = _disguise(pseudonyms, keep or [], drop or [])
    quiet = as_json or str(file) == OUT
    with opened(settings_from()) as app:
        now, started = app.clock.now(), app.clock.monotonic()
        asked = Asked(now, order, tenant, tuple(types or ()), since, until, undone=undone)
        told = _Told(order=order.value, pseudonyms=pseudonyms is not None)
        total = _exported(Traffic(app.store.database), asked, file, disguise, told, quiet=quiet)
        told.seconds = app.clock.monotonic() - started
    if as_json:
        print_json({"file": str(file), **asdict(total), **asdict(told)})
    else:
        _print_summary(file, total, told)
    if total.expired:
        raise typer.Exit(Exit.PARTLY)


@dataclass(slots=True)
class _Told:
    """What is told besides of what was written."""

    order: str
    pseudonyms: bool
    undone: int = 0
    seconds: float = 0.0


def _exported(
    traffic: Traffic,
    asked: Asked,
    file: Path,
    disguise: Disguise | None,
    told: _Told,
    *,
    quiet: bool,
) -> Exported:
    if not asked.undone:
        told.undone = traffic.undone(asked)
    matching = traffic.count(asked)
    if not matching:
        besides = f", but for {told.undone:,} that were undone (--undone)" if told.undone else ""
        fail(f"no event matches{besides}", Exit.FAILED)
    with _target(file) as target, counting(quiet=quiet) as progress:
        task = progress.add_task("export", total=matching)
        return export(
            traffic.events(asked),
            target,
            disguise=disguise,
            on_progress=lambda done: progress.update(task, completed=done),
        )


def _disguise(seed: str | None, kept: list[str], dropped: list[str]) -> Disguise | None:
    """What changes events before they are written; None where nothing is to be changed."""
    if seed == "":
        fail("--pseudonyms takes a seed, and an empty one is none", Exit.USAGE)
    if seed is not None:
        names = Pseudonyms(seed, kept, dropped)
        return lambda envelope, payload: (names.envelope(envelope), names.payload(payload))
    if kept:
        fail("--keep says what --pseudonyms leaves as it is, and goes with it", Exit.USAGE)
    if dropped:
        return lambda envelope, payload: (envelope, without(payload, dropped))
    return None


@contextmanager
def _target(file: Path) -> Iterator[IO[bytes]]:
    """The file, or standard output; ends the command where it can't be written."""
    if str(file) == OUT:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    try:
        with written(file) as target:
            yield target
    except FileExistsError as error:
        fail(str(error), Exit.USAGE)
    except OSError as error:
        fail(f"{file} can't be written: {error.strerror}", Exit.USAGE)


def _print_summary(file: Path, total: Exported, told: _Told) -> None:
    to = err if str(file) == OUT else out
    names = " under other names" if told.pseudonyms else ""
    to.print(
        f"[bold]{total.events:,}[/] events written to {cell(file)}{names}, {total.bytes:,} bytes "
        f"of text in {told.seconds:.1f} s",
        highlight=False,
        soft_wrap=True,
    )
    for count, words in (
        (total.copies, "copies had come of these; each event stands there once"),
        (told.undone, "events were undone and are left out (--undone)"),
    ):
        if count:
            to.print(f"[yellow]{count:,}[/] {words}", highlight=False, soft_wrap=True)
    if total.expired:
        err.print(
            f"[red]{total.expired:,} events are left out: their payloads are stored no longer[/]",
            highlight=False,
            soft_wrap=True,
        )
