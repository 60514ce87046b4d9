"""Logging: one JSON object a line, an event name and key-values."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import structlog
from structlog.tracebacks import ExceptionDictTransformer

RQ_LOGGERS = ("rq.worker", "rq.queue", "rq.job", "rq.scheduler")


def configure(level: str, *, process: str, path: Path | None = None) -> None:
    """Log facts from this level up, each with the process that says it.

    Args:
        level: debug, info, warning or error.
        process: who we are.
        path: file to append to; standard error without one.
    """
    stream = sys.stderr if path is None else path.open("a", buffering=1)
    threshold = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            # Locals stay out: they hold what customers sent, and addresses with passwords.
            structlog.processors.ExceptionRenderer(ExceptionDictTransformer(show_locals=False)),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.WriteLoggerFactory(file=stream),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(process=process)
    # RQ says in prose what the ledger and our own facts say already; its troubles we want.
    for name in RQ_LOGGERS:
        logging.getLogger(name).setLevel(logging.WARNING)
