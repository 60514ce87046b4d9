"""Templates to answers. Everything is escaped, and a name that is missing is an error."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined

from dashboards.access.people import Role, Visit
from dashboards.web import words


class Link(NamedTuple):
    """A page as the navigation shows it.

    Attributes:
        path: where it is.
        name: what it is called.
        key: the letter after `g` that goes there.
    """

    path: str
    name: str
    key: str


class Renderer:
    """Renders templates.

    Args:
        badge: which environment this is; shown on every page.
        links: the pages of the navigation, in their order.
        build: version and revision of what runs; shown to who is logged in.
    """

    def __init__(self, badge: str, links: Sequence[Link], build: str) -> None:
        self._environment = Environment(
            loader=PackageLoader("dashboards"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters |= FILTERS
        self._environment.globals |= {
            "badge": badge,
            "build": build,
            "links": links,
            "roles": Role,
            "said": words.said,
        }

    def __call__(
        self, template: str, visit: Visit, *, status: int = 200, **context: Any
    ) -> HTMLResponse:
        """The answer of this template.

        Args:
            template: its file.
            visit: what it is rendered for.
            status: of the answer.
            context: what the template names.
        """
        now = datetime.now(UTC)
        text = self._environment.get_template(template).render(visit=visit, now=now, **context)
        return HTMLResponse(text, status)


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, default=str)


FILTERS: Final = {
    "as_path": words.as_path,
    "clock": words.clock,
    "figure": words.figure,
    "moment": words.moment,
    "number": words.number,
    "plain": words.plain,
    "pretty": _json,
    "since": words.since,
    "span": words.span,
}
