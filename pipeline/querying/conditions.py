"""Conditions as a person writes them, such as `outcomes.completed>=2`."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any, Final

from pipeline.errors import PipelineError
from pipeline.event import EARLIEST

LARGEST: Final = 2**63 - 1
OPERATORS: Final = {">=": "$gte", "<=": "$lte", "!=": "$ne", "=": "$eq", ">": "$gt", "<": "$lt"}


def condition_of(text: str) -> dict[str, Any]:
    """One condition, such as `outcomes.completed>=2`, as MongoDB writes it.

    Raises:
        PipelineError: it has no operator, or no field.
    """
    for index, sign in enumerate(text):
        if sign in "<>=!":
            operator = text[index : index + 2]
            operator = operator if operator in OPERATORS else sign
            field, value = text[:index].strip(), text[index + len(operator) :].strip()
            if field and operator in OPERATORS and "$" not in field and "\0" not in field:
                return {field: {OPERATORS[operator]: value_of(value)}}
            break
    raise PipelineError(f"{text!r} is no condition; write field=value, also with != > >= < <=")


def value_of(text: str) -> Any:
    """What a person means by a value: JSON if it is, a time if it is, else the text itself.

    Raises:
        PipelineError: no table can hold such a value.
    """
    if "\0" in text:
        raise PipelineError("a condition can't hold NUL")
    try:
        value = json.loads(text)
    except ValueError:
        pass
    else:
        if isinstance(value, int) and abs(value) > LARGEST:
            raise PipelineError(f"{value} is beyond the 64 bits that a table holds")
        return value if not isinstance(value, dict | list) else text
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return text
    return moment if moment.tzinfo else moment.replace(tzinfo=EARLIEST.tzinfo)
