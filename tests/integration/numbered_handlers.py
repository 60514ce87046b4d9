"""Folds whose events are numbered by their source, one of which keeps the order of the queue."""

from pipeline import Change, Event, State, Update, action, inc, observer


class Steps(State):
    """The numbers of all events, in the order in which they count."""

    seqs: tuple[int, ...] = ()


def step(state: Steps | None, event: Event) -> Steps:
    """One more."""
    if event.payload.get("fails"):
        raise ValueError("told to fail")
    return Steps(seqs=(*(state.seqs if state else ()), event.seq or 0))


STEPS_KEY = "{tenant}:{entity_id}"

apply_step = action(
    "steps.apply", on="step.*", table="steps", key=STEPS_KEY, numbered_from=0, max_attempts=3
)(step)
apply_line = action(
    "lines.apply", on="line.*", table="lines", key=STEPS_KEY, numbered_from=0, ordered=True
)(step)
apply_note = action("notes.apply", on="note.*", table="notes", key=STEPS_KEY)(step)


@observer("steps.count", after=apply_step, table="step_totals", key="{tenant}")
def count_step(change: Change[Steps], _event: Event) -> Update:
    """How many steps were taken, and what the lengths come to."""
    return inc(steps=1, lengths=len(change.after.seqs))


ALL = (apply_step, apply_line, apply_note, count_step)
