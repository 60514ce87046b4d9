"""What a run adds to the counts, apart from the plain case."""

from datetime import UTC, datetime, timedelta

from pipeline.counting import count_run
from pipeline.disorder import Disorder, Mark
from pipeline.executor import Outcome
from pipeline.holding import Held, HoldEnd
from pipeline.metrics import Counts
from pipeline.metrics.counts import SEPARATOR
from pipeline.store import Batch, LedgerRow, LedgerState
from pipeline.updates import Update

NOW = datetime(2024, 5, 1, tzinfo=UTC)
BATCH = Batch.of("parcels.apply", ["e1@acme/shop"], "actions")


def row(disorder: Disorder | None = None, held: Held | None = None) -> LedgerRow:
    """The row of an effect."""
    nothing = Update.nothing()
    made = LedgerRow("e@a/s", "parcels.apply", LedgerState.DONE, "k", nothing, 1, "j", NOW, 250)
    return made._replace(disorder=disorder, held=held)


def counted(outcome: Outcome) -> dict[tuple[str, ...], float]:
    """What it adds, by the parts of each field."""
    counts = Counts()
    count_run(counts, [BATCH], outcome, 0.02, NOW)
    return {tuple(field.split(SEPARATOR)): n for field, n in counts.take().added.items()}


def test_ties_and_gaps_are_out_of_order_and_not_late() -> None:
    """Only what happened before what its document had seen has a lateness."""
    marks = [Disorder(Mark.TIE, "x", 0), Disorder(Mark.GAP, None), Disorder(Mark.LATE, "x", 2_000)]
    added = counted(Outcome(rows=[row(mark) for mark in marks]))
    for mark in ("tie", "gap", "late"):
        assert added["pipe_events_out_of_order", "parcels.apply", mark] == 1
    late = {key: n for key, n in added.items() if key[0] == "pipe_event_lateness_seconds"}
    name = ("pipe_event_lateness_seconds", "parcels.apply")
    assert late == {(*name, "2"): 1, (*name, "s"): 2.0}


def test_a_hold_is_counted_when_it_has_ended() -> None:
    """By what ended it."""
    held = Held(NOW, NOW + timedelta(seconds=5), 3)
    over = held.ended(HoldEnd.GRACE, NOW)
    added = counted(Outcome(rows=[row(held=held), row(held=over)]))
    ends = {key[2]: n for key, n in added.items() if key[0] == "pipe_event_holds_ended"}
    assert ends == {"grace": 1}


def test_a_batch_that_was_done_before_counts_its_events_as_repeated() -> None:
    """They had their effect then, and were counted."""
    added = counted(Outcome(claimed=False))
    assert added["pipe_events", "parcels.apply", "repeated"] == 1
    assert not any(key[0] == "pipe_event_e2e_seconds" for key in added)
