"""BullMQ on Node: a job an event, two processes that do fifty side by side.

What it needs from npm is installed once, by the lock file beside it, into the folder of the run.
"""

from __future__ import annotations

import fcntl
import json
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Final

from redis import Redis

from benchmarks.peers import work
from benchmarks.peers.keys import remove_keys
from benchmarks.peers.peer import Guarantees
from benchmarks.peers.piped import Piped
from benchmarks.peers.place import Place
from benchmarks.peers.processes import PeerEndedError
from benchmarks.peers.queue_session import QueueSession
from pipeline import Event

SOURCES: Final = Path(__file__).with_name("bullmq")
INSTALL_SECONDS: Final = 300.0
VERSION_SECONDS: Final = 30.0
OLDEST_NODE: Final = 20
"""The version that the MongoDB driver needs."""
AT_ONCE: Final = 500

GUARANTEES: Final = Guarantees(
    accepted="in Redis, with up to a second of them not yet on disk",
    effects="at least once (stalled jobs run again, three attempts); an attempt that was cut "
    "short repeats its writes, so a conversion may be counted twice",
    order="none: fifty jobs in each process overtake each other",
    late="the older event fills in what is missing; changes and counts stay as they fell",
    traces="the event's document says when it was begun and done; the last 1,000 failed jobs stay",
    wiped="every event that was not begun",
)


@dataclass(frozen=True)
class BullMq:
    """BullMQ with the official MongoDB driver.

    Attributes:
        name: what it is called in results.
        setup: how it is run here.
        guarantees: what a user may rely on.
        least_per_second: events a second that it does at least, by which it is given fewer in bulk.
    """

    name: str = "bullmq"
    setup: str = "BullMQ's Worker in Node processes that do 50 jobs side by side each"
    guarantees: Guarantees = GUARANTEES
    least_per_second: float | None = 200.0

    def missing(self) -> str | None:
        """Whether Node and npm are here, and new enough."""
        node, npm = shutil.which("node"), shutil.which("npm")
        if node is None or npm is None:
            absent = "Node" if node is None else "npm"
            return f"{absent} is missing; on Debian or Ubuntu: apt-get install nodejs npm"
        said = _said([node, "--version"], timeout=VERSION_SECONDS)
        major = said.removeprefix("v").partition(".")[0]
        if not major.isdigit() or int(major) < OLDEST_NODE:
            return f"this Node is {said or 'broken'}; {OLDEST_NODE} or newer is needed"
        return None

    @contextmanager
    def running(self, place: Place, workers: int = 2) -> Iterator[QueueSession]:
        """Install what is needed, unless it is, and start so many Node processes."""
        folder = install(place.folder / "bullmq")
        with _Session(place, folder) as session:
            for number in range(1, workers + 1):
                session.start(f"{self.name}-{number}", [_node(), str(folder / "worker.mjs")])
            session.warm_up(workers)
            yield session


def install(folder: Path) -> Path:
    """Copy the sources to a folder, and install what their lock file names; once.

    Raises:
        PeerEndedError: npm failed; with what it said last.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "install.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        wanted = (SOURCES / "package-lock.json").read_text()
        done = folder / "installed.json"
        shutil.copytree(SOURCES, folder, dirs_exist_ok=True)
        if not done.exists() or done.read_text() != wanted:
            npm = shutil.which("npm") or "npm"
            # The install scripts of its packages only build what is there already.
            _said([npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], folder=folder)
            done.write_text(wanted)
    return folder


class _Session(QueueSession):
    def __init__(self, place: Place, folder: Path) -> None:
        super().__init__(place)
        # It ends when we do: at the end of what we write to it.
        log = place.folder / "logs" / "bullmq-producer.log"
        command = [_node(), str(folder / "producer.mjs")]
        self._producer = Piped(command, log, place.environment())
        self._asking = Lock()

    def submit(self, events: Sequence[Event]) -> None:
        """As `addBulk`."""
        for start in range(0, len(events), AT_ONCE):
            self._send(events[start : start + AT_ONCE])

    def submit_one(self, event: Event) -> None:
        """As `add`."""
        self._send([event])

    def _send(self, events: Sequence[Event]) -> None:
        """Have events added, and wait until they are.

        Raises:
            PeerEndedError: the process that adds them has ended.
        """
        line = json.dumps([work.message(event) for event in events]).encode()
        with self._asking:
            self._producer.send(line)
            self._producer.answer()

    def forget(self) -> None:
        """End the producer, and forget what is left in Redis."""
        self._producer.stop()
        with Redis.from_url(self.place.where.redis_url) as redis:
            remove_keys(redis, f"{self.place.database}:*")


def _node() -> str:
    return shutil.which("node") or "node"


def _said(
    command: Sequence[str], *, folder: Path | None = None, timeout: float = INSTALL_SECONDS
) -> str:
    """What a command printed.

    Raises:
        PeerEndedError: it failed or took too long.
    """
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, check=False, timeout=timeout
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PeerEndedError(f"{command[0]} can't be run: {error}") from error
    if done.returncode:
        raise PeerEndedError(f"{' '.join(command)} failed: {done.stderr.strip()[-500:]}")
    return done.stdout.strip()
