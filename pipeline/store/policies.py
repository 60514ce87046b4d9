"""Run-time settings, one document a scope: `lock_policies` of leases, `hold_policies` of waits.

They are kept here and not in Redis, which may be wiped. What the values mean is known to
`pipeline.locks.policy` and `pipeline.holding`; here they are names and values.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar, Final, NamedTuple

from pymongo import ASCENDING, IndexModel
from pymongo.client_session import ClientSession
from pymongo.database import Database

from pipeline.errors import PipelineError

INDEXES: Final[dict[str, list[IndexModel]]] = {
    # None but `_id`: the collections are tiny and read whole.
    "lock_policies": [],
    "hold_policies": [],
}
MOST_SCOPES: Final = 1_000
"""Every process reads all of them twice a second."""


class Scope(NamedTuple):
    """What a setting is for; None stands for all handlers or all tenants."""

    handler: str | None
    tenant: str | None

    @property
    def id(self) -> str:
        """`<handler>|<tenant>`; neither name holds a `|`, and neither is empty."""
        return f"{self.handler or ''}|{self.tenant or ''}"


class Policies:
    """The settings of one kind, within one transaction or none."""

    collection: ClassVar[str]

    def __init__(
        self, database: Database[dict[str, Any]], session: ClientSession | None = None
    ) -> None:
        self._policies = database[self.collection]
        self._session = session

    def all(self) -> dict[Scope, dict[str, Any]]:
        """The values that each scope sets, by scope; the whole collection."""
        found = self._policies.find({}, session=self._session).sort("_id", ASCENDING)
        return {
            Scope(doc["handler"], doc["tenant"]): doc["values"] for doc in found.limit(MOST_SCOPES)
        }

    def change(self, scope: Scope, values: Mapping[str, Any], changed_at: datetime) -> None:
        """Set these values of a scope; its other values stay.

        Matches by id; an absent scope is made. Race: of two changes of one value the later
        one stays; changes of different values both do.

        Raises:
            PipelineError: the scope would be one too many.
        """
        known = {"_id": {"$ne": scope.id}}
        if self._policies.count_documents(known, session=self._session) >= MOST_SCOPES:
            raise PipelineError(f"there are policies for {MOST_SCOPES:,} scopes, the most allowed")
        fields = {f"values.{name}": value for name, value in values.items()}
        self._policies.update_one(
            {"_id": scope.id},
            {"$set": {**scope._asdict(), "changed_at": changed_at, **fields}},
            upsert=True,
            session=self._session,
        )

    def reset(self, scope: Scope) -> bool:
        """Forget what a scope sets; False where it set nothing."""
        gone = self._policies.delete_one({"_id": scope.id}, session=self._session)
        return gone.deleted_count > 0


class LockPolicies(Policies):
    """Whether and how leases are taken."""

    collection = "lock_policies"


class HoldPolicies(Policies):
    """How long events wait for their predecessors."""

    collection = "hold_policies"
