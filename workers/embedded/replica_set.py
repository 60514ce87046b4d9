"""An embedded replica set of several members, for what one server cannot show: failover."""

import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import TypeVar

import psutil
from pymongo.errors import PyMongoError

from workers.embedded.errors import ServerFailed
from workers.embedded.mongod import Mongod, direct
from workers.embedded.process import LOOPBACK
from workers.embedded.replication import greeting, ready, settle
from workers.embedded.server import POLL

SETTINGS = {
    "electionTimeoutMillis": 2_000,  # so long a primary may be silent; MongoDB's own is 10 s
    "heartbeatIntervalMillis": 500,
    "heartbeatTimeoutSecs": 2,
    # So long a new primary waits for a silent member that might know more. What is confirmed
    # to a client the new one knows anyway.
    "catchUpTimeoutMillis": 500,
}
STEP_DOWN_SECONDS = 5  # so long a primary that stepped down does not stand again
CATCH_UP_SECONDS = 4  # so long a primary waits for a successor who knows all it knows

T = TypeVar("T")


class Member(Mongod):
    """One mongod of a replica set.

    It ends by SIGKILL when the process that started it is gone: a frozen member would not hear
    anything else, and its data bears it.
    """

    parting = signal.SIGKILL

    def _url(self, port: int) -> str:
        return f"mongodb://{LOOPBACK}:{port}/?directConnection=true"

    def _parameters(self) -> dict[str, str]:
        # Until who read from a frozen member turns to another one no write is confirmed: three
        # seconds with these, eleven without. Any sooner, and it would choose the frozen one again.
        return super()._parameters() | {
            "oplogNetworkTimeoutBufferSeconds": "2",
            "oplogFetcherSteadyStateMaxFetcherRestarts": "0",
            # Nobody reads from one that is not ahead, so in a set at rest a member that is back
            # would wait for this small write before it follows.
            "periodicNoopIntervalSecs": "1",
        }

    def _settle(self, port: int, deadline: float) -> None:
        """Nothing is left: the set is told of all its members at once, when all run."""

    def process(self) -> psutil.Process:
        """Return the process, for signals.

        Raises:
            ServerFailed: It was not started here, or does not run.
        """
        if not self.owned or not psutil.pid_exists(self.pid):
            raise ServerFailed(f"This {self.label} does not run, or was not started here.")
        return psutil.Process(self.pid)


