"""That the chaos run would notice: broken builds do not pass it."""

from collections.abc import Callable

import pytest

from workers.chaos import Verdict
from workers.chaos.handlers import __name__ as handlers

pytestmark = pytest.mark.uncounted

Chaos = Callable[..., Verdict]

TWO_MINUTES = 2.0
SOUND = [handlers]


def test_a_build_that_never_asks_its_ledger_is_caught(chaos: Chaos) -> None:
    """Effects are there twice where a heal had them first."""
    verdict = chaos(
        minutes=TWO_MINUTES,
        late=0.3,
        every=6.0,
        handlers=["tests.faults.broken.without_ledger"],
        registry_of=SOUND,
        count=6000,
    )
    assert not verdict.clean
    assert verdict.wrong, verdict.details()


def test_a_build_without_transactions_is_caught(chaos: Chaos) -> None:
    """A worker that dies half-way, or meets another, leaves half an effect."""
    verdict = chaos(
        minutes=TWO_MINUTES,
        handlers=["tests.faults.broken.without_transactions"],
        registry_of=SOUND,
        count=6000,
        every=3.0,
    )
    assert not verdict.clean
    assert verdict.wrong or verdict.lost or verdict.doubled, verdict.details()


def test_a_build_that_ignores_leases_is_caught(chaos: Chaos) -> None:
    """The tables are right, since transactions decide; but two runs held one document."""
    verdict = chaos(
        minutes=TWO_MINUTES,
        handlers=["tests.faults.broken.without_locks"],
        registry_of=SOUND,
        workers=3,
        count=12_000,
        every=6.0,
    )
    assert verdict.overlaps, verdict.details()
    assert not verdict.clean
