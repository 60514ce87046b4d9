"""Looking into a domain's tables: by key, tenant and field values."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from pipeline.errors import NotFound, PipelineError
from pipeline.event import EARLIEST
from pipeline.keys import did_you_mean
from pipeline.registry import Registry
from pipeline.store import Store

MOST_ROWS: Final = 10_000
LARGEST: Final = 2**63 - 1
TENANT: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
OPERATORS: Final = {">=": "$gte", "<=": "$lte", "!=": "$ne", "=": "$eq", ">": "$gt", "<": "$lt"}


def query(
    store: Store,
    registry: Registry,
    table: str,
    *,
    key: str | None = None,
    tenant: str | None = None,
    conditions: tuple[str, ...] = (),
    limit: int = 20,
) -> list[dict[str, Any]]:
    """Documents of a table, in the order of their keys.

    Args:
        store: where the tables are.
        registry: which tables there are.
        table: a table that some handler writes.
        key: only the document of this id.
        tenant: only documents of this tenant; a range of ids, and so served by the index.
        conditions: such as `status=canceled` or `starts_at>=2013-01-01T00:00:00Z`; all hold.
        limit: most documents, up to 10,000.

    Raises:
        NotFound: no handler writes such a table.
        PipelineError: a condition can't be read.
    """
    if table not in registry.tables():
        raise NotFound(
            f"no handler writes a table {table!r}{did_you_mean(table, registry.tables())}; "
            f"there are {', '.join(registry.tables())}"
        )
    wanted: list[Mapping[str, Any]] = [condition_of(text) for text in conditions]
    if key is not None:
        wanted.append({"_id": key})
    if tenant is not None:
        wanted.append(_of_tenant(tenant))
    matching = {"$and": wanted} if wanted else {}
    return store.find(table, matching, limit=max(1, min(limit, MOST_ROWS)))


def _of_tenant(tenant: str) -> dict[str, Any]:
    """Ids of one tenant: the tenant's own, those that go on with a colon, and their rows'."""
    if not TENANT.fullmatch(tenant):
        raise PipelineError(f"{tenant!r} is no tenant's name")
    ranges = [{"_id": {"$gte": f"{tenant}{c}", "$lt": f"{tenant}{chr(ord(c) + 1)}"}} for c in ":|"]
    return {"$or": [{"_id": tenant}, *ranges]}


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
