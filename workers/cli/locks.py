"""Commands about lock policies: `locks show`, `locks set`, `locks reset`."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from pipeline.locks import LockPolicy, WhenBusy
from pipeline.metrics.catalogue import OPERATOR_ACTIONS
from pipeline.store.policies import LockPolicies, Scope
from workers.cli.context import Exit, Json, fail, opened, out, print_json, settings_from
from workers.cli.options import OfHandler, OfTenant
from workers.cli.scopes import Shown, forget, in_force

MILLISECONDS = 1000


def register(app: typer.Typer) -> None:
    """Add the group of commands."""
    group = typer.Typer(
        no_args_is_help=True,
        help="Leases on ids: switch and tune them while workers run. The most specific scope "
        "that sets a value wins: handler with tenant, handler, tenant, everybody.",
    )
    group.command()(show)
    group.command("set")(change)
    group.command()(reset)
    app.add_typer(group, name="locks")


def show(handler: OfHandler = None, tenant: OfTenant = None, as_json: Json = False) -> None:  # noqa: FBT002 - a flag of the command line
    """Show the policies in force: of every scope that sets something, or of the one named.

    What a scope takes over from a wider one is dim.
    """
    with opened(settings_from()) as app:
        shown = in_force(LockPolicies(app.store.database), LockPolicy(), Scope(handler, tenant))
    if as_json:
        print_json([one.as_json() for one in shown])
        return
    _print(shown)


def change(
    handler: OfHandler = None,
    tenant: OfTenant = None,
    *,
    on: Annotated[bool | None, typer.Option("--on/--off", help="Take leases, or none.")] = None,
    ttl: Annotated[
        float | None, typer.Option(help="Seconds a lease lives unless renewed.", min=1, max=600)
    ] = None,
    wait: Annotated[
        float | None, typer.Option(help="Seconds to wait for busy ids.", min=0, max=60)
    ] = None,
    when_busy: Annotated[
        WhenBusy | None,
        typer.Option(help="Then put the events of busy ids off, or go on without a lease."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Set values of a policy; workers follow within a second. Values not named stay.

    Example: pipeline locks set --handler appointments.apply --tenant acme --ttl 10 --wait 2
    """
    values = {
        "enabled": on,
        "ttl_ms": None if ttl is None else round(ttl * MILLISECONDS),
        "wait_ms": None if wait is None else round(wait * MILLISECONDS),
        "when_busy": None if when_busy is None else when_busy.value,
    }
    values = {name: value for name, value in values.items() if value is not None}
    if not values:
        fail("say what to set: --on, --off, --ttl, --wait or --when-busy", Exit.USAGE)
    scope = Scope(handler, tenant)
    with opened(settings_from()) as app:
        if handler is not None:
            app.registry.handler(handler)
        policies = LockPolicies(app.store.database)
        policies.change(scope, values, app.clock.now())
        app.counts.add(OPERATOR_ACTIONS, ("locks",))
        shown = in_force(policies, LockPolicy(), scope)
    if as_json:
        print_json([one.as_json() for one in shown])
    else:
        _print(shown)


def reset(handler: OfHandler = None, tenant: OfTenant = None) -> None:
    """Forget all that a scope sets, so that wider ones hold; without options everybody's."""
    forget(LockPolicies, Scope(handler, tenant))


def _print(shown: list[Shown[LockPolicy]]) -> None:
    columns = ("handler", "tenant", "leases", "lives", "wait", "when busy")
    table = Table(*columns, title="Lock policies", title_justify="left")
    for one in shown:
        policy = one.policy
        values = {
            "enabled": "on" if policy.enabled else "off",
            "ttl_ms": f"{policy.ttl_ms / MILLISECONDS:g} s",
            "wait_ms": f"{policy.wait_ms / MILLISECONDS:g} s",
            "when_busy": policy.when_busy.value,
        }
        table.add_row(*one.cells(values))
    out.print(table)
