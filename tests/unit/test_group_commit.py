"""Calls that come together are committed together, and each gets its own."""

import threading
import time
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import group_commit
from pipeline.errors import Unavailable
from pipeline.group_commit import CROWD, GroupCommit, _Call

ROOM = 100
Groups = list[list[list[int]]]


def share(items: Sequence[int]) -> float:
    """Of a transaction that has room for a hundred items."""
    return len(items) / ROOM


def wait_for(fact: Callable[[], object], what: str) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + 30
    while not fact():
        assert time.monotonic() < deadline, what
        time.sleep(0.001)


class Desk:
    """A commit that waits until it is let go, notes its groups, and gives sums."""

    def __init__(self) -> None:
        self.groups: Groups = []
        self.at_once = self.most_at_once = 0
        self.open = threading.Event()
        self._lock = threading.Lock()

    def __call__(self, calls: Sequence[Sequence[int]]) -> list[int]:
        """Commit a group, once the desk is open."""
        with self._lock:
            self.groups.append([list(items) for items in calls])
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            assert self.open.wait(30)
            return [sum(items) for items in calls]
        finally:
            with self._lock:
                self.at_once -= 1


class Caller(threading.Thread):
    """Calls once, and keeps what came of it."""

    def __init__(self, commit: Callable[[Sequence[int]], int], items: Sequence[int]) -> None:
        super().__init__(daemon=True)
        self._commit, self._items = commit, items
        self.result: int | None = None
        self.error: BaseException | None = None
        self.start()

    def run(self) -> None:
        """Call."""
        try:
            self.result = self._commit(self._items)
        except BaseException as error:  # noqa: BLE001 - it is looked at by the test
            self.error = error

    def ended(self) -> "Caller":
        """The same, when the call is over."""
        self.join(30)
        assert not self.is_alive()
        return self


class _Words:
    """A queue of words, which Python's own can't be made a kind of."""

    def __init__(self) -> None:
        self._words: SimpleQueue[None] = SimpleQueue()

    def put(self, word: None) -> None:
        """Tell."""
        self._words.put(word)

    def get(self) -> None:
        """Wait to be told."""
        self._words.get(timeout=30)


def with_word(woken: Any) -> Callable[..., None]:
    """A way to make a call that is told by a queue of ours."""
    plain = _Call.__init__

    def made(call: Any, items: Sequence[int], share: float) -> None:
        plain(call, items, share, woken=woken)

    return made


def in_line(commit: GroupCommit[int, int], count: int) -> None:
    """Wait until so many calls wait for a leader."""
    wait_for(lambda: commit.waiting == count, f"{count} calls wait")


def under_way(desk: Desk, count: int) -> None:
    """Wait until so many groups have been begun."""
    wait_for(lambda: len(desk.groups) == count, f"{count} groups are under way")


def busy(desk: Desk, commit: GroupCommit[int, int]) -> list[Caller]:
    """Let the leader be at work."""
    first = Caller(commit, [0])
    under_way(desk, 1)
    return [first]


def test_whoever_finds_the_place_free_goes_at_once_and_alone() -> None:
    """Nobody waits for company."""
    desk = Desk()
    commit = GroupCommit(desk, share)
    callers = busy(desk, commit)
    assert desk.groups == [[[0]]]
    desk.open.set()
    assert [caller.ended().result for caller in callers] == [0]


def test_all_that_wait_go_together_in_their_order_and_each_gets_its_own() -> None:
    """Behind the leader that was at work when they came."""
    desk = Desk()
    commit = GroupCommit(desk, share)
    callers = busy(desk, commit)
    for number in range(1, 6):
        callers.append(Caller(commit, [number, 10 * number]))
        in_line(commit, number)
    desk.open.set()
    assert [caller.ended().result for caller in callers] == [0, 11, 22, 33, 44, 55]
    assert desk.groups[1:] == [[[1, 10], [2, 20], [3, 30], [4, 40], [5, 50]]]


def test_a_group_takes_no_more_than_a_transaction_has_room_for() -> None:
    """The rest goes with the next one; nobody is passed over."""
    desk = Desk()
    commit = GroupCommit(desk, share)
    callers = busy(desk, commit)
    for number, size in enumerate((50, 40, 11, 50, 50)):
        callers.append(Caller(commit, [1] * size))
        in_line(commit, number + 1)
    desk.open.set()
    assert [caller.ended().result for caller in callers] == [0, 50, 40, 11, 50, 50]
    sizes = [[len(items) for items in group] for group in desk.groups]
    assert sizes == [[1], [50, 40], [11, 50], [50]]


