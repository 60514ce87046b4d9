"""The chaos run: nothing is lost, doubled or wrong."""

from collections.abc import Callable

from workers.chaos import Verdict

Chaos = Callable[..., Verdict]

TWO_MINUTES = 2.0


def test_nothing_is_lost_doubled_or_wrong_under_faults_of_every_kind(chaos: Chaos) -> None:
    """Two minutes of kills, freezes, wipes, cuts, elections, disorder and failing handlers."""
    verdict = chaos(minutes=TWO_MINUTES, seed=3)
    assert verdict.clean, verdict.details()
    assert sum(verdict.faults.values()) >= 10
    assert verdict.events > 1000
    assert verdict.late > 0
    assert verdict.retried > 0
