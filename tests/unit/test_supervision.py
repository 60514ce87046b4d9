"""What the supervisor decides, from a history and the time alone."""

import math
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.clock import ManualClock
from workers.supervision import (
    CRASHES,
    LONGEST_PAUSE,
    RECYCLE_AFTER,
    STEADY_SECONDS,
    UNAVAILABLE_PAUSE,
    Action,
    History,
    Phase,
    pause,
)


class Life:
    """A history on a clock that a test moves."""

    def __init__(self) -> None:
        self.clock = ManualClock(datetime(2024, 1, 1, tzinfo=UTC))
        self.history = History()

    @property
    def now(self) -> float:
        """Seconds that have passed."""
        return self.clock.monotonic()

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.clock.advance(timedelta(seconds=seconds))

    def decide(self, *, too_big: bool = False) -> Action:
        """What is to be done now."""
        return self.history.decide(self.now, too_big=too_big)

    def start(self) -> None:
        """Start, when it is due."""
        self.wait(max(0.0, self.history.due - self.now))
        assert self.decide() is Action.START
        self.history = self.history.started(self.now)

    def end(self) -> None:
        """End by itself."""
        self.history = self.history.ended(self.now)

    def crash(self, times: int) -> None:
        """Start and end at once, again and again."""
        for _ in range(times):
            self.start()
            self.end()


@pytest.fixture
def life() -> Life:
    """Give a process that has not been started."""
    return Life()


def test_a_new_process_is_started_at_once(life: Life) -> None:
    """Nothing has to pass first; once it runs there is nothing to do."""
    assert life.decide() is Action.START
    life.start()
    assert life.decide() is Action.NOTHING


def test_the_first_failure_is_made_good_at_once_and_later_ones_wait(life: Life) -> None:
    """No pause, 1, 2 and 4 seconds; then the longest."""
    pauses = []
    for _ in range(CRASHES + 2):
        life.crash(1)
        pauses.append(life.history.due - life.now)
    assert pauses == [0, 1, 2, 4, LONGEST_PAUSE, LONGEST_PAUSE, LONGEST_PAUSE]


def test_a_process_is_not_started_before_its_pause_is_over(life: Life) -> None:
    """Not a moment earlier."""
    life.crash(3)
    life.wait(1.999)
    assert life.decide() is Action.NOTHING
    life.wait(0.001)
    assert life.decide() is Action.START


def test_five_short_lives_in_a_row_are_a_crash_loop(life: Life) -> None:
    """Four are not, and a fifth one that lives just too short is."""
    life.crash(CRASHES - 1)
    assert not life.history.looping
    life.start()
    life.wait(STEADY_SECONDS - 0.001)
    assert not life.history.looping
    life.end()
    assert life.history.looping
    assert life.history.words(life.now) == "crash loop, next try in 30 s"
    life.wait(13.5)
    assert life.history.words(life.now) == "crash loop, next try in 17 s"


def test_a_crash_loop_is_over_when_a_life_is_steady(life: Life) -> None:
    """Until then it is still one, and afterwards a failure is a first one again."""
    life.crash(CRASHES)
    life.start()
    life.wait(STEADY_SECONDS - 0.001)
    assert life.decide() is Action.NOTHING
    assert life.history.looping
    assert life.history.words(life.now) == "crash loop, running again"
    life.wait(0.001)
    assert life.decide() is Action.SETTLE
    life.history = life.history.settled()
    assert not life.history.looping
    assert life.decide() is Action.NOTHING
    life.end()
    assert (life.history.failures, life.history.due) == (1, life.now)


def test_a_steady_life_that_nobody_noticed_counts_all_the_same(life: Life) -> None:
    """The supervisor may be late with its look."""
    life.crash(CRASHES)
    life.start()
    life.wait(STEADY_SECONDS)
    life.end()
    assert life.history.failures == 1


def test_too_much_memory_is_no_failure(life: Life) -> None:
    """It is told to end, and starts again at once when it has."""
    life.start()
    life.wait(RECYCLE_AFTER)
    assert life.decide() is Action.NOTHING
    assert life.decide(too_big=True) is Action.RECYCLE
    life.history = life.history.recycled(life.now + 30)
    assert life.decide(too_big=True) is Action.NOTHING
    life.wait(2)
    life.end()
    assert life.history.failures == 0
    assert life.decide() is Action.START


