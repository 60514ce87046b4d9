"""Where a peer works: the servers, names of its own on them, and a folder."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from workers.bootstrap import Servers

MONGO: Final = "PEER_MONGO_URL"
REDIS: Final = "PEER_REDIS_URL"
DATABASE: Final = "PEER_DATABASE"
FOLDER: Final = "PEER_FOLDER"


@dataclass(frozen=True)
class Place:
    """Where a peer works.

    Attributes:
        where: addresses of the servers; they may hold passwords.
        database: its database, and what all it has in Redis is called after.
        folder: for its logs, and for what it needs installed.
    """

    where: Servers
    database: str
    folder: Path

    def environment(self) -> dict[str, str]:
        """What a process needs to find the same place, beside our own environment."""
        return {
            **os.environ,
            MONGO: self.where.mongo_url,
            REDIS: self.where.redis_url,
            DATABASE: self.database,
            FOLDER: str(self.folder),
        }

    @classmethod
    def from_environment(cls) -> Self:
        """The place that the process which started this one has named."""
        where = Servers(os.environ[MONGO], os.environ[REDIS])
        return cls(where, os.environ[DATABASE], Path(os.environ[FOLDER]))
