"""The chaos run: real processes and servers, seeded faults, and an oracle that knows better.

Events are sent while workers, sweeper, supervisor, Redis and MongoDB are killed, frozen,
wiped and cut off. In the end every table has to equal a sequential run of the same events in
memory, and the ledger has to tell of exactly one effect for each event and handler.
"""

from workers.chaos.faults import Fault, Kind, OutageTooLongError, schedule
from workers.chaos.run import Options, run
from workers.chaos.verdict import Verdict

__all__ = ["Fault", "Kind", "Options", "OutageTooLongError", "Verdict", "run", "schedule"]
