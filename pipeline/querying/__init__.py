"""Looking into a domain's tables: as they stand, as they stood, and how they came to it."""

from pipeline.querying.documents import TENANT, bounded, of_tenant, query
from pipeline.querying.past import as_of, history

__all__ = ["TENANT", "as_of", "bounded", "history", "of_tenant", "query"]