def test_a_process_that_starts_too_big_still_lives_a_while(life: Life) -> None:
    """Otherwise it would do nothing but start."""
    life.start()
    life.wait(RECYCLE_AFTER - 0.001)
    assert life.decide(too_big=True) is Action.NOTHING


@pytest.mark.parametrize("phase", [Phase.RECYCLING, Phase.DRAINING])
def test_who_does_not_end_by_the_deadline_is_killed_once(life: Life, phase: Phase) -> None:
    """Not earlier, and not again and again."""
    life.start()
    told = life.history.recycled if phase is Phase.RECYCLING else life.history.drained
    life.history = told(life.now + 30)
    assert life.history.phase is phase
    life.wait(29.999)
    assert life.decide() is Action.NOTHING
    life.wait(0.001)
    assert life.decide() is Action.KILL
    life.history = life.history.killed()
    assert life.decide() is Action.NOTHING
    assert life.history.words(life.now).endswith("killed")


def test_what_is_drained_is_never_started_again(life: Life) -> None:
    """Whether it was running, waiting for its next try, or being recycled."""
    waiting = Life()
    waiting.crash(2)
    recycling = Life()
    recycling.start()
    recycling.history = recycling.history.recycled(recycling.now + 5)
    life.start()
    for one in (life, waiting, recycling):
        one.history = one.history.drained(one.now + 30)
        if one.history.phase is not Phase.ENDED:
            one.end()
        one.wait(3600)
        assert one.history.phase is Phase.ENDED
        assert one.decide() is Action.NOTHING


def test_a_drain_can_be_hastened_and_not_put_off(life: Life) -> None:
    """A second Ctrl-C brings the deadline nearer; who was killed is not killed again."""
    life.start()
    for deadline in (30.0, 5.0, 60.0):
        life.history = life.history.drained(deadline)
    assert life.history.deadline == 5.0
    killed = life.history.killed().drained(6.0)
    assert math.isinf(killed.deadline)


def test_a_drained_one_says_how_long_it_has(life: Life) -> None:
    """In whole seconds, never less than it has."""
    life.start()
    life.history = life.history.drained(life.now + 12.3)
    assert life.history.words(life.now) == "finishing what it has begun, killed in 13 s"
    life.end()
    assert life.history.words(life.now) == "ended"


@given(st.integers(0, 10_000))
def test_pauses_never_shrink_and_are_bounded(failures: int) -> None:
    """However often it fails."""
    assert 0 <= pause(failures) <= pause(failures + 1) <= LONGEST_PAUSE


@given(
    st.lists(
        st.tuples(st.floats(0, 100), st.booleans(), st.sampled_from(["end", "drain", "", ""])),
        max_size=60,
    )
)
def test_no_order_of_events_leaves_a_process_without_a_next_step(
    steps: list[tuple[float, bool, str]],
) -> None:
    """It runs, or has a time to be started or killed at, or has ended for good as it was told."""
    life, drained = Life(), False
    for seconds, too_big, happens in steps:
        life.wait(seconds)
        action = life.decide(too_big=too_big)
        if action is Action.START:
            assert not drained
            life.history = life.history.started(life.now)
        elif action is Action.SETTLE:
            life.history = life.history.settled()
        elif action is Action.RECYCLE:
            assert not drained
            life.history = life.history.recycled(life.now + 30)
        elif action is Action.KILL:
            life.history = life.history.killed()
        alive = life.history.phase in {Phase.RUNNING, Phase.RECYCLING, Phase.DRAINING}
        if happens == "end" and alive:
            life.end()
        if happens == "drain":
            drained = True
            life.history = life.history.drained(life.now + 30)
    if drained:
        assert life.history.phase in {Phase.DRAINING, Phase.ENDED}
    elif life.history.phase is Phase.WAITING:
        assert life.history.due <= life.now + LONGEST_PAUSE
    else:
        assert life.history.phase in {Phase.RUNNING, Phase.RECYCLING}


def test_a_process_that_says_a_server_is_away_is_tried_again_soon_and_is_no_crash_loop() -> None:
    """However often: it is well, and the server is not."""
    history, now = History(), 0.0
    for _ in range(20):
        history = history.started(now)
        now += 1.0
        history = history.ended(now, unavailable=True)
        assert history.due == now + UNAVAILABLE_PAUSE
        now = history.due
    assert not history.looping
    assert history.failures == 0
