"""For how long MongoDB keeps what was overwritten, while passes read as of a moment.

What is kept for nothing slows all writes, so it is kept for as long as before once the last
pass has ended. How long that is stands in one document outside of all passes, written before
anything is changed; the sweeper goes by it where a worker died or a pass was never noted.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

import structlog
from bson import Timestamp

from pipeline.clock import Clock
from pipeline.store import Store
from pipeline.store.snapshots import HISTORY_SECONDS

LONGEST: Final = timedelta(seconds=HISTORY_SECONDS)
"""After that even what is kept longer does not reach back to a pass's moment any more."""

log = structlog.get_logger(__name__)


class History:
    """Sees to it that history is kept while a pass needs it, and no longer.

    Args:
        store: where everything is kept.
        clock: wall time.
    """

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def moment(self, user: str) -> Timestamp:
        """The present moment, from which on history is kept for this pass.

        Raises:
            Unavailable: MongoDB keeps no history, or did not answer.
        """
        self._keep(user)
        moment = self._store.present()
        if self._store.history_kept_for() < HISTORY_SECONDS:  # the last user left in between
            self._keep(user)
            moment = self._store.present()
        return moment

    def _keep(self, user: str) -> None:
        kept = self._store.history_kept_for()
        before = kept if kept < HISTORY_SECONDS else None
        now = self._clock.now()
        self._store.read(lambda records: records.verifications.remember(user, now, before))
        if before is not None:
            self._store.keep_history_for(HISTORY_SECONDS)

    def leave(self, user: str) -> None:
        """This pass needs it no longer; the last one lets it be kept for as long as before.

        Raises:
            Unavailable: MongoDB did not answer; the sweeper does what was not done.
        """
        self._store.read(lambda records: records.verifications.need_no_longer([user]))
        self.look()

    def look(self) -> None:
        """Let history be kept for as long as before, if nobody can need it any more.

        Raises:
            Unavailable: MongoDB did not answer.
        """
        noted = self._store.read(lambda records: records.verifications.remembering())
        if noted is None:
            return
        since = self._clock.now() - LONGEST
        gone = [user for user, at in noted.users.items() if at < since]
        if gone:
            self._store.read(lambda records: records.verifications.need_no_longer(gone))
        if len(gone) < len(noted.users):
            return
        # What somebody else has set meanwhile stays.
        if self._store.history_kept_for() == HISTORY_SECONDS:
            self._store.keep_history_for(noted.before)
        if self._store.read(lambda records: records.verifications.remember_no_longer()):
            log.info("history_kept_as_before", seconds=noted.before)
        else:
            self._store.keep_history_for(HISTORY_SECONDS)  # one has begun in this very moment
