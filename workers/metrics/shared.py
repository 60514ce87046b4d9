"""What the pipeline as a whole tells: what was counted, and how it stands."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain
from typing import Final

import structlog
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.core import Metric as Family
from redis.exceptions import RedisError

from pipeline.declarations import Lane
from pipeline.metrics.catalogue import ERRORS, OTHER
from pipeline.metrics.families import families
from pipeline.queue import totals
from pipeline.registry import SIBLINGS
from pipeline.verification import HANDLER
from workers.bootstrap import Application
from workers.metrics.standing import Look, told

LOOK_SECONDS: Final = 2.0
"""Between two looks at the servers."""
OLDEST_LOOK: Final = 120.0
"""Seconds after which a look is no longer told, apart from how old it is."""

log = structlog.get_logger(__name__)


class Shared:
    """Tells all of it; whoever asks waits for one round trip to Redis and for nothing else.

    Args:
        app: the process's application.
        latest: the latest look at the servers; None before the first.
    """

    def __init__(self, app: Application, latest: Callable[[], Look | None]) -> None:
        self._app = app
        self._latest = latest
        self._errors = 0
        self._handlers = frozenset({HANDLER, *(handler.name for handler in app.registry)})
        self._known = {
            "lane": [lane.value for lane in Lane],
            "handler": sorted(self._handlers),
            "tenant": [*app.settings.metrics_tenants, OTHER],
        }

    def __call__(self) -> Iterator[Family]:
        """Everything, as it is now."""
        clock = self._app.clock
        begun = clock.monotonic()
        yield from chain(self._counted(), self._standing(), self._silence())
        yield GaugeMetricFamily(
            "pipe_exporter_collect_seconds",
            "How long it took to collect this.",
            value=clock.monotonic() - begun,
        )
        yield CounterMetricFamily(
            "pipe_exporter_errors", "Times that Redis did not tell the counts.", value=self._errors
        )

    def _standing(self) -> Iterator[Family]:
        latest, now = self._latest(), self._app.clock.now()
        if latest is None:
            return
        age = (now - latest.at).total_seconds()
        if age <= OLDEST_LOOK:
            yield from told(latest, self._app.settings, now)
        yield GaugeMetricFamily(
            "pipe_look_age_seconds",
            "Seconds since both servers were last looked at; all other gauges are as of then.",
            value=age,
        )

    def _counted(self) -> Iterator[Family]:
        try:
            read = totals.read(self._app.redis)
        except RedisError as error:
            self._errors += 1
            log.warning("counts_not_read", error=str(error)[:300])
            return
        yield from families(read.totals, read.last, self._known, self._allowed)

    def _allowed(self, label: str, value: str) -> bool:
        """Whether a label may have a value: what is declared or set, and errors of the list."""
        if label == "handler":
            return self._handlers.issuperset(value.split(SIBLINGS))
        if label == "error":
            return value in ERRORS or value == OTHER
        return value in self._known.get(label, ())

    def _silence(self) -> Iterator[Family]:
        family = GaugeMetricFamily(
            "pipe_tenant_allowed_silence_seconds",
            "For how long a tenant may send nothing, as PIPELINE_METRICS_TENANTS says.",
            labels=["tenant"],
        )
        for tenant, seconds in self._app.settings.metrics_tenants.items():
            family.add_metric([tenant], seconds)
        yield family
