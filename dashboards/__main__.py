"""`python -m dashboards`: rq-dashboard on loopback, over the Redis of the settings."""

from __future__ import annotations

import os
import signal
import sys

from werkzeug.serving import make_server

from dashboards.rq_dashboard import create_app
from pipeline.settings import Settings


def main() -> int:
    """Serve until SIGTERM or SIGINT; the exit status tells what was wrong."""
    settings = Settings()
    if settings.redis_url is None:
        sys.stderr.write(
            "PIPELINE_REDIS_URL is not set; 'pipeline up' starts this page with the address "
            "of its embedded Redis\n"
        )
        return 2
    app = create_app(settings.redis_url.get_secret_value())
    try:
        server = make_server(settings.dashboard_host, settings.dashboard_port, app, threaded=True)
    except OSError as error:
        sys.stderr.write(f"port {settings.dashboard_port} can't be served: {error}\n")
        return 4
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: os._exit(0))
    sys.stderr.write(f"rq-dashboard on http://{settings.dashboard_host}:{server.port}\n")
    server.serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main())
