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
from workers.embedded.proxy import Proxy
from workers.embedded.redis import EmbeddedRedis
from workers.embedded.replica_set import EmbeddedReplicaSet, Member
from workers.embedded.server import EmbeddedServer

__all__ = [
    "MONGOD",
    "REDIS_SERVER",
    "EmbeddedError",
    "EmbeddedMongo",
    "EmbeddedRedis",
    "EmbeddedReplicaSet",
    "EmbeddedServer",
    "FolderHeld",
    "Member",
    "PortTaken",
    "Program",
    "Proxy",
    "ServerFailed",
    "ServerMissing",
]
