"""Looking into the past of a fold's documents, which its temporal table keeps.

The past is that of the facts, not of our knowledge of them: an event counts from when it
happened, however late it came.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from pipeline.declarations import Fold
from pipeline.errors import NotFound, PipelineError
from pipeline.querying.conditions import condition_of
from pipeline.querying.documents import bounded, ensure_known, of_tenant
from pipeline.registry import Registry
from pipeline.store import Store
from pipeline.temporal import Row

_ROW: Final = {
    "_id": "key",
    "_sync.event": "event",
    "_sync.event_at": "valid_from",
    "_sync.valid_to": "valid_to",
}
"""Where a row holds what stands outside of a document's own fields."""


def as_of(  # noqa: PLR0913 - as `query`, and the moment
    store: Store,
    registry: Registry,
    table: str,
    moment: datetime,
    *,
    key: str | None = None,
    tenant: str | None = None,
    conditions: tuple[str, ...] = (),
    limit: int = 20,
) -> list[dict[str, Any]]:
    """Documents of a fold's table as they stood after all that had happened by a moment.

    Args:
        store: where the tables are.
        registry: which tables there are.
        table: a table that a fold writes.
        moment: an event of this very moment has happened.
        key: only the document of this id; one row is read.
        tenant: only documents of this tenant; all its rows are gone through in the order of
            their ids until there are enough.
        conditions: as for `query`, on the fields as they were then; all hold.
        limit: most documents, up to 10,000.

    Returns:
        Each document with the fields it had. Its `_sync` holds the `order`, the key (`event`)
        and the time (`event_at`) of the last event in it, and `valid_to`, when the next one
        happened; None where there is none yet. A document that did not exist is absent.

    Raises:
        NotFound: no handler writes such a table.
        PipelineError: the table has no history, or a condition can't be read.
    """
    fold = fold_of(registry, table)
    wanted: list[Mapping[str, Any]] = [_of_rows(condition_of(text)) for text in conditions]
    if tenant is not None:
        wanted.append(of_tenant(tenant))
    rows = store.records.history(fold.history).at(moment, wanted, key=key, limit=bounded(limit))
    return [_document(row) for row in rows]


def history(
    store: Store,
    registry: Registry,
    table: str,
    key: str,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    limit: int = 100,
) -> list[Row]:
    """What happened to one document of a fold, event by event, in their order.

    Args:
        store: where the tables are.
        registry: which tables there are.
        table: a table that a fold writes.
        key: the document's id.
        since: only events of then or later.
        until: only events before then.
        limit: most rows, the first ones; up to 10,000.

    Raises:
        NotFound: no handler writes such a table, or it never had such a document.
        PipelineError: the table has no history.
    """
    past = store.records.history(fold_of(registry, table).history)
    rows = past.of(key, since=since, until=until, limit=bounded(limit))
    if not rows and not past.of(key, since=None, until=None, limit=1):
        raise NotFound(f"{table} never had a document {key!r}; ids begin with the tenant")
    return rows


def fold_of(registry: Registry, table: str) -> Fold:
    """The fold that writes this table, and keeps its history.

    Raises:
        NotFound: no handler writes such a table.
        PipelineError: the table has no history; with those that have one.
    """
    ensure_known(registry, table)
    folds = {handler.table: handler for handler in registry if isinstance(handler, Fold)}
    if table in folds:
        return folds[table]
    for fold in folds.values():
        if table == fold.history:
            raise PipelineError(f"{table} is the history of {fold.table}; ask for that one's past")
    kept = f"those of {', '.join(sorted(folds))} are kept" if folds else "no table's is kept"
    raise PipelineError(f"{table} is derived, and its past is not kept; {kept}")


def _of_rows(condition: Mapping[str, Any]) -> dict[str, Any]:
    """A condition on a document, as one on the row that holds it."""
    ((field, wanted),) = condition.items()
    if field not in _ROW and field.startswith("_sync"):
        raise PipelineError(f"the past knows no {field}; of _sync it has event, event_at, valid_to")
    return {_ROW.get(field, f"state.{field}"): wanted}


def _document(row: Row) -> dict[str, Any]:
    sync = {
        "order": row.order,
        "event": row.event,
        "event_at": row.valid_from,
        "valid_to": row.valid_to,
    }
    return {"_id": row.key, **row.state, "_sync": sync}
