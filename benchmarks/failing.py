"""Failures that are declared: which events fail, and how often, follows from a seed.

An attempt fails with some probability, whatever became of those before it; some events never
succeed. A handler is told nothing but its event, so attempts are noted in a folder that all workers
see. One attempt may call the handler several times, one transaction after the other; the next
attempt is asked for at a later time, by which the two are told apart.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field

from pipeline import Event, Retry
from pipeline.declarations import DEFAULT_BACKOFF
from pipeline.settings import Settings

FAILING: Final = "PIPELINE_BENCH_FAILING"
"""In the environment: what fails in this process and in those it starts, as JSON."""
HANDLERS: Final = "benchmarks.failing_handlers"
ATTEMPTS: Final[int] = Settings.model_fields["max_attempts"].default
BYTES: Final = 8
GAP_SECONDS: Final = 1.0
"""Calls that are less apart belong to one attempt."""


class DeclaredFailureError(Exception):
    """An event was to fail, and this is how."""


class Failing(BaseModel):
    """What fails.

    Attributes:
        rate: the probability that an attempt fails.
        permanent: the share of events that never succeed.
        seed: of both.
        attempts: most attempts at an event.
        folder: where failed attempts are noted.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    rate: float = Field(ge=0, lt=1)
    permanent: float = Field(default=0.0, ge=0, le=1)
    seed: int = 2013
    attempts: int = Field(default=ATTEMPTS, ge=1)
    folder: Path | None = None

    def failures(self, key: str) -> int:
        """How many attempts at the event with this key fail; so many as there are: it is given up.

        With p the rate, j attempts or more fail with probability p^j.
        """
        if self._drawn("permanent", key) < self.permanent:
            return self.attempts
        if not self.rate:
            return 0
        failed = math.floor(math.log(self._drawn("rate", key)) / math.log(self.rate))
        return min(failed, self.attempts)

    def gives_up(self, key: str) -> bool:
        """Whether the event with this key has to become a dead letter."""
        return self.failures(key) == self.attempts

    def attempt(self, event: Event, now: float) -> None:
        """Make one attempt at an event, or go on with it.

        Args:
            event: of all the same key.
            now: seconds of a clock that all processes share.

        Raises:
            Retry: the attempt fails, and another may not.
            DeclaredFailureError: the attempt fails, and so will all others.
        """
        fails = self.failures(event.key)
        if fails == self.attempts:
            raise DeclaredFailureError("this event never succeeds")
        if fails and self.folder is not None:
            number = _noted(self.folder, event.key, now)
            if number <= fails:
                # A gap more than a handler without a word of its own would wait.
                after = DEFAULT_BACKOFF.delay(number) + timedelta(seconds=GAP_SECONDS)
                raise Retry(after, "this attempt fails")

    def _drawn(self, what: str, key: str) -> float:
        """A number between 0 and 1, neither of them, of an event."""
        digest = blake2b(f"{self.seed} {what} {key}".encode(), digest_size=BYTES).digest()
        return (int.from_bytes(digest) + 0.5) / 256**BYTES


def _noted(folder: Path, key: str, now: float) -> int:
    """Note a call, and say which attempt it belongs to, from 1.

    Only one process at a time is at an event, or its transaction would be undone.
    """
    path = folder / blake2b(key.encode(), digest_size=16).hexdigest()
    number, last = 0, -math.inf
    if path.exists():
        said, _, at = path.read_text().partition(" ")
        number, last = int(said), float(at)
    # Where one attempt takes longer than the gap it counts twice, and fewer fail than were to.
    number += now - last >= GAP_SECONDS
    path.write_text(f"{number} {now}")
    return number


def declared() -> Failing | None:
    """What fails in this process."""
    said = os.environ.get(FAILING)
    return None if said is None else _parsed(said)


_parsed: Final = lru_cache(maxsize=1)(Failing.model_validate_json)


@contextmanager
def declaring(failing: Failing | None) -> Iterator[dict[str, Any]]:
    """Let it fail in this process and in those it starts; gives the settings for that."""
    if failing is None:
        yield {}
        return
    with TemporaryDirectory(prefix="pipeline-failing-") as folder:
        noting = failing.model_copy(update={"folder": Path(folder)})
        os.environ[FAILING] = noting.model_dump_json()
        try:
            yield {"handlers": [HANDLERS], "max_attempts": failing.attempts}
        finally:
            del os.environ[FAILING]
