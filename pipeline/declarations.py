"""Declaring handlers: `@action`, `@observer` and `@effect`.

A declaration is checked where it stands, at import, and fails with a hint. Nothing is
registered globally: a decorator returns a value, and the registry collects the values it
finds in the modules that the settings name.
"""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, ClassVar, Final

from pipeline.backoff import Backoff
from pipeline.errors import DeclarationError
from pipeline.event import MAX_SEQ, Event
from pipeline.keys import KeyTemplate, did_you_mean
from pipeline.state import State

_HANDLER_NAME: Final = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+")
_TABLE_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,99}")
DEFAULT_BACKOFF: Final = Backoff()
RESERVED_TABLES: Final = frozenset(
    {
        "events",
        "payloads",
        "ledger",
        "batches",
        "lock_policies",
        "hold_policies",
        "verifications",
        "verification_units",
        "verification_findings",
        "verification_sums",
    }
)


class Lane(StrEnum):
    """The RQ queues, in the order in which a worker looks at them."""

    OBSERVERS = "observers"
    """First, so that what is begun is finished before more is begun."""
    ACTIONS = "actions"
    EFFECTS = "effects"
    """Late: what goes outside waits for others, and nothing of ours waits for it."""
    REPAIR = "repair"
    """Last: what verifies goes on where nothing else is to be done."""


@dataclass(frozen=True, eq=False)
class Handler:
    """What all handlers have in common; calling it calls its function."""

    name: str
    function: Callable[..., Any] = field(repr=False)
    max_attempts: int | None
    backoff: Backoff
    version: int

    lane: ClassVar[Lane]

    def __call__(self, *args: Any) -> Any:
        """Run the function itself, as a test of it would."""
        return self.function(*args)


@dataclass(frozen=True, eq=False)
class Writer(Handler):
    """A handler that writes documents of a table, whose ids its key template makes.

    Attributes:
        table: the table's name.
        key: makes a document's id.
        indexes: fields by which documents are looked for; each has an index.
    """

    table: str
    key: KeyTemplate
    indexes: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Action(Writer):
    """A handler that an event reaches first, and that must be accounted for."""

    on: tuple[str, ...]

    lane: ClassVar[Lane] = Lane.ACTIONS


@dataclass(frozen=True, eq=False)
class Commutative(Action):
    """An action that reads nothing: `(event) -> Update or None`. Order can't matter to it."""


@dataclass(frozen=True, eq=False)
class Fold(Action):
    """An action that changes the state it reads: `(state or None, event) -> state`.

    Attributes:
        state: the model of the state.
        history: the temporal table that keeps every change.
        ordered: whether the events of one document wait for those submitted before them.
        timeline: whether what changed in a time range is found by an index.
        numbered_from: the number of a document's first event, where each source numbers the
            events of a document one by one; None where it does not.
    """

    state: type[State]
    history: str
    ordered: bool
    timeline: bool
    numbered_from: int | None = None

    def lock(self, event: Event) -> str:
        """The id that a run with this event locks: that of the document it touches.

        Raises:
            Exception: the event lacks what the key is made of.
        """
        return f"{self.table}:{self.key(event)}"

    @property
    def root(self) -> Fold:
        """The fold at the head of the chain: itself."""
        return self


@dataclass(frozen=True, eq=False)
class Observer(Writer):
    """A handler that sees what a fold changed: `(change, event) -> Update or None`."""

    after: Fold | Observer

    lane: ClassVar[Lane] = Lane.OBSERVERS

    @property
    def root(self) -> Fold:
        """The fold at the head of the chain."""
        return self.after.root


@dataclass(frozen=True, eq=False)
class Effect(Handler):
    """A handler that does something outside: `(change, event, key) -> bool`."""

    after: Fold

    lane: ClassVar[Lane] = Lane.EFFECTS


