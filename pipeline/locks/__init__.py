"""Leases on ids in Redis, and what a policy says of who takes them how.

Leases are for order and speed: who holds one is not interrupted by others on the same ids.
Correctness never depends on them. Redis may be wiped at any moment; then all is free.
"""

from pipeline.locks.keeper import Keeper
from pipeline.locks.locks import Lease, Locks, connect
from pipeline.locks.policy import LockPolicy, WhenBusy

__all__ = [
    "Keeper",
    "Lease",
    "LockPolicy",
    "Locks",
    "WhenBusy",
    "connect",
]
