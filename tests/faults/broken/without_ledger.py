"""A build whose executor writes ledger rows and never asks them."""

from unittest.mock import patch

from pipeline.executor import executor
from pipeline.executor.settled import Looked
from pipeline.store.ledger import Ledger
from workers.chaos.handlers import (  # noqa: F401 - the handlers this build runs
    apply_account,
    count_owner,
    count_status,
    count_tenant,
    count_visit,
    tell,
)

# `patch` refuses a name that is not there, so a build can't become sound by a renaming.
patch.object(Ledger, "insert", Ledger.put).start()
patch.object(executor, "look", lambda _tx, _handlers, _events: Looked()).start()
