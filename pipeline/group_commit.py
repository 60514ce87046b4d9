"""Group commit: calls that come while others commit are committed together, in one transaction.

What a commit costs is much the same for one event as for a hundred. So whoever finds the leader
at work waits, and a leader that is done hands its place, and all that wait, to the first of them.
A call that finds the place free goes at once, and alone. Where many come together a leader waits a
few milliseconds for more of them: what that saves in commits is time for what follows from them.

The idea is old: D. J. DeWitt et al., "Implementation Techniques for Main Memory Database
Systems", SIGMOD 1984, section 5.2.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from queue import SimpleQueue
from time import monotonic, sleep
from typing import Final, Generic, TypeVar, cast

from pipeline.errors import Unavailable

Item = TypeVar("Item")
Result = TypeVar("Result")

CROWD: Final = 8
"""So many calls in a group are a crowd: the next group waits for company."""
APART_SECONDS: Final = 0.01
"""So far apart two groups begin in a crowd."""
LARGE: Final = 0.5
"""A call that takes more of a transaction's room than this gains nothing by company."""
INTERRUPTED: Final = (
    "whoever was storing these events with its own was interrupted; send them again"
)


@dataclass(slots=True, eq=False)
class _Call(Generic[Item, Result]):
    """What one caller asks for, and what came of it.

    Attributes:
        items: what it is about.
        share: of a transaction's room.
        woken: told when it is done, or has to lead.
        group: those that it is to commit, itself among them; empty while somebody else does.
        result: what came of it.
        error: what went wrong; until we get to its end, that we did not.
    """

    items: Sequence[Item]
    share: float
    woken: SimpleQueue[None] = field(default_factory=SimpleQueue)
    group: list[_Call[Item, Result]] = field(default_factory=list)
    result: Result | None = None
    error: Exception | None = field(default_factory=lambda: Unavailable(INTERRUPTED))


class GroupCommit(Generic[Item, Result]):
    """Does the work of several callers at once, and gives each its own result.

    Args:
        commit: does the work of some calls, all of it or nothing; takes the items of each and
            returns the result of each, in the same order.
        share: how much of a transaction's room items take; 1 is all of it.
    """

    def __init__(
        self,
        commit: Callable[[Sequence[Sequence[Item]]], Sequence[Result]],
        share: Callable[[Sequence[Item]], float],
    ) -> None:
        self._commit = commit
        self._share = share
        self._free = True
        self._crowd = False
        self._begun = 0.0
        self._waiting: deque[_Call[Item, Result]] = deque()
        self._lock = threading.Lock()

    @property
    def waiting(self) -> int:
        """How many calls wait for a leader."""
        return len(self._waiting)

    def __call__(self, items: Sequence[Item]) -> Result:
        """Have the items committed, alone or with those of others.

        Raises:
            Exception: what the commit of these items raises, whoever else was in their group.
            Unavailable: MongoDB did not answer, or whoever committed for us was interrupted;
                the items may be committed.
        """
        share = self._share(items)
        if share > LARGE:
            return self._commit([items])[0]
        call = _Call[Item, Result](items, share)
        if not self._leads(call):
            try:
                call.woken.get()
            except BaseException:
                self._give_up(call)
                raise
        if call.group:
            self._lead(call.group)
        if call.error is not None:
            raise call.error
        return cast("Result", call.result)

    def _leads(self, call: _Call[Item, Result]) -> bool:
        """Take the leader's place, or get in line. While it is free nobody is in line."""
        with self._lock:
            if self._free:
                self._free = False
                call.group = [call]
            else:
                self._waiting.append(call)
        return bool(call.group)

    def _lead(self, group: list[_Call[Item, Result]]) -> None:
        """Commit a group, our own call the first of it, and hand our place on."""
        try:
            self._wait_for_company(group)
            self._work_off(group)
        finally:
            self._hand_on()
            for call in group[1:]:
                call.woken.put(None)

    def _wait_for_company(self, group: list[_Call[Item, Result]]) -> None:
        """In a crowd, begin no sooner after the last group than we may, with all that came."""
        pause = self._begun + APART_SECONDS - monotonic()
        if self._crowd and pause > 0:
            sleep(pause)
            with self._lock:
                group += self._next(1.0 - sum(call.share for call in group))
        self._crowd, self._begun = len(group) >= CROWD, monotonic()

    def _hand_on(self) -> None:
        with self._lock:
            if self._waiting:
                first = self._waiting[0]
                first.group = self._next(1.0)
                first.woken.put(None)
            else:
                self._free = True

    def _give_up(self, call: _Call[Item, Result]) -> None:
        """Get out of line; who was to lead by now leaves that to the next of its group."""
        with self._lock:
            if call in self._waiting:
                self._waiting.remove(call)
            self._waiting.extendleft(reversed(call.group[1:]))
        if call.group:
            self._hand_on()

    def _next(self, room: float) -> list[_Call[Item, Result]]:
        """Those who wait longest, as many as there is room for."""
        group = []
        while self._waiting and self._waiting[0].share <= room:
            room -= self._waiting[0].share
            group.append(self._waiting.popleft())
        return group

    def _work_off(self, group: Sequence[_Call[Item, Result]]) -> None:
        """Commit a group; where that fails for one of them, each of them alone."""
        try:
            results = self._commit([call.items for call in group])
        except Unavailable as error:
            for call in group:
                call.error = Unavailable(str(error))
                call.error.__cause__ = error
        except Exception as error:  # noqa: BLE001 - it is raised by the call that it belongs to
            if len(group) > 1:
                for call in group:
                    self._work_off([call])
            else:
                group[0].error = error
        else:
            for call, result in zip(group, results, strict=True):
                call.result, call.error = result, None