def test_a_large_call_waits_for_nobody_and_is_in_nobodys_group() -> None:
    """Half of the room is enough: as many large ones are under way as there are callers."""
    desk = Desk()
    commit = GroupCommit(desk, share)
    callers = busy(desk, commit)
    callers += [Caller(commit, [1] * 51) for _ in range(3)]
    under_way(desk, 4)
    assert [len(group) for group in desk.groups] == [1] * 4
    desk.open.set()
    assert [caller.ended().result for caller in callers] == [0, 51, 51, 51]


@pytest.fixture
def far_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits for company would wait for an hour."""
    monkeypatch.setattr(group_commit, "APART_SECONDS", 3600.0)


def after(count: int) -> tuple[Desk, GroupCommit[int, int]]:
    """An open desk that has had a group of so many, behind one that went alone."""
    desk = Desk()
    commit = GroupCommit(desk, share)
    callers = busy(desk, commit)
    for number in range(1, count + 1):
        callers.append(Caller(commit, [number]))
        in_line(commit, number)
    desk.open.set()
    for caller in callers:
        caller.ended()
    assert [len(group) for group in desk.groups] == [1, count]
    return desk, commit


@pytest.mark.usefixtures("far_apart")
def test_in_a_crowd_a_leader_waits_and_takes_along_whoever_comes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is no sooner at work than a moment after the last one; what has no room goes later."""
    late: list[Caller] = []

    def asleep(seconds: float) -> None:
        assert 3000 < seconds < 3600
        monkeypatch.setattr(group_commit, "sleep", sleep)
        for number, size in enumerate((50, 30, 50), start=1):
            late.append(Caller(commit, [1] * size))
            in_line(commit, number)
        monkeypatch.setattr(group_commit, "APART_SECONDS", 0.0)

    sleep = group_commit.sleep
    desk, commit = after(CROWD)
    monkeypatch.setattr(group_commit, "sleep", asleep)
    assert commit([1] * 30) == 30
    assert [caller.ended().result for caller in late] == [50, 30, 50]
    assert [[len(items) for items in group] for group in desk.groups[2:]] == [[30, 50], [30, 50]]


@pytest.mark.usefixtures("far_apart")
def test_where_fewer_come_together_nobody_waits_for_company() -> None:
    """Who sends alone, or with a few others, has its answer as soon as can be."""
    _, commit = after(CROWD - 1)
    assert Caller(commit, [7]).ended().result == 7


