"""An embedded MongoDB: a replica set of one, because transactions need a replica set."""

import re
import time
from pathlib import Path
from typing import Any

from pymongo import MongoClient
from pymongo.errors import ConnectionFailure, OperationFailure, PyMongoError

from workers.embedded.errors import ServerFailed
from workers.embedded.process import LOOPBACK
from workers.embedded.programs import MONGOD
from workers.embedded.server import POLL, EmbeddedServer

ANSWER_TIMEOUT_MS = 2_000
OPLOG_MB = 1_024  # the default is a share of the disk, too much for a laptop
SHUTDOWN_MS = 100  # how long a stopping server waits for clients; nobody else takes over here

Document = dict[str, Any]


class EmbeddedMongo(EmbeddedServer):
    """MongoDB on `data_dir/mongodb`, initiated and writable when its address is handed out.

    Args:
        data_dir: Folder of the embedded servers.
        replica_set: Name of the replica set; fixed for a folder by its first start.
        cache_gb: Memory for its cache.
        port: Loopback port; 0 takes the one of the last run, else any free one.
        start_timeout: Seconds to wait until it is writable.
    """

    label = "MongoDB"
    folder_name = "mongodb"
    program = MONGOD

    def __init__(
        self,
        data_dir: Path,
        replica_set: str = "pipeline",
        cache_gb: float = 1.0,
        *,
        port: int = 0,
        start_timeout: float = 60.0,
    ) -> None:
        super().__init__(data_dir, port=port, start_timeout=start_timeout)
        self.replica_set = replica_set
        self.cache_gb = cache_gb

    def _command(self, program: Path, port: int) -> list[str]:
        data = self.folder / "data"
        data.mkdir(exist_ok=True)
        parameters = {
            "diagnosticDataCollectionEnabled": "false",
            # A killed worker's transaction holds its documents until it is given up.
            "transactionLifetimeLimitSeconds": "15",
            # Nobody reads the past from a snapshot; keeping it costs hot documents dearly.
            "minSnapshotHistoryWindowInSeconds": "0",
            "shutdownTimeoutMillisForSignaledShutdown": str(SHUTDOWN_MS),
        }
        command = [str(program), "--dbpath", str(data), "--replSet", self.replica_set]
        command += ["--bind_ip", LOOPBACK, "--port", str(port), "--nounixsocket", "--quiet"]
        # Its log would hold the whole of every batch that took longer than a tenth of a second.
        command += ["--slowms", "2000"]
        command += ["--wiredTigerCacheSizeGB", f"{self.cache_gb:g}", "--oplogSize", str(OPLOG_MB)]
        for name, value in parameters.items():
            command += ["--setParameter", f"{name}={value}"]
        return command

    @staticmethod
    def _answering_pid(port: int) -> int | None:
        with _direct(port) as client:
            try:
                return int(client.admin.command("serverStatus")["pid"])
            except PyMongoError:  # refused, or not ready for commands
                return None

    def _url(self, port: int) -> str:
        return f"mongodb://{LOOPBACK}:{port}/?replicaSet={self.replica_set}"

    def _settle(self, port: int, deadline: float) -> None:
        """Make it a replica set whose only member is this address, and wait for its election.

        The client used here has learned that the server knows no sessions; it is closed, and
        callers make their own.
        """
        host = f"{LOOPBACK}:{port}"
        last: PyMongoError | None = None
        while time.monotonic() < deadline:
            try:
                with _direct(port) as client:
                    self._configure(client, host)
                    if _wait_for_primary(client, deadline):
                        return
            except (ConnectionFailure, OperationFailure) as error:  # still reading its own set
                last = error
            time.sleep(POLL)
        raise ServerFailed(
            f"MongoDB did not become primary within {self.start_timeout:g} seconds "
            f"({last or 'no election'}): its log is {self.log}."
        )

    def _configure(self, client: MongoClient[Document], host: str) -> None:
        stored = client.local["system.replset"].find_one()
        if stored is None:
            members = [{"_id": 0, "host": host}]
            client.admin.command("replSetInitiate", {"_id": self.replica_set, "members": members})
            return
        if stored["_id"] != self.replica_set:
            raise ServerFailed(
                f"The data in {self.folder} belongs to the replica set {stored['_id']!r}, not "
                f"{self.replica_set!r}: use that name, or name another folder with "
                "PIPELINE_DATA_DIR."
            )
        if [member["host"] for member in stored["members"]] != [host]:
            # The last port is taken, so the only member has moved: nobody else to agree with.
            stored["members"] = [{**stored["members"][0], "host": host}]
            stored["version"] += 1
            client.admin.command("replSetReconfig", stored, force=True)

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


def _direct(port: int) -> MongoClient[Document]:
    """Connect to this one server, whatever the replica set says."""
    return MongoClient(
        LOOPBACK,
        port,
        directConnection=True,
        serverSelectionTimeoutMS=ANSWER_TIMEOUT_MS,
        connectTimeoutMS=ANSWER_TIMEOUT_MS,
        socketTimeoutMS=ANSWER_TIMEOUT_MS,
    )


def _wait_for_primary(client: MongoClient[Document], deadline: float) -> bool:
    """Wait until the server takes writes; False when time is up."""
    while time.monotonic() < deadline:
        if client.admin.command("hello")["isWritablePrimary"]:
            return True
        time.sleep(POLL)
    return False
