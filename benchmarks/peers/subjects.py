"""All subjects of the comparison, ours first and the limit last."""

from __future__ import annotations

from typing import Final

from benchmarks.peers.bullmq import BullMq
from benchmarks.peers.celery_peer import CeleryPeer
from benchmarks.peers.dramatiq_peer import DramatiqPeer
from benchmarks.peers.limit import Limit
from benchmarks.peers.ours import Ours
from benchmarks.peers.peer import Peer
from benchmarks.peers.rq_plain import FORKING, SIMPLE
from benchmarks.peers.taskiq_peer import TaskiqPeer

SUBJECTS: Final[tuple[Peer, ...]] = (
    Ours(),
    FORKING,
    SIMPLE,
    CeleryPeer(),
    DramatiqPeer(),
    TaskiqPeer(),
    BullMq(),
    Limit(),
)


def subject_of(name: str) -> Peer:
    """The subject of this name.

    Raises:
        ValueError: there is none.
    """
    for subject in SUBJECTS:
        if subject.name == name:
            return subject
    names = ", ".join(subject.name for subject in SUBJECTS)
    raise ValueError(f"there is no subject {name!r}; there are {names}")


def missing() -> dict[str, str]:
    """By name, why subjects can't be run on this machine; those that can are absent."""
    reasons = {subject.name: subject.missing() for subject in SUBJECTS}
    return {name: reason for name, reason in reasons.items() if reason is not None}
