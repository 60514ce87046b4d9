"""Commands about lock policies: `locks show`, `locks set`, `locks reset`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import typer
from rich.table import Table

from pipeline.errors import NotFound
from pipeline.locks import LockPolicy, PolicyTable, WhenBusy
from pipeline.querying import TENANT
from pipeline.store.lock_policies import LockPolicies, Scope
from workers.bootstrap import Application
from workers.cli.context import Exit, Json, cell, err, fail, opened, out, print_json, settings_from

MILLISECONDS = 1000


def _name(text: str | None) -> str | None:
    """A name as handlers and tenants have; the empty one would mean all of them."""
    if text is not None and not TENANT.fullmatch(text):
        raise typer.BadParameter(f"{text!r} is no name")
    return text


OfHandler = Annotated[
    str | None, typer.Option("--handler", help="This handler only.", callback=_name)
]
OfTenant = Annotated[str | None, typer.Option("--tenant", help="This tenant only.", callback=_name)]


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


@dataclass(frozen=True)
class _Shown:
    """A scope, the policy in force in it, and which of its values are its own."""

    scope: Scope
    policy: LockPolicy
    own: frozenset[str]

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            **self.scope._asdict(),
            "policy": self.policy.model_dump(mode="json"),
            "set": sorted(self.own),
        }


def show(handler: OfHandler = None, tenant: OfTenant = None, as_json: Json = False) -> None:  # noqa: FBT002 - a flag of the command line
    """Show the policies in force: of every scope that sets something, or of the one named.

    What a scope takes over from a wider one is dim.
    """
    with opened(settings_from()) as app:
        shown = _shown(app, Scope(handler, tenant))
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
        LockPolicies(app.store.database).change(scope, values, app.clock.now())
        shown = _shown(app, scope)
    if as_json:
        print_json([one.as_json() for one in shown])
    else:
        _print(shown)


def reset(handler: OfHandler = None, tenant: OfTenant = None) -> None:
    """Forget all that a scope sets, so that wider ones hold; without options everybody's."""
    scope = Scope(handler, tenant)
    with opened(settings_from()) as app:
        if not LockPolicies(app.store.database).reset(scope):
            raise NotFound(f"no policy is set for {_named(scope)}")
    out.print(f"[green]✓[/] forgotten: the policy for {cell(_named(scope))}", highlight=False)


def _shown(app: Application, asked: Scope) -> list[_Shown]:
    """The scope that was asked for; where none was, everybody's and all that set something."""
    stored = LockPolicies(app.store.database).all()
    table = PolicyTable(stored)
    for scope, reason in table.refused.items():
        err.print(f"[red]left out, the policy for {cell(_named(scope))}[/]: {cell(reason)}")
    everybody = Scope(None, None)
    scopes = dict.fromkeys([everybody, *stored]) if asked == everybody else [asked]
    return [
        _Shown(
            scope,
            table.policy_for(*scope),
            frozenset() if scope in table.refused else frozenset(stored.get(scope, {})),
        )
        for scope in scopes
    ]


def _print(shown: list[_Shown]) -> None:
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
        cells = (text if name in one.own else f"[dim]{text}[/]" for name, text in values.items())
        table.add_row(cell(one.scope.handler or "all"), cell(one.scope.tenant or "all"), *cells)
    out.print(table)


def _named(scope: Scope) -> str:
    handler = f"handler {scope.handler}" if scope.handler else "all handlers"
    return f"{handler} and {f'tenant {scope.tenant}' if scope.tenant else 'all tenants'}"