def action(  # noqa: PLR0913 - a declaration names all it declares
    name: str,
    *,
    on: str | tuple[str, ...],
    table: str,
    key: str,
    history: str | None = None,
    indexes: str | tuple[str, ...] = (),
    max_attempts: int | None = None,
    backoff: Backoff = DEFAULT_BACKOFF,
    version: int = 1,
    ordered: bool = False,
    timeline: bool = False,
    numbered_from: int | None = None,
) -> Callable[[Callable[..., Any]], Action]:
    """Declare an action.

    Args:
        name: stable name, `domain.verb`; it is stored, so a rename is a new handler.
        on: event types, `*` matches any text, such as `appointment.*`.
        table: the collection it writes; a fold is the only writer of its table.
        key: template of the document's id, starting with `{tenant}:`.
        history: the temporal table of a fold; `<table>_changes` unless named.
        indexes: fields by which documents are looked for, besides their id and tenant: of a
            fold's state, or what the key of other documents is made of, which never changes.
        max_attempts: attempts before an event is a dead letter; the settings' unless given.
        backoff: how long to wait between attempts.
        version: counted up by whoever changes what the function comes to, so that what an
            older one has written is not taken for wrong.
        ordered: for a fold, let the events of a document wait for those that were submitted before
            them, as well as Redis can keep that order. Results don't need it: a late event
            heals. It saves the healing where a source sends in order.
        timeline: for a fold, find what changed in a time range by an index on its history,
            which costs an entry more for each event.
        numbered_from: for a fold, say that each source numbers the events of a document one by
            one (`seq`), and with which number it begins. Then gaps are found, and an event can
            be held back for the one before it, as long as its tenant allows (`pipeline hold`).

    Raises:
        DeclarationError: with what is wrong and a guess at the cause.
    """

    def declare(function: Callable[..., Any]) -> Action:
        _check_names(name, table)
        _check_version(name, version)
        state = _fold_state(name, function)
        if state is None and (
            history is not None or ordered or timeline or numbered_from is not None
        ):
            raise DeclarationError(
                f"{name}: only a fold, (state, event) -> state, has a history, keeps an order "
                f"or knows numbers"
            )
        if numbered_from is not None and not 0 <= numbered_from <= MAX_SEQ:
            raise DeclarationError(
                f"{name}: numbered_from= takes the number of a document's first event, "
                f"0 or greater, not {numbered_from}"
            )
        template, types = KeyTemplate(key), (on,) if isinstance(on, str) else on
        found_by = _index_fields(name, indexes, state.model_fields if state else template.names)
        common = name, function, max_attempts, backoff, version, table, template, found_by, types
        if state is None:
            return Commutative(*common)
        temporal = history or f"{table}_changes"
        _check_names(name, temporal)
        if temporal == table:
            raise DeclarationError(f"{name}: a fold's history needs a table of its own")
        return Fold(*common, state, temporal, ordered, timeline, numbered_from)

    return declare


def observer(  # noqa: PLR0913 - as above
    name: str,
    *,
    after: Handler,
    table: str,
    key: str,
    indexes: str | tuple[str, ...] = (),
    max_attempts: int | None = None,
    backoff: Backoff = DEFAULT_BACKOFF,
    version: int = 1,
) -> Callable[[Callable[..., Any]], Observer]:
    """Declare an observer of a fold, or of another observer of it.

    Args:
        name: stable name, `domain.verb`.
        after: the handler it follows; it sees the change of the action at the chain's head.
        table: the collection it adds to.
        key: template of the document's id; may name `{after.<field>}` of the new state.
        indexes: what the key is made of and documents are looked for by, besides their tenant.
        max_attempts: attempts before an event is a dead letter; the settings' unless given.
        backoff: how long to wait between attempts.
        version: counted up by whoever changes what the function comes to, so that what an
            older one has written is not taken for wrong.

    Raises:
        DeclarationError: with what is wrong and a guess at the cause.
    """

    def declare(function: Callable[..., Any]) -> Observer:
        _check_names(name, table)
        _check_version(name, version)
        if isinstance(after, Commutative):
            raise DeclarationError(
                f"{name}: {after.name} is commutative and reads no state, so there is no "
                f"change to observe; declare an action on the same events instead"
            )
        if not isinstance(after, Fold | Observer):
            raise DeclarationError(f"{name}: after= takes a handler, not {after!r}")
        state = after.root.state
        _check_arity(name, function, 2, "(change, event)")
        if table in (after.root.table, after.root.history):
            raise DeclarationError(f"{name}: {table} belongs to the fold {after.root.name}")
        template = KeyTemplate(key, state)
        return Observer(
            name=name,
            function=function,
            table=table,
            key=template,
            indexes=_index_fields(name, indexes, template.names),
            max_attempts=max_attempts,
            backoff=backoff,
            version=version,
            after=after,
        )

    return declare


