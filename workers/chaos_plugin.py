"""A pytest fixture that puts a project's own handlers through a chaos run.

    def test_my_handlers_survive(chaos):
        verdict = chaos(handlers=["my.handlers"], events=my_events, minutes=2)
        assert verdict.clean, verdict.details()

The handlers run in real worker processes on real servers of the test's own, while all of
them are killed, frozen and cut off. In the end every table is compared with a sequential run
in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pipeline import Event
    from workers.chaos import Verdict


@pytest.fixture
def chaos(tmp_path: Path) -> Callable[..., Verdict]:
    """Give a function that makes a chaos run and returns its verdict.

    Its keywords are those of `workers.chaos.Options`, but for the folder, which is the
    test's; `events` are the facts in their order, and a story of the run's own without them.
    """
    # Late, so that a test session that has no chaos run loads nothing of it.
    from workers.chaos import Options, run  # noqa: PLC0415

    def make(
        *,
        events: Sequence[Event] | None = None,
        registry_of: Sequence[str] | None = None,
        **options: Any,
    ) -> Verdict:
        given: dict[str, Any] = {"seed": 1, "minutes": 2.0, "folder": tmp_path} | options
        settings = Options(**given)
        return run(settings, events=events, registry_of=registry_of)

    return make
