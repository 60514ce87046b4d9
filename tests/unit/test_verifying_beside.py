"""The benchmark of live events beside a verification: it fails where nothing was verified."""

from typing import Any

import pytest

from benchmarks import drift
from benchmarks.feeding import StalledError


class FakeApplication:
    """An application whose verifications come to so many events, or fail.

    Args:
        events: that each verification looks at; None where none can be begun.
    """

    def __init__(self, events: int | None) -> None:
        self.events = events
        self.queue = self
        self.store = self
        self.ended_at = "now"

    def verifier(self, _worker: str) -> "FakeApplication":
        """Whoever begins a verification."""
        return self

    def begin(self) -> tuple[str, list[str]]:
        """Begin one."""
        if self.events is None:
            raise ConnectionError("MongoDB is away")
        return "verification", []

    def enqueue(self, _batches: list[str]) -> None:
        """Nothing is run."""


@pytest.fixture(autouse=True)
def _reports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drift, "report_of", lambda app, _name, limit: app if limit else None)


def verified_by(app: Any) -> int:
    """How many events were verified beside a moment's work."""
    verified: list[int] = []
    with drift._verifying(app, verified):  # noqa: SLF001 - what is measured beside
        while not verified and app.events is not None:
            pass
    return sum(verified)


def test_what_was_verified_meanwhile_is_told() -> None:
    """Again and again, until the end."""
    assert verified_by(FakeApplication(3)) >= 3


def test_a_verification_that_fails_fails_the_measurement() -> None:
    """Or it would be told as one beside a verification."""
    with pytest.raises(ConnectionError):
        verified_by(FakeApplication(None))


def test_a_measurement_beside_nothing_is_none() -> None:
    """Verifications that look at no event cost nothing."""
    with pytest.raises(StalledError):
        verified_by(FakeApplication(0))
