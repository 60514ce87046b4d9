"""What commands about policies share: showing what is in force, where, and forgetting it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import BaseModel

from pipeline.errors import NotFound
from pipeline.metrics.catalogue import OPERATOR_ACTIONS
from pipeline.policies import PolicyTable
from pipeline.store.policies import HoldPolicies, Policies, Scope
from workers.cli.context import cell, err, opened, out, settings_from

P = TypeVar("P", bound=BaseModel)


@dataclass(frozen=True)
class Shown(Generic[P]):
    """A scope, the policy in force in it, and which of its values are its own."""

    scope: Scope
    policy: P
    own: frozenset[str]

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            **self.scope._asdict(),
            "policy": self.policy.model_dump(mode="json"),
            "set": sorted(self.own),
        }

    def cells(self, values: dict[str, str]) -> list[str]:
        """The scope and these values of its policy, dim where it takes them over."""
        told = (text if name in self.own else f"[dim]{text}[/]" for name, text in values.items())
        return [cell(self.scope.handler or "all"), cell(self.scope.tenant or "all"), *told]


def in_force(policies: Policies, default: P, asked: Scope) -> list[Shown[P]]:
    """The scope that was asked for; where none was, everybody's and all that set something."""
    stored = policies.all()
    table = PolicyTable(stored, default)
    for scope, reason in table.refused.items():
        err.print(f"[red]left out, the policy for {cell(named(scope))}[/]: {cell(reason)}")
    everybody = Scope(None, None)
    scopes = dict.fromkeys([everybody, *stored]) if asked == everybody else [asked]
    return [
        Shown(
            scope,
            table.policy_for(*scope),
            frozenset() if scope in table.refused else frozenset(stored.get(scope, {})),
        )
        for scope in scopes
    ]


def forget(kind: type[Policies], scope: Scope) -> None:
    """Forget all that a scope sets.

    Raises:
        NotFound: it sets nothing.
    """
    with opened(settings_from()) as app:
        if not kind(app.store.database).reset(scope):
            raise NotFound(f"no policy is set for {named(scope)}")
        app.counts.add(OPERATOR_ACTIONS, ("hold" if kind is HoldPolicies else "locks",))
    out.print(f"[green]✓[/] forgotten: the policy for {cell(named(scope))}", highlight=False)


def named(scope: Scope) -> str:
    """The scope in words."""
    handler = f"handler {scope.handler}" if scope.handler else "all handlers"
    return f"{handler} and {f'tenant {scope.tenant}' if scope.tenant else 'all tenants'}"
