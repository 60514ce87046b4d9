"""Policies: settings that change while workers run, by handler and tenant.

They are kept in MongoDB and seen everywhere within a second.
"""

from pipeline.policies.table import PolicyTable, checked
from pipeline.policies.watch import PolicyWatch

__all__ = ["PolicyTable", "PolicyWatch", "checked"]
