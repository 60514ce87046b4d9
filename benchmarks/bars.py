"""The bars: what the project asks of itself, as criteria of the scenarios that measure it."""

from __future__ import annotations

from typing import Final

from benchmarks.criteria import (
    Criterion,
    at_least,
    bulk_subject,
    figure,
    keeps_up,
    label,
    p99_below,
    sooner,
)
from benchmarks.peers.bullmq import BullMq
from benchmarks.peers.limit import Limit
from benchmarks.peers.rq_plain import FORKING, SIMPLE
from benchmarks.results import PIPELINE

WORKERS: Final = 2
"""Of runs that are not about their number."""

BULLMQ: Final = BullMq().name
LIMIT: Final = Limit().name
TIMES_AS_FAST: Final = {BULLMQ: 15, SIMPLE.name: 40, FORKING.name: 200}
"""As peers, in bulk."""
OF_THE_LIMIT: Final = 0.7
"""The rate to that of bare loops which write the same documents."""
OF_BULLMQ: Final = 0.5
"""The time of a single event to that of BullMQ's."""
GAIN_OF_TWO: Final = 1.6
"""Two workers to one."""
AS_FLAT: Final = 0.85
"""The rate with millions of events stored, or waiting, to that with next to none."""
WITH_LEASES: Final = 0.9
"""The rate with leases on ids to that without."""
RESCUED_SECONDS: Final = 30
REPLAYED_PER_SECOND: Final = 100_000

ON_TIME: Final = (
    p99_below(200, 50, WORKERS),
    p99_below(1_000, 200, WORKERS),
    keeps_up(1_000, WORKERS),
)
AMONG_PEERS: Final = (
    *(
        at_least(f"at least {times} times as fast as {peer}", bulk_subject, PIPELINE, peer, times)
        for peer, times in TIMES_AS_FAST.items()
    ),
    at_least(
        f"at least {OF_THE_LIMIT:g} of the limit", bulk_subject, PIPELINE, LIMIT, OF_THE_LIMIT
    ),
    sooner(50, BULLMQ, OF_BULLMQ),
    *ON_TIME,
)
SCALING: Final = (
    at_least(
        f"two workers do at least {GAIN_OF_TWO:g} times the work of one",
        label("workers"),
        2,
        1,
        GAIN_OF_TWO,
    ),
)
AT_A_MILLION: Final = (
    at_least(
        f"at a million stored events the rate is at least {AS_FLAT:g} of the start",
        label("stored"),
        1_000_000,
        0,
        AS_FLAT,
    ),
)
FLAT: Final = (
    figure(
        f"at the end the rate is at least {AS_FLAT:g} of the start",
        "to_start",
        lambda share: share >= AS_FLAT,
    ),
    figure(
        f"with a fifth of all waiting the rate is at least {AS_FLAT:g} of the start",
        "queued_to_start",
        lambda share: share >= AS_FLAT,
    ),
)
CHEAP_LEASES: Final = (
    at_least(
        f"with leases the rate is at least {WITH_LEASES:g} of that without",
        label("locks"),
        True,
        False,
        WITH_LEASES,
    ),
)
RESCUED: Final = (
    figure(f"within {RESCUED_SECONDS} s", "rescued_after_s", lambda s: s <= RESCUED_SECONDS),
)
ALL_FOUND: Final = (
    Criterion(
        "what was planted is found, and nothing else",
        lambda run, _: (
            run.figures["found"] == run.figures["planted"]
            and not run.figures["found_and_not_planted"]
        ),
    ),
    figure("and nothing is wrong afterwards", "wrong_afterwards", lambda n: not n),
)
REPLAYED: Final = (
    figure(
        f"at least {REPLAYED_PER_SECOND:,}", "replayed_per_s", lambda n: n >= REPLAYED_PER_SECOND
    ),
)
