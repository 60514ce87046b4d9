"""An embedded Redis: loopback only, keeps its data, never evicts."""

import re
from pathlib import Path
from typing import cast

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from workers.embedded.process import LOOPBACK
from workers.embedded.programs import REDIS_SERVER
from workers.embedded.server import EmbeddedServer

ANSWER_TIMEOUT = 2.0  # seconds


class EmbeddedRedis(EmbeddedServer):
    """Redis on `data_dir/redis`, with every write in its append-only file.

    A write is in the system's hands before it is answered, so a killed Redis loses nothing; a
    power cut loses up to one second (`appendfsync everysec`), which the outbox makes good.
    """

    label = "Redis"
    folder_name = "redis"
    program = REDIS_SERVER

    def _command(self, program: Path, port: int) -> list[str]:
        options = {
            "bind": LOOPBACK,
            "port": str(port),
            "protected-mode": "yes",
            "daemonize": "no",
            "dir": str(self.folder),
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": "",
            "maxmemory-policy": "noeviction",
        }
        return [str(program), *(word for name in options for word in (f"--{name}", options[name]))]

    @staticmethod
    def _answering_pid(port: int) -> int | None:
        retry = Retry(NoBackoff(), 0)
        client = redis.Redis(LOOPBACK, port, socket_timeout=ANSWER_TIMEOUT, retry=retry)
        try:
            client.ping()
            server = cast("dict[str, int]", client.info("server"))
            return int(server["process_id"])
        except redis.RedisError:  # refused, or loading its data
            return None
        finally:
            client.close()

    def _url(self, port: int) -> str:
        return f"redis://{LOOPBACK}:{port}/0"

    def _settle(self, port: int, deadline: float) -> None:
        """Nothing is left: a Redis that answers is ready."""

    def _reason(self, output: str) -> str | None:
        if re.search(r"Can't handle RDB format version|Unknown RDB|unknown.* manifest", output):
            return (
                f"The data in {self.folder} was written by a newer Redis than this one: install "
                "that version, or name another folder with PIPELINE_DATA_DIR."
            )
        if "Bad file format reading the append only file" in output:
            return (
                f"The append-only file in {self.folder} is damaged: repair it with "
                "redis-check-aof --fix, or name another folder with PIPELINE_DATA_DIR."
            )
        return None
