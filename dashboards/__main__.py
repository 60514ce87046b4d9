"""`python -m dashboards`: the console, as `pipeline up` starts it."""

from __future__ import annotations

import argparse
import sys

import typer

from dashboards.serving import serve
from workers import logs
from workers.bootstrap import process_name
from workers.cli.context import Exit, explained, settings_from


def main() -> int:
    """Serve until told to end; the exit status tells what was wrong."""
    parser = argparse.ArgumentParser(prog="python -m dashboards")
    parser.add_argument("--metrics-port", type=int, help="instead of PIPELINE_METRICS_PORT")
    asked = parser.parse_args()
    try:
        settings = settings_from(metrics_port=asked.metrics_port)
        logs.configure(settings.log_level, process=process_name("console"))
        with explained():
            serve(settings)
    except typer.Exit as ended:
        return ended.exit_code
    return Exit.OK


if __name__ == "__main__":
    sys.exit(main())
