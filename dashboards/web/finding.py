"""The search of all visitors: it knows for some seconds which tenants there are."""

from __future__ import annotations

from typing import Final

from dashboards.web.watching import Watch
from pipeline.lookup import TENANTS, Found, lookup
from pipeline.registry import Registry
from pipeline.store import Store

KNOWN_SECONDS: Final = 10.0
"""For which an entity of a tenant that is new may not be found beside those of others."""


class Search:
    """Finds things by any id.

    Args:
        store: where they are.
        registry: which tables there are.
    """

    def __init__(self, store: Store, registry: Registry) -> None:
        self._store = store
        self._registry = registry
        self._tenants = Watch(
            lambda: store.tenants(registry.tables(), limit=TENANTS), good_for=KNOWN_SECONDS
        )

    def __call__(self, text: str) -> Found:
        """What this text may be the id of.

        Where nothing is found it is asked anew which tenants there are.
        """
        tenants = self._tenants.fresh()
        found = lookup(self._store, self._registry, text, tenants)
        if found.tenants is None or found.anything:
            return found
        self._tenants.forget()
        known = self._tenants.fresh()
        return found if known == tenants else lookup(self._store, self._registry, text, known)
