"""The state of one document, as a fold action knows it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, Self, TypeVar

from pydantic import BaseModel, ConfigDict

from pipeline.clock import to_milliseconds
from pipeline.errors import HandlerFault


class State(BaseModel):
    """Base of the models that fold actions return; immutable, compared by value."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def replace(self, **changes: Any) -> Self:
        """A copy with some fields changed.

        Raises:
            HandlerFault: a name is not a field of this model, or a value is not of its type.
        """
        unknown = changes.keys() - type(self).model_fields.keys()
        if unknown:
            raise HandlerFault(f"{type(self).__name__} has no field {', '.join(sorted(unknown))}")
        return type(self).model_validate({**self.__dict__, **changes})

    def stored(self) -> dict[str, Any]:
        """The fields as MongoDB gives them back: whole milliseconds, and lists for tuples."""
        return {name: _stored(value) for name, value in self.model_dump().items()}


def _stored(value: Any) -> Any:
    if isinstance(value, datetime):
        return to_milliseconds(value)
    if isinstance(value, list | tuple):
        return [_stored(item) for item in value]
    if isinstance(value, dict):
        return {name: _stored(item) for name, item in value.items()}
    return value


S = TypeVar("S", bound=State)


@dataclass(frozen=True, slots=True)
class Change(Generic[S]):
    """What one event did to one document: the state before (None: new) and after."""

    before: S | None
    after: S

    def entered(self, field: str, value: object) -> bool:
        """Whether this event brought the field to the value."""
        return getattr(self.after, field) == value and not self._had(field, value)

    def left(self, field: str, value: object) -> bool:
        """Whether this event took the field away from the value."""
        return getattr(self.after, field) != value and self._had(field, value)

    def _had(self, field: str, value: object) -> bool:
        return self.before is not None and getattr(self.before, field) == value
