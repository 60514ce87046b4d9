"""Corrections of derived documents: each contribution's new value minus its old one.

Before anything is written, the sum of all that changes is tried in memory on the document as
it stands: a write that MongoDB refuses would end the transaction, and with it what is no
fault of the one who is refused. What does not fit is left out and named; its old contribution
is taken off all the same.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import NamedTuple

from pipeline.errors import UpdateError
from pipeline.event import EARLIEST
from pipeline.executor.deriving import NOTHING, Contribution
from pipeline.executor.plan import Contested, Run
from pipeline.registry import Registry
from pipeline.store import Records
from pipeline.tables import Document
from pipeline.updates import Update, set_on_insert


class Move(NamedTuple):
    """What one event contributed to a derived table, and what it does now.

    Attributes:
        event: its key.
        at: its time.
        old: what is to be taken off; `NOTHING` where there was nothing.
        new: what takes its place.
    """

    event: str
    at: datetime
    old: Contribution
    new: Contribution


class _Part(NamedTuple):
    """A move as far as it concerns one document."""

    move: Move
    delta: Update
    withdrawn: Update
    contributions: int


@dataclass(slots=True)
class _Correction:
    """What has to change in one derived document."""

    run: Run
    document: Document | None
    moves: int = 0
    latest: datetime = EARLIEST
    delta: Update = field(default_factory=Update.nothing)
    withdrawn: list[Update] = field(default_factory=list)
    contributions: int = 0

    def take(self, parts: Sequence[_Part]) -> None:
        """Add these parts, all or none.

        Raises:
            UpdateError: the document can't take them.
        """
        after = replace(self)
        for part in parts:
            after.delta |= part.delta
            after.contributions += part.contributions
            after.latest = max(after.latest, part.move.at)
        after.update.apply(self.document)
        self.delta, self.contributions, self.latest = after.delta, after.contributions, after.latest
        self.withdrawn += [part.withdrawn for part in parts if part.withdrawn]
        self.moves += len(parts)

    @property
    def update(self) -> Update:
        """What is written, with the stamp."""
        return self.delta | self.run.stamped(self.latest, self.contributions)

    @property
    def recompute(self) -> frozenset[str]:
        """Paths that have to be found again: those where something withdrawn still counts."""
        if not self.withdrawn:
            return frozenset()
        document = self.update.apply(self.document)
        if document["_sync"]["contributions"] <= 0:
            return frozenset()
        return frozenset().union(
            *(update.bears_on(document, self.delta) for update in self.withdrawn)
        )

    def operators(self, paths: Collection[str]) -> dict[str, str]:
        """By path, the operator of what was withdrawn there."""
        found: dict[str, str] = {}
        for update in self.withdrawn:
            found |= update.only(paths).operators
        return found


class Corrections:
    """All that changes in derived documents within one transaction.

    Args:
        tx: the transaction.
        registry: which handlers write a table.
        run: for the stamp of the documents.
        contested: where the documents are noted that others may be writing as well.
    """

    def __init__(self, tx: Records, registry: Registry, run: Run, contested: Contested) -> None:
        self._tx = tx
        self._registry = registry
        self._run = run
        self._contested = contested
        self._of: dict[str, dict[str, _Correction]] = defaultdict(dict)

    def add(self, table: str, moves: Sequence[Move]) -> dict[str, UpdateError]:
        """Note what is to change in one table.

        Returns:
            By event key, why a document can't take the event's new contribution; the old one
            is taken off, and the event has none.

        Raises:
            UpdateError: the old one can't be taken off.
        """
        parts: dict[str, list[_Part]] = defaultdict(list)
        refused: dict[str, UpdateError] = {}
        for move in moves:
            try:
                found = _parts(move)
            except UpdateError as error:
                refused[move.event] = error
                found = _parts(move._replace(new=NOTHING))
            for key, part in found.items():
                parts[key].append(part)
        self._read(table, parts.keys() - self._of[table].keys())
        for key, some in parts.items():
            correction = self._of[table][key]
            try:
                correction.take(some)
            except UpdateError:
                refused |= _one_by_one(correction, some)
        return refused

    def documents(self) -> Iterator[tuple[str, str, Document | None]]:
        """Table, id and document, as it stood before, of all that is corrected."""
        for table, corrections in self._of.items():
            for key, correction in corrections.items():
                yield table, key, correction.document

    def write(self) -> None:
        """Correct the documents; the ledger rows have to be written before."""
        for table, corrections in self._of.items():
            self._write(table, {key: c for key, c in corrections.items() if c.moves})

    def _read(self, table: str, keys: set[str]) -> None:
        found = self._tx.table(table).get(keys)
        self._of[table] |= {key: _Correction(self._run, found.get(key)) for key in keys}

    def _write(self, table: str, corrections: Mapping[str, _Correction]) -> None:
        self._contested.setdefault(table, set()).update(corrections)
        documents = self._tx.table(table)
        documents.apply({key: correction.update for key, correction in corrections.items()})
        for key, correction in corrections.items():
            paths = correction.recompute
            if paths:
                operators = correction.operators(paths)
                total = contributed(self._tx, self._registry, table, key, operators)
                documents.recompute(key, total, paths)
        documents.prune([key for key, c in corrections.items() if c.contributions < 0])


def contributed(
    tx: Records, registry: Registry, table: str, key: str, operators: Mapping[str, str]
) -> Update:
    """What all contributions to a document come to, on these paths, each with its operator."""
    total = Update.nothing()
    for handler in registry.writers_of(table):
        total |= tx.ledger.total(handler.name, key, operators)
    return total


def _one_by_one(correction: _Correction, parts: Sequence[_Part]) -> dict[str, UpdateError]:
    """Add what the document can take, in the order of time; why it can't take the rest."""
    refused: dict[str, UpdateError] = {}
    for part in sorted(parts, key=lambda part: part.move.at):
        try:
            correction.take([part])
        except UpdateError as error:
            if part.contributions < 0:
                raise
            refused[part.move.event] = error
            if part.contributions == 0:
                correction.take([_off(part.move)])
    return refused


def _parts(move: Move) -> dict[str, _Part]:
    """By document, what the move comes to there.

    Raises:
        UpdateError: the new contribution can't be said in one update.
    """
    old, new = move.old, move.new
    parts = {}
    if old.key is not None:
        parts[old.key] = _off(move) if new.key != old.key else _instead(move, new.wrote, 0)
    if new.key is not None and new.key != old.key:
        delta = new.wrote | set_on_insert(new.identity())
        parts[new.key] = _Part(move, delta, Update.nothing(), 1)
    return parts


def _off(move: Move) -> _Part:
    """The old contribution is taken off, and nothing takes its place."""
    return _instead(move, Update.nothing(), -1)


def _instead(move: Move, kept: Update, contributions: int) -> _Part:
    old = move.old.wrote
    difference = kept.minus(old)
    # What a document is created with says what it is, not what happened to it.
    changed = difference.recompute - old.paths_of("set_on_insert")
    delta = difference.delta | kept.only(changed)
    return _Part(move, delta, old.only(changed), contributions)
