"""What a person says about a group of dead letters: seen, ignored, or looked at anew.

It changes no letter, only how the group stands. Each saying takes the place of the one before,
and is taken back by `reopen`.
"""

from __future__ import annotations

from typing import Final

import structlog

from pipeline.clock import Clock
from pipeline.errors import NotFound, PipelineError
from pipeline.metrics import Counts
from pipeline.metrics.catalogue import OPERATOR_ACTIONS
from pipeline.store import LedgerState, Said, Stance, Store, Where
from pipeline.store.trouble import group_id

NOTE_CHARACTERS: Final = 500

log = structlog.get_logger(__name__)


class Triage:
    """Keeps what persons say about groups.

    Args:
        store: where the letters are.
        clock: wall time.
        counts: where it is counted what persons do.
    """

    def __init__(self, store: Store, clock: Clock, counts: Counts | None = None) -> None:
        self._store = store
        self._clock = clock
        self._counts = counts or Counts()

    def say(self, where: Where, said: Said, *, by: str, note: str = "") -> Stance:
        """Say something about a group.

        Args:
            where: handler, error and signature of the group; empty for letters without one.
            said: what.
            by: who says it.
            note: why, or who looks; up to 500 characters.

        Raises:
            PipelineError: the note is too long, or the group is not named whole.
            NotFound: there are no such dead letters.
        """
        if len(note) > NOTE_CHARACTERS:
            raise PipelineError(f"a note takes up to {NOTE_CHARACTERS} characters")
        handler, error, signature = named_group(where)
        trouble = self._store.records.trouble
        of_group = Where(handler=handler, error=error, signature=where.signature)
        newest = trouble.rows(LedgerState.DEAD, of_group, limit=1, newest_first=True)
        if not newest:
            raise NotFound(f"there are no dead letters of {handler} with {error}: {signature}")
        now = self._clock.now()
        group = group_id(handler, error, signature)
        # A worker's clock may be ahead of ours: what has died by now was there to be seen.
        seen = max(now, newest[0].write_at)
        stance = Stance(group, handler, error, signature, said, by, now, note.strip(), seen)
        self._store.records.stances.put(stance)
        self._done("acknowledge" if said is Said.ACKNOWLEDGED else "ignore", group, by)
        return stance

    def reopen(self, where: Where, *, by: str) -> bool:
        """Take back what was said about a group; False where nothing was.

        Raises:
            PipelineError: the group is not named whole.
        """
        group = group_id(*named_group(where))
        taken = self._store.records.stances.drop(group)
        if taken is not None:
            self._done("reopen", group, by)
        return taken is not None

    def _done(self, action: str, group: str, by: str) -> None:
        self._counts.add(OPERATOR_ACTIONS, (action,))
        log.info("group_triaged", action=action, group=group, by=by)


def named_group(where: Where) -> tuple[str, str, str | None]:
    """Handler, error and signature of the group that is named so.

    Raises:
        PipelineError: it is not named whole.
    """
    if not where.handler or not where.error or where.signature is None:
        raise PipelineError("name a group by its handler, error and signature")
    return where.handler, where.error, where.signature or None
