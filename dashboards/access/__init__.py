"""Who may see the console, and who may change what."""

from dashboards.access.guard import Guard
from dashboards.access.people import Role, Visit
from dashboards.access.sessions import Sessions
from dashboards.access.ways import Access

__all__ = ["Access", "Guard", "Role", "Sessions", "Visit"]
