"""Looking into a domain's tables: by key, tenant and field values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from pipeline.errors import NotFound, PipelineError
from pipeline.keys import did_you_mean
from pipeline.querying.conditions import condition_of
from pipeline.registry import Registry
from pipeline.store import Store

MOST_ROWS: Final = 10_000
TENANT: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def query(
    store: Store,
    registry: Registry,
    table: str,
    *,
    key: str | None = None,
    tenant: str | None = None,
    conditions: tuple[str, ...] = (),
    limit: int = 20,
) -> list[dict[str, Any]]:
    """Documents of a table, in the order of their keys.

    Args:
        store: where the tables are.
        registry: which tables there are.
        table: a table that some handler writes.
        key: only the document of this id.
        tenant: only documents of this tenant; a range of ids, and so served by the index.
        conditions: such as `status=canceled` or `starts_at>=2013-01-01T00:00:00Z`; all hold.
        limit: most documents, up to 10,000.

    Raises:
        NotFound: no handler writes such a table.
        PipelineError: a condition can't be read.
    """
    ensure_known(registry, table)
    wanted: list[Mapping[str, Any]] = [condition_of(text) for text in conditions]
    if key is not None:
        wanted.append({"_id": key})
    if tenant is not None:
        wanted.append(of_tenant(tenant))
    matching = {"$and": wanted} if wanted else {}
    return store.find(table, matching, limit=bounded(limit))


def ensure_known(registry: Registry, table: str) -> None:
    """Check that some handler writes this table.

    Raises:
        NotFound: none does; with the nearest name, and all there are.
    """
    if table not in registry.tables():
        raise NotFound(
            f"no handler writes a table {table!r}{did_you_mean(table, registry.tables())}; "
            f"there are {', '.join(registry.tables())}"
        )


def bounded(limit: int) -> int:
    """At least one row, and no more than a person or a program can mean to hold."""
    return max(1, min(limit, MOST_ROWS))


def of_tenant(tenant: str) -> dict[str, Any]:
    """Ids of one tenant: the tenant's own, those that go on with a colon, and their rows'.

    Raises:
        PipelineError: no tenant can have this name.
    """
    if not TENANT.fullmatch(tenant):
        raise PipelineError(f"{tenant!r} is no tenant's name")
    ranges = [{"_id": {"$gte": f"{tenant}{c}", "$lt": f"{tenant}{chr(ord(c) + 1)}"}} for c in ":|"]
    return {"$or": [{"_id": tenant}, *ranges]}
