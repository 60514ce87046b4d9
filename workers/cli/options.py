"""Options that several commands take."""

from __future__ import annotations

from typing import Annotated

import typer

from pipeline.querying import TENANT


def _name(text: str | None) -> str | None:
    """A name as handlers and tenants have; the empty one would mean all of them."""
    if text is not None and not TENANT.fullmatch(text):
        raise typer.BadParameter(f"{text!r} is no name")
    return text


OfHandler = Annotated[
    str | None, typer.Option("--handler", help="This handler only.", callback=_name)
]
OfTenant = Annotated[str | None, typer.Option("--tenant", help="This tenant only.", callback=_name)]
