"""The pages, in the order of the navigation. Another page is another module, and a line here."""

from __future__ import annotations

from typing import Final

from dashboards.pages import (
    audit,
    benchmarks,
    drift,
    entities,
    events,
    failed,
    home,
    late,
    operations,
    queues,
    searching,
    signing_in,
)

PAGES: Final = (home, events, failed, queues, late, drift, operations, benchmarks, audit)
"""Those in the navigation; each has a `router` and a `LINK`."""
OTHERS: Final = (entities, searching, signing_in)
"""Those that are reached otherwise."""
