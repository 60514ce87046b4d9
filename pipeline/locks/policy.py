"""Lock policies: whether and how a handler takes leases for a tenant's ids.

Every value is decided by itself: the most specific scope that sets it wins, a handler's
with a tenant before a handler's, before a tenant's, before everybody's. So switching a
tenant off leaves alone what was tuned for a handler, and the other way round.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipeline.errors import PipelineError
from pipeline.store.lock_policies import Scope

PAIRS_REMEMBERED: Final = 10_000
"""Pairs of handler and tenant whose policy is kept at hand; tenants may be any number."""


class WhenBusy(StrEnum):
    """What becomes of events whose ids are still busy after the wait."""

    DEFER = "defer"
    """They are put off, and the others of their batch go on."""
    PROCEED = "proceed"
    """They go on without a lease; the transaction decides between them and the holder."""


class LockPolicy(BaseModel):
    """How leases are taken; immutable.

    Attributes:
        enabled: whether they are taken at all.
        ttl_ms: how long a lease lives without renewal, in milliseconds; so long do others
            wait for the ids of a worker that died.
        wait_ms: how long to wait for busy ids before giving way, in milliseconds; 0 does not.
        when_busy: what becomes of their events then.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    enabled: bool = True
    ttl_ms: Annotated[int, Field(ge=1_000, le=600_000)] = 10_000
    wait_ms: Annotated[int, Field(ge=0, le=60_000)] = 500
    when_busy: WhenBusy = WhenBusy.DEFER


class PolicyTable:
    """All policies, compiled; nothing in it changes.

    What can't be understood in one scope (a value of a newer version, or one edited by
    hand) leaves out that scope alone.

    Args:
        stored: the values each scope sets.
        default: the values that no scope sets.

    Attributes:
        refused: scopes that were left out, each with the reason.
    """

    def __init__(
        self,
        stored: Mapping[Scope, Mapping[str, Any]],
        default: LockPolicy | None = None,
    ) -> None:
        self._default = default or LockPolicy()
        self._values: dict[Scope, dict[str, Any]] = {}
        self._known: dict[tuple[str | None, str | None], LockPolicy] = {}
        refused: dict[Scope, str] = {}
        for scope, values in stored.items():
            try:
                self._values[scope] = checked(values)
            except PipelineError as error:
                refused[scope] = str(error)
        self.refused = MappingProxyType(refused)

    def policy_for(self, handler: str | None, tenant: str | None) -> LockPolicy:
        """The policy of a handler for a tenant; a look into a dict from the second time on.

        None stands for a handler or a tenant of which nothing is known.
        """
        known = self._known.get((handler, tenant))
        if known is None:
            known = self._resolve(handler, tenant)
            if len(self._known) < PAIRS_REMEMBERED:
                self._known[handler, tenant] = known
        return known

    def _resolve(self, handler: str | None, tenant: str | None) -> LockPolicy:
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


def checked(values: Mapping[str, Any]) -> dict[str, Any]:
    """Some of a policy's values, each within its bounds.

    Raises:
        PipelineError: one is not; the message names it.
    """
    try:
        policy = LockPolicy.model_validate(dict(values))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = ".".join(str(part) for part in first["loc"])
        raise PipelineError(f"{name}: {first['msg']}") from None
    return {name: getattr(policy, name) for name in policy.model_fields_set}
