"""How dead letters look to a person."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from pipeline.dead_letters import Inputs, Letter, Tally
from workers.cli.context import cell, moment, out

MESSAGE_CHARACTERS: Final = 120
"""Of an error in the list; `dead show` has all of it."""
STAGES: Final = {
    "handle": "while it was handled",
    "write": "while its effect was written",
    "heal": "while a late event was healed",
}


def counted(letters: int) -> str:
    """`1 dead letter`, `2 dead letters`."""
    return f"{letters:,} dead letter{'' if letters == 1 else 's'}"


def print_list(letters: Sequence[Letter], tallies: Sequence[Tally]) -> None:
    """A line for each letter, and what to do next."""
    total = sum(found.events for found in tallies)
    shown = "" if len(letters) >= total else f", {len(letters):,} shown; --limit shows more"
    table = Table(
        "died",
        "event",
        "handler",
        "attempts",
        "error",
        title=f"{counted(total)}{shown}",
        title_justify="left",
    )
    table.columns[3].justify = "right"
    for letter in letters:
        table.add_row(
            moment(letter.died_at),
            cell(letter.event),
            cell(letter.handler),
            f"{letter.attempts}",
            _text(letter.cause.partition("\n")[0][:MESSAGE_CHARACTERS]),
        )
    out.print(table)
    out.print(
        "Next: [cyan]pipeline dead show EVENT[/] for cause, traceback and inputs; "
        "[cyan]pipeline dead requeue[/] or [cyan]discard[/], by event or by filter",
        highlight=False,
    )


def print_plan(plan: Sequence[Tally]) -> None:
    """What was found, by handler and error."""
    table = Table("handler", "error", "letters", "first died", "last died")
    table.columns[2].justify = "right"
    for found in plan:
        table.add_row(
            cell(found.handler),
            cell(found.error),
            f"{found.events:,}",
            moment(found.oldest),
            moment(found.newest),
        )
    out.print(table)


def print_letter(letter: Letter, given: Inputs | None) -> None:
    """All that is known of a letter, and how to go on.

    Args:
        letter: the letter.
        given: what its handler would be given; None where no loaded module declares it.
    """
    error, attempts = letter.error, letter.attempts
    out.print(
        f"[bold red]✗[/] [bold]{cell(letter.handler)}[/] has given up on "
        f"[bold]{cell(letter.event)}[/] after {attempts} attempt{'' if attempts == 1 else 's'}",
        highlight=False,
    )
    table = Table.grid(padding=(0, 2))
    stage = STAGES.get(error.get("stage", ""), "")
    table.add_row("cause", f"{_text(letter.cause)}  [dim]{stage}[/]")
    for name, value in _facts(letter):
        table.add_row(name, value)
    out.print(Padding(table, (0, 0, 0, 2)), highlight=False)
    _print_inputs(letter, given)
    if "traceback" in error:
        _print_block("traceback", error["traceback"])
    whom = f"{shlex.quote(letter.event)} --handler {letter.handler}"
    out.print(
        f"Once the cause is mended: [cyan]pipeline dead requeue {cell(whom)}[/]\n"
        f"If it needs no effect: [cyan]pipeline dead discard {cell(whom)} --reason …[/]",
        highlight=False,
        soft_wrap=True,
    )


def _facts(letter: Letter) -> list[tuple[str, str]]:
    row, run, record = letter.row, letter.run, letter.record
    by = f" by {_text(run.worker)}" if run else ""
    facts = [("last attempt", f"{moment(letter.died_at)}{by}"), ("job", cell(row.job))]
    if record is None:
        return [*facts, ("event", "is not stored any more")]
    event = record.event
    about = f"{_text(event.type)} of {_text(event.entity_id)}"
    happened = f"happened {moment(event.occurred_at)}, received {moment(record.received_at)}"
    return [*facts, ("event", f"{about}, {happened}")]


def _print_inputs(letter: Letter, given: Inputs | None) -> None:
    if letter.record is not None:
        _print_block("payload", _pretty(letter.record.event.payload))
    if given is None:
        _print_block("state", "not known: no loaded module declares the handler")
    elif given.document is None:
        _print_block("state", "none is read")
    else:
        _print_block(f"state before, {given.document}", _state(given.before))
        if given.observes:
            _print_block("state after", _state(given.after))


def _state(fields: dict[str, Any] | None) -> str:
    return "none" if fields is None else _pretty(fields)


def _pretty(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, default=_plain)


def _plain(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _print_block(name: str, text: str) -> None:
    out.print(Text(f"  {printable(name)}", style="bold"))
    out.print(Padding(Text(printable(text.rstrip())), (0, 0, 0, 4)))


def _text(text: object) -> str:
    return cell(printable(str(text)))


def printable(text: str) -> str:
    """The text without what could steer a terminal: errors quote what others sent."""
    return "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in text)
