"""The state of one document, as a fold action knows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Generic, Self, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from pipeline.clock import to_milliseconds
from pipeline.errors import HandlerFault, StateMisfit


class State(BaseModel):
    """Base of the models that fold actions return; immutable, compared by value.

    A model may get a field with a default: documents stored without it are read as if they
    had it. One that is taken away, renamed or of another type makes every event of such a
    document fail, since nobody knows what is to become of the stored value. So keep it, or
    say `model_config = ConfigDict(extra="ignore")` in the model: then a stored field that it
    doesn't have is passed over, and is gone from what is written from then on.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    def replace(self, **changes: Any) -> Self:
        """A copy with some fields changed.

        Raises:
            HandlerFault: a name is not a field of this model, or a value is not of its type.
        """
        # Past the public methods, whose own work is more than that of the validator.
        model, own = type(self), self.__dict__
        fields = {**own, **changes}
        if len(fields) > len(own):  # a tenth less time than comparing all names
            unknown = changes.keys() - model.__pydantic_fields__.keys()
            if unknown:
                raise HandlerFault(f"{model.__name__} has no field {', '.join(sorted(unknown))}")
        replaced: Self = model.__pydantic_validator__.validate_python(fields)
        return replaced

    @classmethod
    def of_stored(cls, fields: Mapping[str, Any]) -> Self:
        """The state of which these fields are stored.

        Raises:
            StateMisfit: the model is another one by now, and doesn't fit them.
        """
        try:
            # As in `replace`; a document is read twice for each of its events.
            read: Self = cls.__pydantic_validator__.validate_python(fields)
        except ValidationError as error:
            raise StateMisfit(_misfit(cls.__name__, error)) from error
        return read

    def stored(self) -> dict[str, Any]:
        """The fields as MongoDB gives them back: whole milliseconds, and lists for tuples."""
        fields: dict[str, Any] = self.__pydantic_serializer__.to_python(self)
        for name, value in fields.items():
            if type(value) not in _AS_IT_IS:
                fields[name] = _stored(value)
        return fields


_AS_IT_IS: Final = frozenset({type(None), bool, int, float, str})


def _stored(value: Any) -> Any:
    if isinstance(value, datetime):
        in_form = value.tzinfo is UTC and not value.microsecond % 1000
        return value if in_form else to_milliseconds(value)
    if isinstance(value, list | tuple):
        return [_stored(item) for item in value]
    if isinstance(value, dict):
        return {name: _stored(item) for name, item in value.items()}
    return value


def _misfit(model: str, error: ValidationError) -> str:
    """In which fields a model doesn't fit what is stored, and what can be done about it."""
    said = []
    for one in error.errors(include_url=False, include_context=False, include_input=False):
        name = ".".join(map(str, one["loc"]))
        match one["type"]:
            case "extra_forbidden":
                said.append(
                    f"the stored field {name!r} is none of its own (keep it with a default, or "
                    f"pass it over with model_config = ConfigDict(extra='ignore'))"
                )
            case "missing":
                said.append(f"its field {name!r} is not stored (give it a default)")
            case _:
                said.append(f"{name!r}: {one['msg']} (let it take what is stored, too)")
    return f"{model} does not fit a state that is stored: {'; '.join(said)}"


S = TypeVar("S", bound=State)


@dataclass(frozen=True, slots=True, init=False)
class Change(Generic[S]):
    """What one event did to one document: the state before (None: new) and after."""

    before: S | None
    after: S

    def __init__(self, before: S | None, after: S) -> None:
        # A third of the time of the __init__ a frozen dataclass has: one is made for each event.
        _set_before(self, before)
        _set_after(self, after)

    def entered(self, field: str, value: object) -> bool:
        """Whether this event brought the field to the value."""
        return getattr(self.after, field) == value and not self._had(field, value)

    def left(self, field: str, value: object) -> bool:
        """Whether this event took the field away from the value."""
        return getattr(self.after, field) != value and self._had(field, value)

    def _had(self, field: str, value: object) -> bool:
        return self.before is not None and getattr(self.before, field) == value


# The descriptors of the slots: the only way past a frozen class's own refusal.
_set_before: Final = Change.__dict__["before"].__set__
_set_after: Final = Change.__dict__["after"].__set__
