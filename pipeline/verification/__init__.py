"""Holding what is stored against what its events come to, and putting it right.

`verify_entity` looks at one entity and all that is derived from it. `Verifier` looks at
everything, in units that all workers share.
"""

from pipeline.verification.entity import EntityReport, verify_entity
from pipeline.verification.findings import Finding, Unknown, finding_of
from pipeline.verification.history import History
from pipeline.verification.noting import HANDLER
from pipeline.verification.passes import Verifier
from pipeline.verification.repairing import Repairer
from pipeline.verification.report import (
    Report,
    Status,
    in_words,
    report_of,
    report_of_entity,
    reports,
)
from pipeline.verification.sampling import Drift, Sampler

__all__ = [
    "HANDLER",
    "Drift",
    "EntityReport",
    "Finding",
    "History",
    "Repairer",
    "Report",
    "Sampler",
    "Status",
    "Unknown",
    "Verifier",
    "finding_of",
    "in_words",
    "report_of",
    "report_of_entity",
    "reports",
    "verify_entity",
]
