"""rq-dashboard over the pipeline's Redis: what is literally in RQ's lists and registries.

Served read-only apart from requeueing one job, within the console, with the page of a job escaped:
rq-dashboard 0.9 writes what stands in a job into the page as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import wraps
from pathlib import Path
from typing import Any, Final

import rq_dashboard
from flask import Flask, abort, request
from jinja2 import BaseLoader, ChoiceLoader, FunctionLoader
from redis import Redis
from rq import Worker
from rq.exceptions import NoSuchJobError
from rq.serializers import JSONSerializer
from rq.worker import BaseWorker
from rq_dashboard import web

from dashboards.access.origin import same_origin

PACKAGE: Final = Path(rq_dashboard.__file__).parent
POLL_MILLISECONDS: Final = 5_000

REQUEUE: Final = "requeue_job_view"
# They change many jobs at once behind the ledger's back: the command line does that better.
REFUSED: Final = frozenset({"delete_job_view", "requeue_all", "empty_queue", "compact_queue"})
WRITES: Final = REFUSED | {REQUEUE}

Noting = Callable[[dict[str, Any], str], AbstractContextManager[object]]
"""Notes, before it is done, that whoever sent a request (its WSGI environment) requeues a job."""


def create_app(redis_url: str, noting: Noting) -> Flask:
    """The dashboard as a WSGI application.

    Args:
        redis_url: address of the pipeline's Redis; it is shown nowhere.
        noting: notes who presses the button that puts a failed job back to work.
    """
    web.config.serializer = JSONSerializer
    web.Worker = _Workers
    app = _Escaping("rq", static_folder=str(PACKAGE / "static"), template_folder="templates")
    app.config.update(
        RQ_DASHBOARD_REDIS_URL=redis_url,
        RQ_DASHBOARD_DISABLE_DELETE=True,
        RQ_DASHBOARD_POLL_INTERVAL=POLL_MILLISECONDS,
    )
    app.before_request(_gate)
    app.register_blueprint(web.blueprint, url_prefix="")
    button = f"{web.blueprint.name}.{REQUEUE}"
    app.view_functions[button] = _noted(app.view_functions[button], noting)
    app.register_error_handler(NoSuchJobError, _unknown)
    web.setup_rq_connection(app)
    return app


def _noted(requeue: Callable[..., Any], noting: Noting) -> Callable[..., Any]:
    @wraps(requeue)
    def noted(job_id: str) -> Any:
        with noting(request.environ, job_id):
            return requeue(job_id)

    return noted


class _Workers:
    """RQ's workers, read with our serializer; the package reads a busy one's job as a pickle."""

    @staticmethod
    def all(connection: Redis) -> list[BaseWorker]:
        """Every worker that RQ knows."""
        return Worker.all(connection=connection, serializer=JSONSerializer)


class _Escaping(Flask):
    """Serves the package's templates with every value escaped by the template in the page."""

    def create_global_jinja_loader(self) -> BaseLoader:  # type: ignore[override]
        return ChoiceLoader([FunctionLoader(_escaped), super().create_global_jinja_loader()])


def _escaped(name: str) -> str | None:
    """The template's text; underscore writes `<%-` escaped, and `<%=` as it is."""
    template = PACKAGE / "templates" / name
    if not template.is_file() or PACKAGE not in template.resolve().parents:
        return None
    return template.read_text(encoding="utf-8").replace("<%= d.", "<%- d.")


def _unknown(_: NoSuchJobError) -> tuple[str, int]:
    """Redis forgets jobs that are done; the package takes that for a fault of the server."""
    return "Redis knows no such job any more", 404


def _gate() -> None:
    """Refuse what would change state from another site, by GET, or in bulk."""
    view = (request.endpoint or "").rpartition(".")[2]
    if view not in WRITES:
        return
    if request.method != "POST":
        abort(405)
    if view in REFUSED:
        abort(403)
    if not same_origin({name.lower(): value for name, value in request.headers.items()}):
        abort(403)