def effect(
    name: str,
    *,
    after: Handler,
    max_attempts: int | None = None,
    backoff: Backoff = DEFAULT_BACKOFF,
    version: int = 1,
) -> Callable[[Callable[..., Any]], Effect]:
    """Declare something that is done outside, after a fold's change is committed.

    It is done at least once for each event: where a worker dies between doing it and noting
    that it was done, it is done again. So the function gets a key, the same for the same
    event whenever it is called, for the other side to know a repetition by. It says whether
    it did anything. A replay or a late event never does it again.

    Args:
        name: stable name, `domain.verb`.
        after: the fold it follows, whose change it sees.
        max_attempts: attempts before an event is a dead letter; the settings' unless given.
        backoff: how long to wait between attempts.
        version: counted up by whoever changes what the function comes to, so that what an
            older one has written is not taken for wrong.

    Raises:
        DeclarationError: with what is wrong and a guess at the cause.
    """

    def declare(function: Callable[..., Any]) -> Effect:
        _check_name(name)
        _check_version(name, version)
        if not isinstance(after, Fold):
            raise DeclarationError(f"{name}: after= takes a fold, not {after!r}")
        _check_arity(name, function, 3, "(change, event, key)")
        return Effect(name, function, max_attempts, backoff, version, after)

    return declare


def _fold_state(name: str, function: Callable[..., Any]) -> type[State] | None:
    """The state model of a fold, or None for a commutative action."""
    parameters = list(inspect.signature(function).parameters)
    if len(parameters) == 1:
        return None
    _check_arity(name, function, 2, "(event) or (state, event)")
    try:
        hints = typing.get_type_hints(function)
    except NameError as error:
        raise DeclarationError(f"{name}: a type hint can't be read: {error}") from None
    hint = hints.get(parameters[0])
    for candidate in (hint, *typing.get_args(hint)):
        if isinstance(candidate, type) and issubclass(candidate, State):
            return candidate
    raise DeclarationError(
        f"{name}: a fold's first parameter needs the type hint of its state, "
        f"such as 'state: Appointment | None' with a subclass of State; found {hint!r}"
    )


def _index_fields(
    name: str, wanted: str | tuple[str, ...], fields: Collection[str]
) -> tuple[str, ...]:
    """The fields to index, each one that documents have, and once."""
    found = (wanted,) if isinstance(wanted, str) else wanted
    for field_name in found:
        if field_name not in fields:
            raise DeclarationError(
                f"{name}: no index on {field_name!r}{did_you_mean(field_name, fields)}; "
                f"there can be one on {', '.join(fields)}"
            )
    return tuple(dict.fromkeys(found))


def _check_arity(name: str, function: Callable[..., Any], count: int, shape: str) -> None:
    parameters = inspect.signature(function).parameters
    if len(parameters) != count:
        raise DeclarationError(f"{name}: takes {len(parameters)} parameters; expected {shape}")


def _check_name(name: str) -> None:
    if not _HANDLER_NAME.fullmatch(name):
        raise DeclarationError(
            f"{name!r} is no handler name; two or more lower-case words joined by dots, "
            f"such as 'appointments.apply'"
        )


def _check_version(name: str, version: int) -> None:
    if version < 1:
        raise DeclarationError(f"{name}: versions begin with 1; {version} is none")


def _check_names(name: str, table: str) -> None:
    _check_name(name)
    if not _TABLE_NAME.fullmatch(table):
        raise DeclarationError(f"{name}: {table!r} is no table name; lower case, digits and _")
    if table in RESERVED_TABLES:
        raise DeclarationError(f"{name}: the table {table!r} is the framework's own")
