"""Serving the console until it is told to end."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import uvicorn
from starlette.types import ASGIApp

from dashboards.access import Access
from dashboards.app import create_app
from pipeline.errors import Unavailable
from pipeline.metrics.own import own_registry
from pipeline.metrics.own import serve as tell
from pipeline.settings import Settings
from workers.bootstrap import application, servers
from workers.embedded.process import listens

KEEP_ALIVE_SECONDS: Final = 30
DRAIN_SECONDS: Final = 3
"""For streams, which have no end of their own."""
MOST_CONNECTIONS: Final = 1_000
NAP_SECONDS: Final = 0.01


def serve(settings: Settings) -> None:
    """Serve the console on the address of the settings, until SIGTERM or SIGINT.

    Raises:
        DeclarationError, SettingError: a handler module or a setting is wrong.
        EmbeddedError, Unavailable: a server can't be had, or the port is taken.
    """
    host, port = settings.dashboard_host, settings.dashboard_port
    if port and listens(port):
        raise Unavailable(
            f"port {port} is taken; set PIPELINE_DASHBOARD_PORT to a free one, or to 0 for any"
        )
    told = own_registry("console", revision=settings.revision)
    tell(told, settings.metrics_host, settings.metrics_port)
    with servers(settings) as where, application(settings, where) as app:
        access = Access(settings)
        console = create_app(app, where.redis_url, access)
        config = uvicorn.Config(
            console,
            host=host,
            port=port,
            access_log=False,
            log_level="warning",
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=DRAIN_SECONDS,
            limit_concurrency=MOST_CONNECTIONS,
            proxy_headers=False,
        )
        sys.stderr.write(f"console on http://{host}:{port}/ops/{_hint(settings, access)}\n")
        uvicorn.Server(config).run()


@contextmanager
def served(console: ASGIApp) -> Iterator[str]:
    """Serve a console on a free port of loopback, beside what else this process does; its address.

    Raises:
        Unavailable: it does not start.
    """
    config = uvicorn.Config(console, port=0, log_level="critical", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        if not thread.is_alive():
            raise Unavailable("the console does not start")
        time.sleep(NAP_SECONDS)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


def _hint(settings: Settings, access: Access) -> str:
    if access.token is None or settings.console_token is not None:
        return ""
    return f"; log in with the token in {settings.data_dir / 'console.token'}"