@pytest.mark.usefixtures("far_apart")
def test_a_leader_interrupted_while_it_waits_for_company_tells_its_group(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And hands its place on."""
    desk, commit = after(CROWD)
    waking = threading.Event()

    def asleep(_seconds: float) -> None:
        if not waking.is_set():
            assert waking.wait(30)
            raise KeyboardInterrupt

    monkeypatch.setattr(group_commit, "sleep", asleep)
    first = Caller(commit, [7])
    second = Caller(commit, [8])
    in_line(commit, 1)
    waking.set()
    assert isinstance(first.ended().error, KeyboardInterrupt)
    assert second.ended().result == 8
    assert [len(group) for group in desk.groups[2:]] == [1]


def test_a_call_that_fails_fails_alone() -> None:
    """The others of its group are committed, each by itself."""
    desk = Desk()

    def picky(calls: Sequence[Sequence[int]]) -> list[int]:
        results = desk(calls)
        if any(13 in items for items in calls):
            raise ValueError("13 can't be stored")
        return results

    commit = GroupCommit(picky, share)
    callers = busy(desk, commit)
    for number, item in enumerate((7, 13, 8)):
        callers.append(Caller(commit, [item]))
        in_line(commit, number + 1)
    desk.open.set()
    assert [caller.ended().result for caller in callers] == [0, 7, None, 8]
    assert [type(caller.error) for caller in callers] == [
        type(None), type(None), ValueError, type(None),
    ]  # fmt: skip
    assert desk.groups[1:] == [[[7], [13], [8]], [[7]], [[13]], [[8]]]


def test_where_mongodb_is_away_all_are_told_and_nothing_is_tried_again_for_each() -> None:
    """Each gets an error of its own; who calls then goes on as if nothing had been."""
    desk, away = Desk(), threading.Event()

    def gone(calls: Sequence[Sequence[int]]) -> list[int]:
        results = desk(calls)
        if away.is_set() and len(desk.groups) == 2:
            raise Unavailable("MongoDB did not answer")
        return results

    commit = GroupCommit(gone, share)
    callers = busy(desk, commit)
    for number in (1, 2, 3):
        callers.append(Caller(commit, [number]))
        in_line(commit, number)
    away.set()
    desk.open.set()
    errors = [caller.ended().error for caller in callers[1:]]
    assert [str(error) for error in errors] == ["MongoDB did not answer"] * 3
    assert len({id(error) for error in errors}) == 3
    assert desk.groups[1:] == [[[1], [2], [3]]]
    assert commit([4]) == 4


def test_an_interrupted_leader_tells_its_group_and_hands_its_place_on() -> None:
    """Or those behind it would wait for ever."""
    desk = Desk()

    def interrupted(calls: Sequence[Sequence[int]]) -> list[int]:
        results = desk(calls)
        if len(desk.groups) == 2:
            raise KeyboardInterrupt
        return results

    commit = GroupCommit(interrupted, share)
    callers = busy(desk, commit)
    for number, size in enumerate((40, 40, 40)):
        callers.append(Caller(commit, [1] * size))
        in_line(commit, number + 1)
    desk.open.set()
    assert isinstance(callers[1].ended().error, KeyboardInterrupt)
    assert isinstance(callers[2].ended().error, Unavailable)
    assert callers[3].ended().result == 40
    assert commit([5]) == 5


@pytest.mark.parametrize("leads", [False, True], ids=["in line", "when it was to lead"])
def test_who_is_interrupted_while_it_waits_holds_up_nobody(
    monkeypatch: pytest.MonkeyPatch, *, leads: bool
) -> None:
    """Neither before it is its turn, nor when those behind it wait for it to commit them."""
    desk, cut = Desk(), threading.Event()
    commit = GroupCommit(desk, share)
    callers = busy(desk, commit)

    class Interrupted(_Words):
        def get(self) -> None:
            if leads:
                super().get()
            else:
                cut.wait(30)
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(_Call, "__init__", with_word(Interrupted()))
        callers.append(Caller(commit, [1]))
        in_line(commit, 1)
    for number in (2, 3):
        callers.append(Caller(commit, [number]))
        in_line(commit, number)
    if not leads:
        cut.set()
        in_line(commit, 2)
    desk.open.set()
    assert isinstance(callers[1].ended().error, KeyboardInterrupt)
    assert [callers[n].ended().result for n in (2, 3)] == [2, 3]
    assert desk.groups == [[[0]], [[2], [3]]]
    assert commit([4]) == 4


@settings(max_examples=30, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 80), min_size=1, max_size=40),
    bad=st.sets(st.integers(0, 39)),
)
def test_whatever_comes_together_each_call_is_committed_once_or_raises_its_own_error(
    sizes: list[int], bad: set[int]
) -> None:
    """Never two groups of small ones at one time, and none larger than the room."""
    lock, committed = threading.Lock(), list[int]()
    small = most = 0

    def commit(calls: Sequence[Sequence[int]]) -> list[int]:
        nonlocal small, most
        counts = sum(share(items) for items in calls) <= 1 and share(calls[0]) <= 0.5
        with lock:
            small += counts
            most = max(most, small)
        try:
            assert sum(map(len, calls)) <= ROOM
            if any(items[0] in bad for items in calls):
                raise ValueError(str([items[0] for items in calls if items[0] in bad]))
            with lock:
                committed.extend(items[0] for items in calls)
            return [items[0] for items in calls]
        finally:
            with lock:
                small -= counts

    group = GroupCommit(commit, share)
    callers = [Caller(group, [number] * size) for number, size in enumerate(sizes)]
    for number, caller in enumerate(callers):
        caller.ended()
        if number in bad:
            assert str(caller.error) == f"[{number}]"
        else:
            assert (caller.result, caller.error) == (number, None)
    assert sorted(committed) == [n for n in range(len(sizes)) if n not in bad]
    assert most <= 1


def test_an_error_of_a_large_call_is_raised_as_it_is() -> None:
    """It has no company."""

    def commit(_calls: Sequence[Sequence[int]]) -> list[int]:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        GroupCommit(commit, share)([1] * ROOM)
