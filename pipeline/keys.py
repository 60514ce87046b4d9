"""Key templates: which document an event touches, such as `{tenant}:{entity_id}`.

Every template starts with `{tenant}:`, so no handler can reach across tenants by accident.
Colons inside a value are escaped, except in the last one, so two different sets of values
never make the same key.
"""

from __future__ import annotations

import difflib
import re
import string
from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import Any, Final, NamedTuple

from pipeline.errors import DeclarationError, HandlerFault
from pipeline.event import Event
from pipeline.state import State

ENVELOPE_FIELDS: Final = ("tenant", "source", "type", "entity_id", "event_id")
_TENANT_FIRST: Final = re.compile(r"^\{tenant\}($|:)")


class Part(NamedTuple):
    """A placeholder, and the text before it.

    Attributes:
        literal: the text.
        name: the placeholder's.
        of_state: whether it is read from the state after the event, else from the event.
        read: reads it.
    """

    literal: str
    name: str
    of_state: bool
    read: Callable[[Any], Any]


class KeyTemplate:
    """A compiled key template.

    Args:
        template: placeholders joined by text; envelope fields, `payload.<path>` and, where
            `state` is given, `after.<field>`.
        state: the model whose fields `after.` may name; None where there is no state yet.

    Raises:
        DeclarationError: a placeholder names nothing, or the template is not tenant-scoped.
    """

    def __init__(self, template: str, state: type[State] | None = None) -> None:
        self.template = template
        if not _TENANT_FIRST.match(template):
            raise DeclarationError(f"key {template!r} must start with '{{tenant}}:'")
        parts: list[Part] = []
        self._end = ""
        for literal, name, form, conversion in _placeholders(template):
            if parts and name is not None and ":" not in literal:
                raise DeclarationError(
                    f"key {template!r}: a colon must part two placeholders, or different "
                    f"values could make the same key"
                )
            if form or conversion:
                raise DeclarationError(f"key {template!r}: {name} takes no format")
            if name is None:
                self._end = literal
            else:
                parts.append(Part(literal, name, *_read(name, template, state)))
        self._parts = parts
        # The tenant is the first; it is a text in which nothing needs an escape.
        self._inner = parts[1:-1]
        self._last = parts[-1] if len(parts) > 1 else None
        # The common case by far; worth its own path, since it runs once an event.
        self._plain = template == "{tenant}:{entity_id}"

    def __call__(self, event: Event, after: State | None = None) -> str:
        """The key for this event.

        Raises:
            HandlerFault: the event or the state has no value where the template needs one.
        """
        if self._plain:
            return f"{event.tenant}:{event.entity_id}"
        key = event.tenant
        for part in self._inner:
            key += part.literal + _escape(self._text(part, event, after))
        if self._last is not None:
            key += self._last.literal + self._text(self._last, event, after)
        return key + self._end

    def of(self, *values: Any) -> str:
        """The key that these values make, one for each placeholder in its turn."""
        last = len(self._parts) - 1
        pieces = (
            part.literal + (str(value) if index == last else _escape(str(value)))
            for index, (part, value) in enumerate(zip(self._parts, values, strict=True))
        )
        return "".join(pieces) + self._end

    def _text(self, part: Part, event: Event, after: State | None) -> str:
        value = part.read(after if part.of_state else event)
        if type(value) is str:
            return value
        if value is None or isinstance(value, dict | list):
            raise HandlerFault(f"key {self.template!r}: {part.name} is {value!r} in {event.key}")
        return str(value)

    @property
    def of_one_entity(self) -> bool:
        """Whether all events of a document are of one entity, so that it is made of theirs."""
        return {"tenant", "entity_id"} <= {part.name for part in self._parts}

    def entity_of(self, key: str) -> tuple[str, str] | None:
        """Tenant and entity id that a key was made of; None for a key that it never makes."""
        pattern = ""
        for part in self._parts:
            name = part.name
            wanted = name in ("tenant", "entity_id") and f"<{name}>" not in pattern
            group = f"(?P<{name}>" if wanted else "(?:"
            last = part is self._parts[-1]
            pattern += f"{re.escape(part.literal)}{group}{'.*' if last else '[^:]*'})"
        pattern += re.escape(self._end)
        found = re.fullmatch(pattern, key, re.DOTALL)
        if found is None or not self.of_one_entity:
            return None
        entity_id = found["entity_id"]
        if self._parts[-1].name != "entity_id":
            entity_id = entity_id.replace("%3A", ":").replace("%25", "%")
        return found["tenant"], entity_id

    @property
    def names(self) -> tuple[str, ...]:
        """What the key is made of: the last word of each placeholder, in turn."""
        return tuple(part.name.rpartition(".")[2] for part in self._parts)

    def fields(self, event: Event, after: State | None = None) -> dict[str, Any]:
        """What the key is made of, by the last word of each placeholder.

        Documents that are not written whole get these fields when they are created, so that
        they can be searched by them.
        """
        return {
            part.name.rpartition(".")[2]: part.read(after if part.of_state else event)
            for part in self._parts
        }

    def __repr__(self) -> str:
        return self.template


def _placeholders(template: str) -> list[tuple[str, str | None, str | None, str | None]]:
    try:
        return list(string.Formatter().parse(template))
    except ValueError as error:
        raise DeclarationError(f"key {template!r}: {error}") from None


def _escape(text: str) -> str:
    if ":" not in text and "%" not in text:
        return text
    return text.replace("%", "%25").replace(":", "%3A")


def _read(name: str, template: str, state: type[State] | None) -> tuple[bool, Callable[[Any], Any]]:
    """Whether this is read from the state, and how."""
    root, _, path = name.partition(".")
    if name in ENVELOPE_FIELDS:
        return False, attrgetter(name)
    if root == "payload" and path:
        return False, lambda event: _dig(event.payload, path)
    if root == "after" and path and state is not None:
        if path not in state.model_fields:
            raise DeclarationError(
                f"key {template!r}: {state.__name__} has no field {path!r}"
                f"{did_you_mean(path, state.model_fields)}"
            )
        return True, attrgetter(path)
    choices = [
        *ENVELOPE_FIELDS,
        *([f"after.{field}" for field in state.model_fields] if state else []),
    ]
    raise DeclarationError(
        f"key {template!r}: nothing is called {name!r}{did_you_mean(name, choices)}"
    )


def _dig(payload: dict[str, Any], path: str) -> Any:
    value: Any = payload
    for step in path.split("."):
        value = value.get(step) if isinstance(value, dict) else None
    return value


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """A hint such as `; did you mean 'tenant'?`, or nothing where no choice is near."""
    near = difflib.get_close_matches(word, list(choices), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""
