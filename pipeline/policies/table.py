"""The policies of all scopes, compiled: which one is in force for a handler and a tenant.

Every value is decided by itself: the most specific scope that sets it wins, a handler's
with a tenant before a handler's, before a tenant's, before everybody's. So switching a
tenant off leaves alone what was tuned for a handler, and the other way round.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from pipeline.errors import PipelineError
from pipeline.store.policies import Scope

PAIRS_REMEMBERED: Final = 10_000
"""Pairs of handler and tenant whose policy is kept at hand; tenants may be any number."""

P = TypeVar("P", bound=BaseModel)


class PolicyTable(Generic[P]):
    """All policies, compiled; nothing in it changes.

    What can't be understood in one scope (a value of a newer version, or one edited by
    hand) leaves out that scope alone.

    Args:
        stored: the values each scope sets.
        default: the policy where no scope sets anything; tells what kind of policy they are.

    Attributes:
        refused: scopes that were left out, each with the reason.
    """

    def __init__(
        self,
        stored: Mapping[Scope, Mapping[str, Any]],
        default: P,
    ) -> None:
        self._default = default
        self._values: dict[Scope, dict[str, Any]] = {}
        self._known: dict[tuple[str | None, str | None], P] = {}
        refused: dict[Scope, str] = {}
        for scope, values in stored.items():
            try:
                self._values[scope] = checked(type(default), values)
            except PipelineError as error:
                refused[scope] = str(error)
        self.refused = MappingProxyType(refused)

    def policy_for(self, handler: str | None, tenant: str | None) -> P:
        """The policy of a handler for a tenant; a look into a dict from the second time on.

        None stands for a handler or a tenant of which nothing is known.
        """
        known = self._known.get((handler, tenant))
        if known is None:
            known = self._resolve(handler, tenant)
            if len(self._known) < PAIRS_REMEMBERED:
                self._known[handler, tenant] = known
        return known

    def _resolve(self, handler: str | None, tenant: str | None) -> P:
        widest_first = (
            Scope(None, None),
            Scope(None, tenant),
            Scope(handler, None),
            Scope(handler, tenant),
        )
        values: dict[str, Any] = {}
        for scope in widest_first:
            values |= self._values.get(scope, {})
        return self._default.model_copy(update=values)


def checked(kind: type[BaseModel], values: Mapping[str, Any]) -> dict[str, Any]:
    """Some of a policy's values, each within its bounds.

    Raises:
        PipelineError: one is not, and the message names it; or these are no values.
    """
    if not isinstance(values, Mapping):
        raise PipelineError(f"{values!r:.100} are no values by name")
    try:
        policy = kind.model_validate(dict(values))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = ".".join(str(part) for part in first["loc"])
        raise PipelineError(f"{name}: {first['msg']}") from None
    return {name: getattr(policy, name) for name in policy.model_fields_set}
