"""One mongod process; who else is in its replica set, others decide."""

import os
import re
from pathlib import Path
from typing import Any, Final

from pymongo import MongoClient
from pymongo.errors import PyMongoError

from workers.embedded.process import LOOPBACK
from workers.embedded.programs import MONGOD
from workers.embedded.server import EmbeddedServer

ANSWER_TIMEOUT_MS = 2_000
OPLOG_MB = 1_024  # the default is a share of the disk, too much for a laptop
SHUTDOWN_MS = 100  # how long a stopping server waits for clients
CACHE_SHARE: Final = 1 / 6
"""Of the machine's memory, for the cache; MongoDB's own half would leave others too little."""
LEAST_CACHE_GB: Final = 0.25
"""What MongoDB takes at least."""
MOST_CACHE_GB: Final = 4.0
GIBIBYTE: Final = 1024**3
DIRTY: Final = "eviction_dirty_target=50,eviction_dirty_trigger=75"
"""Per cent of the cache that may wait for the next checkpoint. With MongoDB's 5 a page that is
written to at random goes to the disk for each few events, at half of the processor time; what a
crash leaves is in the journal either way."""

Document = dict[str, Any]


def cache_for(memory: int) -> float:
    """The cache that suits a machine with so many bytes of memory, in GiB."""
    return round(min(MOST_CACHE_GB, max(LEAST_CACHE_GB, memory * CACHE_SHARE / GIBIBYTE)), 2)


def _memory() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


class Mongod(EmbeddedServer):
    """A mongod that waits to be told of its replica set.

    Args:
        data_dir: Folder of the embedded servers.
        replica_set: Name of the replica set; fixed for a folder by its first start.
        cache_gb: Memory for its cache; a sixth of the machine's, up to 4, unless given.
        port: Loopback port; 0 takes the one of the last run, else any free one.
        start_timeout: Seconds to wait until it is ready.
    """

    label = "MongoDB"
    folder_name = "mongodb"
    program = MONGOD

    def __init__(
        self,
        data_dir: Path,
        replica_set: str = "pipeline",
        cache_gb: float | None = None,
        *,
        port: int = 0,
        start_timeout: float = 60.0,
    ) -> None:
        super().__init__(data_dir, port=port, start_timeout=start_timeout)
        self.replica_set = replica_set
        self.cache_gb = cache_for(_memory()) if cache_gb is None else cache_gb

    def _command(self, program: Path, port: int) -> list[str]:
        data = self.folder / "data"
        data.mkdir(exist_ok=True)
        command = [str(program), "--dbpath", str(data), "--replSet", self.replica_set]
        command += ["--bind_ip", LOOPBACK, "--port", str(port), "--nounixsocket", "--quiet"]
        # Its log would hold the whole of every batch that took longer than a tenth of a second.
        command += ["--slowms", "2000"]
        command += ["--wiredTigerCacheSizeGB", f"{self.cache_gb:g}", "--oplogSize", str(OPLOG_MB)]
        command += ["--wiredTigerEngineConfigString", DIRTY]
        for name, value in self._parameters().items():
            command += ["--setParameter", f"{name}={value}"]
        return command

    def _parameters(self) -> dict[str, str]:
        return {
            "diagnosticDataCollectionEnabled": "false",
            # A killed worker's transaction holds its documents until it is given up.
            "transactionLifetimeLimitSeconds": "15",
            # Nobody reads the past from a snapshot; keeping it costs hot documents dearly.
            "minSnapshotHistoryWindowInSeconds": "0",
            "shutdownTimeoutMillisForSignaledShutdown": str(SHUTDOWN_MS),
        }

    @staticmethod
    def _answering_pid(port: int) -> int | None:
        with direct(port) as client:
            try:
                return int(client.admin.command("serverStatus")["pid"])
            except PyMongoError:  # refused, or not ready for commands
                return None

    def _reason(self, output: str) -> str | None:
        if re.search(r"DBPathInUse|already running on the", output):
            return (
                f"Another mongod, not started by this product, works on {self.folder}: end it, or "
                "name another folder with PIPELINE_DATA_DIR."
            )
        newer = (
            r"[Ii]nvalid feature compatibility version|UPGRADE PROBLEM|[Uu]nsupported WiredTiger"
        )
        if re.search(newer, output):
            return (
                f"The data in {self.folder} was written by another version of MongoDB, newer or "
                "much older than this one: install that version, or name another folder with "
                "PIPELINE_DATA_DIR."
            )
        return None


def direct(port: int, timeout_ms: int = ANSWER_TIMEOUT_MS) -> MongoClient[Document]:
    """Connect to this one server, whatever the replica set says; nobody is waited for long."""
    return MongoClient(
        LOOPBACK,
        port,
        directConnection=True,
        serverSelectionTimeoutMS=timeout_ms,
        connectTimeoutMS=timeout_ms,
        socketTimeoutMS=timeout_ms,
    )
