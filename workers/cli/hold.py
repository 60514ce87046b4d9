"""Commands about holding events back: `hold show`, `hold set`, `hold reset`, `hold cost`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final

import typer
from rich.table import Table

from pipeline.declarations import Fold
from pipeline.errors import PipelineError
from pipeline.holding import LONGEST_GRACE_MS, HoldPolicy
from pipeline.lateness import HoldCost, cost_json, costs
from pipeline.metrics.catalogue import OPERATOR_ACTIONS
from pipeline.registry import Registry
from pipeline.store import Among
from pipeline.store.policies import HoldPolicies, Scope
from workers.cli.context import Json, cell, opened, out, print_json, settings_from
from workers.cli.options import OfHandler, OfTenant
from workers.cli.scopes import Shown, forget, in_force
from workers.cli.times import in_words

MILLISECONDS: Final = 1000


def register(app: typer.Typer) -> None:
    """Add the group of commands."""
    group = typer.Typer(
        no_args_is_help=True,
        help="Hold events back for a predecessor that is on its way, where their source numbers "
        "them (numbered_from= of a fold). Off unless a grace is set. It saves the healing of late "
        "events, and costs the time that events wait; results are the same with it and without. "
        "The most specific scope that sets a grace wins: handler with tenant, handler, tenant, "
        "everybody.",
    )
    group.command()(show)
    group.command("set")(change)
    group.command()(reset)
    group.command()(cost)
    app.add_typer(group, name="hold")


def show(handler: OfHandler = None, tenant: OfTenant = None, as_json: Json = False) -> None:  # noqa: FBT002 - a flag of the command line
    """Show the graces in force: of every scope that sets one, or of the one named.

    What a scope takes over from a wider one is dim.
    """
    with opened(settings_from()) as app:
        shown = in_force(HoldPolicies(app.store.database), HoldPolicy(), Scope(handler, tenant))
    _tell(shown, as_json=as_json)


def change(
    handler: OfHandler = None,
    tenant: OfTenant = None,
    *,
    grace: Annotated[
        float,
        typer.Option(
            help="Seconds that an event waits for the one before it; 0 lets none wait.",
            min=0,
            max=LONGEST_GRACE_MS / MILLISECONDS,
        ),
    ],
    as_json: Json = False,
) -> None:
    """Set a grace; workers follow within a second. What waits already keeps its time.

    Where the grace is set to 0 an event that waits is applied when it is due,
    though its predecessor may come before that.

    Example: pipeline hold set --tenant acme --grace 2.5
    """
    scope, values = Scope(handler, tenant), {"grace_ms": round(grace * MILLISECONDS)}
    with opened(settings_from()) as app:
        if handler is not None:
            _ensure_numbered(app.registry, handler)
        policies = HoldPolicies(app.store.database)
        policies.change(scope, values, app.clock.now())
        app.counts.add(OPERATOR_ACTIONS, ("hold",))
        shown = in_force(policies, HoldPolicy(), scope)
    _tell(shown, as_json=as_json)


def reset(handler: OfHandler = None, tenant: OfTenant = None) -> None:
    """Forget the grace that a scope sets, so that wider ones hold; without options everybody's."""
    forget(HoldPolicies, Scope(handler, tenant))


def cost(handler: OfHandler = None, tenant: OfTenant = None, as_json: Json = False) -> None:  # noqa: FBT002 - as above
    """Show what waiting has cost: how many events waited, what ended it, and how long it took."""
    with opened(settings_from()) as app:
        found = costs(app.store, Among(tenant, handler))
    if as_json:
        print_json([cost_json(one) for one in found])
    elif found:
        _print_costs(found)
    else:
        out.print("[green]✓[/] no event was held back", highlight=False)


def _ensure_numbered(registry: Registry, name: str) -> None:
    handler = registry.handler(name)
    if not isinstance(handler, Fold) or handler.numbered_from is None:
        raise PipelineError(
            f"{name} does not know the numbers of its events, so none of them can wait; "
            f"declare it with numbered_from="
        )


def _tell(shown: Sequence[Shown[HoldPolicy]], *, as_json: bool) -> None:
    if as_json:
        print_json([one.as_json() for one in shown])
        return
    table = Table("handler", "tenant", "grace", title="Hold policies", title_justify="left")
    for one in shown:
        grace = one.policy.grace_ms
        table.add_row(*one.cells({"grace_ms": in_words(grace) if grace else "off"}))
    out.print(table)


def _print_costs(found: Sequence[HoldCost]) -> None:
    columns = ("tenant", "handler", "held", "waiting", "by predecessor", "by end of grace")
    times = ("half within", "99 % within", "at most")
    table = Table(*columns, *times, title="Held back", title_justify="left")
    for column in table.columns[2:]:
        column.justify = "right"
    for one in found:
        numbers = (one.held, one.waiting, one.by_predecessor, one.by_grace)
        table.add_row(
            cell(one.tenant),
            cell(one.handler),
            *(f"{number:,}" for number in numbers),
            *(("-",) * 3 if one.waited is None else map(in_words, one.waited)),
        )
    out.print(table)