class EmbeddedReplicaSet:
    """MongoDB as a replica set on one machine, whose members can be killed and frozen.

    Used as `with EmbeddedReplicaSet(folder, members=3) as url:`, or by `start` and `stop`. A
    new primary is elected about two seconds after the old one fell silent.

    Args:
        data_dir: Folder of the embedded servers.
        members: How many; three survive the loss of one.
        cache_gb: Memory for the cache of each; 0.25 is the least that MongoDB takes.
        replica_set: Name of the set; fixed for a folder by its first start.
        start_timeout: Seconds to wait until all members are ready.
    """

    def __init__(
        self,
        data_dir: Path,
        members: int = 3,
        cache_gb: float = 0.25,
        *,
        replica_set: str = "pipeline",
        start_timeout: float = 60.0,
    ) -> None:
        self.replica_set = replica_set
        self.start_timeout = start_timeout
        self.members = tuple(
            Member(
                data_dir / "replica_set" / f"member-{number}",
                replica_set,
                cache_gb,
                start_timeout=start_timeout,
            )
            for number in range(members)
        )
        self._frozen: set[Member] = set()

    def __enter__(self) -> str:
        """Start all members, or find them running; return the set's address."""
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop the members that were started here."""
        self.stop()

    @property
    def address(self) -> str:
        """URL that names every member, whether it runs or not."""
        hosts = ",".join(f"{LOOPBACK}:{member.port}" for member in self.members)
        return f"mongodb://{hosts}/?replicaSet={self.replica_set}"

    @property
    def primary(self) -> Member | None:
        """The member that takes writes now; None while there is no majority, or an election."""
        claims = {}
        for member in self.members:
            said = {} if member in self._frozen else greeting(member.port)
            if said.get("isWritablePrimary"):
                claims[member] = said["electionId"]
        # Who was frozen believes for a moment that it still is primary; its election is older.
        return max(claims, key=lambda member: claims[member]) if claims else None

    def start(self) -> str:
        """Start all members and make them one set; return its address.

        Raises:
            ServerMissing: There is no program that can run here.
            ServerFailed: A member did not start, or they did not become one set in time.
        """
        deadline = time.monotonic() + self.start_timeout
        try:
            with ThreadPoolExecutor(len(self.members)) as pool:
                list(pool.map(Mongod.start, self.members))
            if any(member.owned for member in self.members):
                folders = {member.port: member.folder for member in self.members}
                settle(folders, self.replica_set, deadline, SETTINGS)
            else:
                self.wait_until_ready()
        except BaseException:
            self.stop()
            raise
        return self.address

    def stop(self) -> None:
        """Stop the members that were started here, frozen ones too."""
        for member in list(self._frozen):
            self.thaw(member)
        with ThreadPoolExecutor(len(self.members)) as pool:
            list(pool.map(Mongod.stop, self.members))

    def wait_for_primary(self) -> Member:
        """Wait until a member takes writes.

        Raises:
            ServerFailed: None does within `start_timeout` seconds.
        """
        return self._wait(lambda: self.primary, "elect a primary")

    def wait_until_ready(self) -> None:
        """Wait until one member is primary and all others follow it.

        Raises:
            ServerFailed: They do not within `start_timeout` seconds.
        """
        self._wait(lambda: ready([m.port for m in self.members]), "become whole")

    def kill(self, member: Member) -> None:
        """End a member with SIGKILL, as a power cut would."""
        member.kill()
        self._frozen.discard(member)

    def restart(self, member: Member) -> None:
        """Start a member again on its address and wait until it follows, or leads."""
        self.thaw(member)
        member.restart()
        self._wait(lambda: _in_service(member), f"see {member.address} again")

    def step_down(self) -> Member:
        """Make the primary hand over, as for maintenance; return who was it.

        Raises:
            ServerFailed: There is no primary, or nobody to hand over to.
        """
        member = self.primary
        if member is None:
            raise ServerFailed("There is no primary that could step down.")
        try:
            with direct(member.port, STEP_DOWN_SECONDS * 1000) as client:
                client.admin.command(
                    "replSetStepDown",
                    STEP_DOWN_SECONDS,
                    secondaryCatchUpPeriodSecs=CATCH_UP_SECONDS,
                )
        except PyMongoError as error:
            raise ServerFailed(f"The primary did not step down: {error}") from error
        return member

    def freeze(self, member: Member) -> None:
        """Stop a member with SIGSTOP: its connections stay open and nothing answers.

        Another takes over within three seconds. Only where the set is not ready, as after
        `step_down`, a secondary may be about to read from the frozen one; MongoDB waits half a
        minute for the answer, and confirms no write meanwhile.
        """
        process = member.process()
        self._frozen.add(member)
        process.suspend()
        self._wait(lambda: process.status() == psutil.STATUS_STOPPED, "freeze a member")

    def thaw(self, member: Member) -> None:
        """Let a frozen member go on; harmless for any other."""
        if member in self._frozen:
            self._frozen.discard(member)
            member.process().resume()

    def _wait(self, fact: Callable[[], T | None], what: str) -> T:
        deadline = time.monotonic() + self.start_timeout
        while not (found := fact()):
            if time.monotonic() > deadline:
                raise ServerFailed(
                    f"The replica set did not {what} within {self.start_timeout:g} seconds."
                )
            time.sleep(POLL)
        return found


def _in_service(member: Member) -> bool:
    said = greeting(member.port)
    return bool(said.get("isWritablePrimary") or said.get("secondary"))
