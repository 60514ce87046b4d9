"""Trying again what another try can cure: a conflict, a new primary, a lost connection."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

import structlog
from pymongo.client_session import ClientSession
from pymongo.errors import (
    BulkWriteError,
    ConnectionFailure,
    DuplicateKeyError,
    OperationFailure,
    PyMongoError,
)
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception,
    stop_after_delay,
    wait_random_exponential,
)

from pipeline.errors import Unavailable
from pipeline.store.commands import DUPLICATE_KEY, Outdated

T = TypeVar("T")

LONGEST_SECONDS: Final = 30.0
"""How long something is tried again and again."""
LONGEST_PAUSE: Final = 0.5
"""Seconds, between two tries of a transaction."""
DUPLICATE_TRIES: Final = 10
UNAUTHORIZED: Final = 13
WRITE_CONFLICT: Final = 112
NOT_THE_EVENTS_FAULT: Final = frozenset(
    {
        UNAUTHORIZED,
        14031,  # out of disk space
        100,  # a write concern that no member can meet
        64,  # a write concern that was not met in time
        11600,  # interrupted, since the server shuts down
        91,  # shutting down
        10107,  # no primary
        13435,  # no primary, and reading from a secondary was not asked for
        189,  # the primary has stepped down
    }
)
"""What MongoDB answers when it is the server that can't go on, not one write that is bad."""

log = structlog.get_logger(__name__)


def log_retry(state: RetryCallState) -> None:
    """Log why something is tried again."""
    error = state.outcome.exception() if state.outcome else None
    log.debug("transaction_retried", attempt=state.attempt_number, error=str(error)[:200])


def cause(state: RetryCallState) -> str:
    """Why another try is made, as it is counted."""
    error = state.outcome.exception() if state.outcome else None
    if isinstance(error, Outdated):
        return "done_before"
    if isinstance(error, ConnectionFailure):
        return "connection"
    if _duplicate(error):
        return "duplicate"
    if isinstance(error, OperationFailure) and error.code == WRITE_CONFLICT:
        return "conflict"
    return "other"


def patiently(
    work: Callable[[], T], before_sleep: Callable[[RetryCallState], None] = log_retry
) -> T:
    """Run `work`, again and again where another try can cure what ended it."""
    try:
        for attempt in Retrying(
            retry=_curing(),
            # Many at one hot document undo each other without end if all come back at once.
            wait=wait_random_exponential(multiplier=0.02, max=LONGEST_PAUSE),
            stop=stop_after_delay(LONGEST_SECONDS),
            before_sleep=before_sleep,
            retry_error_callback=_give_up,
        ):
            with attempt:
                return work()
    except OperationFailure as error:
        if error.code in NOT_THE_EVENTS_FAULT:
            raise Unavailable(f"MongoDB takes no writes now: {error}") from error
        raise
    raise AssertionError("tenacity ends by returning or raising")


def commit(session: ClientSession) -> None:
    """Commit; while it is unknown whether a commit arrived, ask for it again."""
    for attempt in Retrying(
        retry=retry_if_exception(
            lambda error: (
                isinstance(error, PyMongoError)
                and error.has_error_label("UnknownTransactionCommitResult")
            )
        ),
        wait=wait_random_exponential(multiplier=0.01, max=1.0),
        stop=stop_after_delay(LONGEST_SECONDS),
        reraise=True,
    ):
        with attempt:
            session.commit_transaction()


def _curing() -> Callable[[RetryCallState], bool]:
    """Tells of each try whether another can cure what ended it."""
    duplicates = 0

    def curable(state: RetryCallState) -> bool:
        nonlocal duplicates
        error = state.outcome.exception() if state.outcome else None
        if _duplicate(error):
            # A race is over by the next try; a key that stays taken is a fault, and has to be
            # told. Conflicts in between, which a hot document has many of, do not count.
            duplicates += 1
            return duplicates < DUPLICATE_TRIES
        return isinstance(error, Outdated | ConnectionFailure) or (
            isinstance(error, PyMongoError)
            and (
                error.has_error_label("TransientTransactionError")
                or error.has_error_label("UnknownTransactionCommitResult")
            )
        )

    return curable


def _duplicate(error: BaseException | None) -> bool:
    if isinstance(error, BulkWriteError):
        faults = error.details.get("writeErrors", [])
        return bool(faults) and all(fault["code"] == DUPLICATE_KEY for fault in faults)
    return isinstance(error, DuplicateKeyError)


def _give_up(state: RetryCallState) -> Any:
    error = state.outcome.exception() if state.outcome else None
    raise Unavailable(
        f"MongoDB did not complete a transaction within {LONGEST_SECONDS:.0f} s "
        f"({state.attempt_number} tries): {error}"
    ) from error
