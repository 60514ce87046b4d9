"""`python -m dashboards`: the console, as `pipeline up` starts it."""

from __future__ import annotations

from dashboards.serving import serve
from workers import logs
from workers.bootstrap import process_name
from workers.cli.context import explained, settings_from


def main() -> None:
    """Serve until told to end; the exit status tells what was wrong."""
    settings = settings_from()
    logs.configure(settings.log_level, process=process_name("console"))
    with explained():
        serve(settings)


if __name__ == "__main__":
    main()
