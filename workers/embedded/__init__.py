"""Servers for a laptop: a Redis and a MongoDB started from here, kept in a data folder."""

from workers.embedded.errors import (
    EmbeddedError,
    FolderHeld,
    PortTaken,
    ServerFailed,
    ServerMissing,
)
from workers.embedded.mongodb import EmbeddedMongo
from workers.embedded.programs import MONGOD, REDIS_SERVER, Program
from workers.embedded.redis import EmbeddedRedis
from workers.embedded.server import EmbeddedServer

__all__ = [
    "MONGOD",
    "REDIS_SERVER",
    "EmbeddedError",
    "EmbeddedMongo",
    "EmbeddedRedis",
    "EmbeddedServer",
    "FolderHeld",
    "PortTaken",
    "Program",
    "ServerFailed",
    "ServerMissing",
]
