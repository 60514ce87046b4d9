"""Bringing a derived document to the sum of its contributions.

A document that is as it was when it was looked at becomes what it should be. Where others have
written to it since, what they have added stays: of a counter only the difference that was
found is added, and what can't be added is computed anew from the ledger. What neither can be
done about is left for the next look.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from pipeline.declarations import Commutative, Observer
from pipeline.errors import UpdateError
from pipeline.executor.correcting import contributed
from pipeline.executor.plan import Run
from pipeline.registry import Registry
from pipeline.replay import ABSENT, Difference, alike
from pipeline.store import Records
from pipeline.tables import Document
from pipeline.updates import inc
from pipeline.updates.inplace import operators_of
from pipeline.verification.sums import Sum, Sums

RECOMPUTED: Final = ("max", "min", "add_to_set")
"""Operators that take no minus."""


class _Mending(NamedTuple):
    """What is to be done to a document.

    Attributes:
        add: by path, what is added.
        put: by path, what takes the place of what is there.
        drop: paths that are removed.
        anew: by path, the operator by which it is computed anew from the ledger.
        left: whether something is left as it is.
    """

    add: dict[str, Any]
    put: dict[str, Any]
    drop: list[str]
    anew: dict[str, str]
    left: bool = False


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
        seen: the document as it was then; None where there was none, and then its sum has to
            be among those that `unmoved` names.

    Returns:
        Whether it is as it should be now; not where so much has changed since that the next
        look has to tell.

    Raises:
        UpdateError: MongoDB refuses it.
    """
    documents = tx.table(table)
    now = documents.get([key]).get(key)
    if seen is None or now is None:
        if seen is not None or now is not None or total.latest is None:
            return False
        documents.apply({key: total.creating() | run.stamped(total.latest, total.contributions)})
        return True
    unchanged = alike(now, seen, exact=True)
    if not total.contributions:
        if unchanged:
            documents.remove([key])
        return unchanged
    found = [one for one in total.findings(table, key, seen) if isinstance(one, Difference)]
    if unchanged:
        mending = _as_it_should_be(found)
    else:
        leaves = list(_leaves(found))
        absent = [path for path, should, _ in leaves if should is ABSENT]
        operators = dict(operators_of(total.total)) | _operators(tx, registry, table, key, absent)
        mending = _meanwhile(total, operators, leaves, now)
    documents.mend(key, mending.add, mending.put, mending.drop)
    if mending.anew:
        total_anew = contributed(tx, registry, table, key, mending.anew)
        documents.recompute(key, total_anew, mending.anew.keys())
    return not mending.left


def unmoved(tx: Records, registry: Registry, table: str, sums: Mapping[str, Sum]) -> frozenset[str]:
    """Missing documents whose contributions still come to what was added up for them.

    A contribution that has moved to another document since leaves no trace in one that is
    missing. Reads all of the ledger once, if one of the documents is missing now.

    Args:
        tx: the transaction.
        registry: which handlers write the table.
        table: the derived table.
        sums: by key, what was added up for documents that were missing.
    """
    there = tx.table(table).get(list(sums))
    missing = [key for key in sums if key not in there]
    if not missing:
        return frozenset()
    tables = {h.name: h.table for h in registry if isinstance(h, Observer | Commutative)}
    found = Sums()
    for row in tx.ledger.written_to(missing):
        if row.key is not None and row.has_effect and tables.get(row.handler) == table:
            found.add(table, row.key, row.wrote, None, None)
    now = found.tables.get(table, {})
    return frozenset(key for key in missing if key in now and _is_same(now[key], sums[key], key))


def _is_same(now: Sum, then: Sum, key: str) -> bool:
    """Whether two sums come to the same document, but for the time of its last event."""
    now.created, now.named = then.created, then.named
    return not list(now.findings("", key, then.document(key, None)))


def _as_it_should_be(found: list[Difference]) -> _Mending:
    """Each field as it should be: nobody has written to the document since."""
    put = {one.path: one.expected for one in found if one.expected is not ABSENT}
    return _Mending({}, put, [one.path for one in found if one.path not in put], {})


def _operators(
    tx: Records, registry: Registry, table: str, key: str, paths: Iterable[str]
) -> dict[str, str]:
    """Of paths that nothing had contributed to, those that take no minus and by now are."""
    return {
        path: name
        for path in paths
        for name in RECOMPUTED
        if contributed(tx, registry, table, key, {path: name})
    }


def _meanwhile(
    total: Sum, operators: Mapping[str, str], leaves: Iterable[tuple[str, Any, Any]], now: Document
) -> _Mending:
    """What can be done about what was found, whatever others have added since."""
    add: dict[str, Any] = {}
    put: dict[str, Any] = {}
    anew: dict[str, str] = {}
    left = False
    for path, should, was in leaves:
        if operators.get(path) in RECOMPUTED:
            anew[path] = operators[path]
        elif path in total.created:
            put[path] = should
        else:
            amount = _amount(path, should, was, _at(now, path))
            if amount is None:
                left = True
            else:
                add[path] = amount
    return _Mending(add, put, [], anew, left)


def _amount(path: str, should: Any, was: Any, now: Any) -> Any:
    """What makes a counter right by being added to it; None where nothing does."""
    if now is ABSENT and was is not ABSENT:
        return None
    should, was, now = (0 if value is ABSENT else value for value in (should, was, now))
    try:
        amount = inc({path: should}).minus(inc({path: was})).delta
        # What MongoDB adds has to fit what is there.
        inc({path: now}) | amount
    except UpdateError:
        return None
    return amount.values_of("inc").get(path)


def _at(document: Document, path: str) -> Any:
    """What stands there; absent where nothing does."""
    there: Any = document
    for segment in path.split("."):
        there = there.get(segment, ABSENT) if isinstance(there, dict) else ABSENT
    return there


def _leaves(found: list[Difference]) -> Iterator[tuple[str, Any, Any]]:
    """Differences by the innermost fields: what should be there, and what was."""
    for one in found:
        if isinstance(one.expected, dict) and one.actual is ABSENT:
            yield from ((path, value, ABSENT) for path, value in _inner(one.path, one.expected))
        elif isinstance(one.actual, dict) and one.expected is ABSENT:
            yield from ((path, ABSENT, value) for path, value in _inner(one.path, one.actual))
        else:
            yield one.path, one.expected, one.actual


def _inner(above: str, fields: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in fields.items():
        path = f"{above}.{name}"
        if isinstance(value, dict):
            yield from _inner(path, value)
        else:
            yield path, value
