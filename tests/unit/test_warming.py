"""Before anything is measured every worker has worked."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest

from benchmarks import warming
from benchmarks.feeding import StalledError
from pipeline import Event
from workers.bootstrap import Application


class Crew:
    """An application of workers of which the last one gets a share of large submissions only."""

    def __init__(self, workers: int, batch_size: int, enough: float) -> None:
        self.sizes: list[int] = []
        self.settings = SimpleNamespace(batch_size=batch_size)
        self.dispatcher = SimpleNamespace(submit=self._submit)
        self.registry = SimpleNamespace(actions_for=lambda _type: ["a handler"], tables=dict)
        self.store = SimpleNamespace(database=self)
        self._workers, self._enough = workers, enough

    def _submit(self, events: Sequence[Event]) -> None:
        self.sizes.append(len(events))

    def __getitem__(self, _name: str) -> "Crew":
        """A collection."""
        return self

    def distinct(self, _field: str) -> list[int]:
        """Who has worked."""
        all_of_them = any(size >= self._enough for size in self.sizes)
        return list(range(self._workers if all_of_them else self._workers - 1))

    def delete_many(self, _matching: dict[str, Any]) -> None:
        """Forget."""


def warm_up(crew: Crew, workers: int, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many events were submitted at once, again and again."""
    monkeypatch.setattr(warming, "wait_until_idle", lambda _app, tick: tick())
    warming.warm_up(cast("Application", crew), workers, lambda: None)
    return crew.sizes


@pytest.mark.parametrize(("batch_size", "large"), [(1, 1_600), (500, 4_000)])
def test_where_single_events_leave_a_worker_out_many_are_sent_at_once(
    monkeypatch: pytest.MonkeyPatch, batch_size: int, large: int
) -> None:
    """Single events may be left to others for ever; of a large submission all take a share."""
    sizes = warm_up(Crew(8, batch_size, enough=large), 8, monkeypatch)
    assert sizes == [1] * warming.SINGLE + [large]


def test_where_single_events_reach_every_worker_nothing_else_is_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As it is with the peers."""
    assert warm_up(Crew(2, 500, enough=1), 2, monkeypatch) == [1] * warming.ROUND


def test_a_worker_that_does_nothing_at_all_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a while, with how many events it was given."""
    monkeypatch.setattr(warming, "START_SECONDS", 0.05)
    with pytest.raises(StalledError, match="were not done by 2 workers"):
        warm_up(Crew(2, 500, enough=float("inf")), 2, monkeypatch)
