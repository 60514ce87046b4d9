"""Logging: one JSON object a line on standard error, an event name and key-values."""

from __future__ import annotations

import logging
import sys

import structlog

RQ_LOGGERS = ("rq.worker", "rq.queue", "rq.job", "rq.scheduler")


def configure(level: str, *, process: str) -> None:
    """Log facts from this level up, each with the process that says it.

    Args:
        level: debug, info, warning or error.
        process: who we are.
    """
    threshold = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.dict_tracebacks,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(process=process)
    # RQ says in prose what the ledger and our own facts say already; its troubles we want.
    for name in RQ_LOGGERS:
        logging.getLogger(name).setLevel(logging.WARNING)
