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
from typing import Any, Final

from pipeline.errors import DeclarationError, HandlerFault
from pipeline.event import Event
from pipeline.state import State

ENVELOPE_FIELDS: Final = ("tenant", "source", "type", "entity_id", "event_id")
_TENANT_FIRST: Final = re.compile(r"^\{tenant\}($|:)")

Part = Callable[[Event, State | None], Any]


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
        self._literals: list[str] = []
        self._parts: list[tuple[str, Part]] = []
        for literal, name, form, conversion in _placeholders(template):
            if self._parts and name is not None and ":" not in literal:
                raise DeclarationError(
                    f"key {template!r}: a colon must part two placeholders, or different "
                    f"values could make the same key"
                )
            if form or conversion:
                raise DeclarationError(f"key {template!r}: {name} takes no format")
            self._literals.append(literal)
            if name is not None:
                self._parts.append((name, _part(name, template, state)))
        # The common case by far; worth its own path, since it runs once an event.
        self._plain = template == "{tenant}:{entity_id}"

    def __call__(self, event: Event, after: State | None = None) -> str:
        """The key for this event.

        Raises:
            HandlerFault: the event or the state has no value where the template needs one.
        """
        if self._plain:
            return f"{event.tenant}:{event.entity_id}"
        values: list[Any] = []
        for name, part in self._parts:
            value = part(event, after)
            if value is None or isinstance(value, dict | list):
                raise HandlerFault(f"key {self.template!r}: {name} is {value!r} in {event.key}")
            values.append(value)
        return self.of(*values)

    def of(self, *values: Any) -> str:
        """The key that these values make, one for each placeholder in its turn."""
        last = len(self._parts) - 1
        pieces: list[str] = []
        for index, (literal, value) in enumerate(zip(self._literals, values, strict=False)):
            text = str(value)
            pieces += literal, text if index == last else _escape(text)
        return "".join(pieces) + "".join(self._literals[len(self._parts) :])

    @property
    def of_one_entity(self) -> bool:
        """Whether all events of a document are of one entity, so that it is made of theirs."""
        return {"tenant", "entity_id"} <= {name for name, _ in self._parts}

    def entity_of(self, key: str) -> tuple[str, str] | None:
        """Tenant and entity id that a key was made of; None for a key that it never makes."""
        pattern = ""
        for index, (literal, (name, _)) in enumerate(
            zip(self._literals, self._parts, strict=False)
        ):
            wanted = name in ("tenant", "entity_id") and f"<{name}>" not in pattern
            group = f"(?P<{name}>" if wanted else "(?:"
            last = index == len(self._parts) - 1
            pattern += f"{re.escape(literal)}{group}{'.*' if last else '[^:]*'})"
        pattern += "".join(map(re.escape, self._literals[len(self._parts) :]))
        found = re.fullmatch(pattern, key, re.DOTALL)
        if found is None or not self.of_one_entity:
            return None
        entity_id = found["entity_id"]
        if self._parts[-1][0] != "entity_id":
            entity_id = entity_id.replace("%3A", ":").replace("%25", "%")
        return found["tenant"], entity_id

    @property
    def names(self) -> tuple[str, ...]:
        """What the key is made of: the last word of each placeholder, in turn."""
        return tuple(name.rpartition(".")[2] for name, _ in self._parts)

    def fields(self, event: Event, after: State | None = None) -> dict[str, Any]:
        """What the key is made of, by the last word of each placeholder.

        Documents that are not written whole get these fields when they are created, so that
        they can be searched by them.
        """
        return {name.rpartition(".")[2]: part(event, after) for name, part in self._parts}

    def __repr__(self) -> str:
        return self.template


def _placeholders(template: str) -> list[tuple[str, str | None, str | None, str | None]]:
    try:
        return list(string.Formatter().parse(template))
    except ValueError as error:
        raise DeclarationError(f"key {template!r}: {error}") from None


def _escape(text: str) -> str:
    return text.replace("%", "%25").replace(":", "%3A")


def _part(name: str, template: str, state: type[State] | None) -> Part:
    root, _, path = name.partition(".")
    if name in ENVELOPE_FIELDS:
        return lambda event, _after: getattr(event, name)
    if root == "payload" and path:
        return lambda event, _after: _dig(event.payload, path)
    if root == "after" and path and state is not None:
        if path not in state.model_fields:
            raise DeclarationError(
                f"key {template!r}: {state.__name__} has no field {path!r}"
                f"{did_you_mean(path, state.model_fields)}"
            )
        return lambda _event, after: getattr(after, path)
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
