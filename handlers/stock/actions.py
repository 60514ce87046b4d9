"""What is left of each product: nothing but sums and extremes, so order can't matter.

pipeline --handlers handlers.stock up
pipeline --handlers handlers.stock query stock_levels 'level<0' --tenant warehouse-uk
"""

from __future__ import annotations

from typing import Final

from pipeline import Event, Update, action, inc, maximum, minimum

# What came back is received as well.
_RECEIVED: Final = ("received", "returned")


@action(
    "stock.move",
    on=("stock.issued", "stock.received", "stock.returned"),
    table="stock_levels",
    key="{tenant}:{entity_id}",
)
def move_stock(event: Event) -> Update:
    """The level goes by what was issued (below zero) or received (above)."""
    delta = event.payload.get("delta")
    if type(delta) is not int:
        raise ValueError(f"payload.delta is no whole number: {delta!r}")
    way = "received" if event.type.rpartition(".")[2] in _RECEIVED else "issued"
    counted = inc({"level": delta, f"moves.{way}": 1})
    return counted | minimum(first_at=event.occurred_at) | maximum(last_at=event.occurred_at)
