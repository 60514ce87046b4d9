"""Bringing a derived document to the sum of its contributions.

What is added to it meanwhile stays: of a counter, only the difference that was found is
added; what can't be added is computed anew from the ledger.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from pipeline.executor.correcting import contributed
from pipeline.executor.plan import Run
from pipeline.registry import Registry
from pipeline.replay import ABSENT, Difference
from pipeline.store import Records
from pipeline.tables import Document
from pipeline.updates.inplace import operators_of
from pipeline.verification.sums import Sum


def mend(
    tx: Records,
    registry: Registry,
    run: Run,
    table: str,
    key: str,
    total: Sum,
    seen: Document | None,
) -> bool:
    """Bring a derived document to the sum of its contributions.

    Args:
        tx: the transaction.
        registry: which handlers write the table.
        run: for the stamp.
        table: the derived table.
        key: the document.
        total: the sum, as of the moment at which the document was seen.
        seen: the document as it was then; None where there was none.

    Returns:
        Whether it was; not where it has come or gone since.
    """
    documents = tx.table(table)
    now = documents.get([key]).get(key)
    if seen is None or now is None:
        if seen is not None or now is not None or total.latest is None:
            return False
        documents.apply({key: total.creating() | run.stamped(total.latest, total.contributions)})
        return True
    if not total.contributions:
        if now != seen:
            return False
        documents.remove([key])
        return True
    found = [one for one in total.findings(table, key, seen) if isinstance(one, Difference)]
    add, put, drop, anew = _mending(total, found)
    documents.mend(key, add, put, drop)
    if anew:
        total_anew = contributed(tx, registry, table, key, anew)
        documents.recompute(key, total_anew, anew.keys())
    return bool(found)


def _mending(
    total: Sum, found: list[Difference]
) -> tuple[dict[str, Any], dict[str, Any], list[str], dict[str, str]]:
    """What is to be added, put, dropped and, by its operator, computed anew, by path."""
    operators = dict(operators_of(total.total)) | {"_sync.contributions": "inc"}
    add: dict[str, Any] = {}
    put: dict[str, Any] = {}
    drop: list[str] = []
    anew: dict[str, str] = {}
    for path, one, other in _leaves(found):
        if one is ABSENT:
            drop.append(path)
        elif operators.get(path) in ("max", "min", "add_to_set"):
            anew[path] = operators[path]
        elif operators.get(path) == "inc" and (other is ABSENT or _is_number(other)):
            add[path] = one - (0 if other is ABSENT else other)
        else:
            put[path] = one
    return add, put, drop, anew


def _leaves(found: list[Difference]) -> Iterator[tuple[str, Any, Any]]:
    """Differences by the innermost fields that should be there."""
    for one in found:
        if isinstance(one.expected, dict) and one.actual is ABSENT:
            for path, value in _inner(one.path, one.expected):
                yield path, value, ABSENT
        else:
            yield one.path, one.expected, one.actual


def _inner(above: str, fields: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in fields.items():
        path = f"{above}.{name}"
        if isinstance(value, dict):
            yield from _inner(path, value)
        else:
            yield path, value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool)
