"""Lock policies: whether and how a handler takes leases for a tenant's ids."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


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
