"""Deciding about dead letters: which ones are meant, whether it is meant, and how it went."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from pipeline.dead_letters import Decided, Decisions, Tally, Where, tally
from pipeline.errors import NotFound
from pipeline.keys import did_you_mean
from workers.bootstrap import Application
from workers.cli.context import Exit, cell, err, fail, opened, out, print_json, settings_from
from workers.cli.dead.showing import counted, print_plan

ToldOf = Callable[[Decided], object]
Act = Callable[[Decisions, Where, int | None, ToldOf], Decided]
"""Decides about the letters that match, so many at the most, and tells how far it is."""

PAST = {"requeue": "requeued", "discard": "discarded"}


@dataclass(frozen=True)
class Asked:
    """What a command asks for.

    Attributes:
        verb: `requeue` or `discard`.
        events: ids or keys of events; without any the filter alone says which.
        where: the filter.
        limit: most letters, if there is a most.
        everything: whether no filter is meant to be none.
        yes: whether to go on without a question.
        dry_run: whether to stop at the plan.
        json: whether to print for programs.
    """

    verb: str
    events: Sequence[str]
    where: Where
    limit: int | None
    everything: bool
    yes: bool
    dry_run: bool
    json: bool


def decide(asked: Asked, act: Act) -> None:
    """Show how many letters are meant, ask where that is wanted, and decide about them."""
    if not asked.events and asked.where == Where() and not asked.everything:
        fail(f"say what to {asked.verb}: ids of events, filters, or --all", Exit.USAGE)
    with opened(settings_from()) as app:
        wheres = of_events(app, asked.events, asked.where) if asked.events else [asked.where]
        plan = [found for where in wheres for found in tally(app.store, where)]
        matching = sum(found.events for found in plan)
        meant = matching if asked.limit is None else min(matching, asked.limit)
        if not matching and asked.events:
            raise NotFound(f"no handler has given up on {', '.join(asked.events)}")
        if not asked.json:
            _print_plan(app, asked, plan, meant)
        if asked.dry_run or not meant:
            decided = None
        else:
            _ask(asked, meant)
            decided = _decide(app, asked, wheres, meant, act)
    if asked.json:
        print_json(_summary(asked, plan, matching, decided))
    elif decided is not None:
        _print_decided(asked, decided)
    if decided is not None and decided.unknown:
        raise typer.Exit(Exit.PARTLY)


def of_events(app: Application, events: Sequence[str], where: Where) -> list[Where]:
    """The filter for each event of these ids, in any tenant and source.

    Raises:
        NotFound: no event has one of the ids.
    """
    keys: dict[str, None] = {}
    for event in events:
        found = app.store.records.events.keys_of(event)
        if not found:
            raise NotFound(f"no event {event!r} is stored")
        keys |= dict.fromkeys(found)
    return [replace(where, event=key) for key in keys]


def hint(app: Application, where: Where) -> str:
    """What may be wrong with a filter that nothing matches."""
    names = [handler.name for handler in app.registry]
    if where == Where():
        return ""
    if where.handler is None or where.handler in names:
        return " match"
    return f" match, and there is no handler {where.handler!r}{did_you_mean(where.handler, names)}"


def _ask(asked: Asked, meant: int) -> None:
    """Let a person confirm what a filter found; events that were named are meant."""
    if asked.events or asked.yes:
        return
    if not typer.confirm(f"{asked.verb} {counted(meant)}?", err=True):
        err.print("nothing was changed")
        raise typer.Exit(Exit.FAILED)


def _decide(
    app: Application, asked: Asked, wheres: Sequence[Where], meant: int, act: Act
) -> Decided:
    decisions = Decisions(app.store, app.registry, app.queue, app.clock, app.settings, app.counts)
    total = Decided()
    with _progress(asked, meant) as told:
        for where in wheres:
            left = None if asked.limit is None else asked.limit - total.letters
            total = total.plus(act(decisions, where, left, partial(_tell, told, total)))
    return total


def _tell(told: ToldOf, before: Decided, since: Decided) -> None:
    told(before.plus(since))


@contextmanager
def _progress(asked: Asked, meant: int) -> Iterator[ToldOf]:
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    with Progress(*columns, console=err, transient=True, disable=asked.json) as progress:
        task = progress.add_task(PAST[asked.verb], total=meant)
        yield lambda decided: progress.update(task, completed=decided.letters)


def _print_plan(app: Application, asked: Asked, plan: Sequence[Tally], meant: int) -> None:
    if not plan:
        out.print(f"[green]✓[/] no dead letters{cell(hint(app, asked.where))}", highlight=False)
        return
    print_plan(plan)
    if asked.dry_run:
        out.print(
            f"{counted(meant)} would be {PAST[asked.verb]}; nothing was changed", highlight=False
        )


def _print_decided(asked: Asked, decided: Decided) -> None:
    out.print(f"[green]✓[/] {counted(decided.done)} {PAST[asked.verb]}", highlight=False)
    if decided.left_alone:
        out.print(f"{decided.left_alone:,} left alone, dead no longer", highlight=False)
    if decided.unknown:
        err.print(
            f"[red]{decided.unknown:,} left as they are[/]: no loaded module declares their "
            f"handler; name it with pipeline --handlers",
            highlight=False,
        )
    if decided.untold:
        err.print(
            "[yellow]Redis did not take it[/]; the sweeper puts that right when it is back",
            highlight=False,
        )


def _summary(
    asked: Asked, plan: Sequence[Tally], matching: int, decided: Decided | None
) -> dict[str, Any]:
    told: dict[str, Any] = {
        "matching": matching,
        "plan": [found._asdict() for found in plan],
        "dry_run": asked.dry_run,
    }
    if decided is None:
        return told
    return told | {
        PAST[asked.verb]: decided.done,
        "left_alone": decided.left_alone,
        "unknown_handler": decided.unknown,
        "redis_not_told": decided.untold,
    }
