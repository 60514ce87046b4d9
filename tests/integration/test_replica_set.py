"""A replica set of three: killed, frozen and stepped down, it keeps what it has confirmed."""

import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pymongo
import pytest

from tests.acceptance.conftest import wait_for
from tests.conftest import started
from workers.embedded import EmbeddedReplicaSet, Member, ServerFailed
from workers.embedded.mongod import direct
from workers.embedded.replica_set import SETTINGS

Document = dict[str, Any]


@pytest.fixture(scope="module")
def the_set(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedReplicaSet]:
    """Start one set for all tests here."""
    replica_set = EmbeddedReplicaSet(tmp_path_factory.mktemp("set"))
    try:
        started(replica_set)
        yield replica_set
    finally:
        replica_set.stop()


@pytest.fixture
def replica_set(the_set: EmbeddedReplicaSet) -> Iterator[EmbeddedReplicaSet]:
    """Give the set; whom a test leaves dead or frozen comes back afterwards."""
    yield the_set
    for member in the_set.members:
        the_set.thaw(member)
        if not psutil.pid_exists(member.pid):
            the_set.restart(member)
    the_set.wait_until_ready()


@pytest.fixture
def client(replica_set: EmbeddedReplicaSet) -> Iterator[pymongo.MongoClient[Document]]:
    """Connect to the set by the address that it gives out; the database is empty."""
    # Who is frozen answers nothing and closes nothing: only these make a client look elsewhere.
    soon = {"heartbeatFrequencyMS": 500, "connectTimeoutMS": 1_000, "socketTimeoutMS": 5_000}
    with pymongo.MongoClient[Document](replica_set.address, **soon) as client:
        client.drop_database("kept")
        yield client


def primary_of(replica_set: EmbeddedReplicaSet) -> Member:
    """Name the primary, which is there before a test begins."""
    primary = replica_set.primary
    assert primary is not None
    return primary


def documents_on(member: Member) -> int:
    """Count what one member has, whatever the others say."""
    with direct(member.port) as alone:
        return alone.kept.values.count_documents({})


def test_the_address_names_all_members_and_runs_transactions(
    replica_set: EmbeddedReplicaSet, client: pymongo.MongoClient[Document]
) -> None:
    """A transaction that is confirmed soon stands on every member."""
    hosts = ",".join(f"127.0.0.1:{member.port}" for member in replica_set.members)
    assert replica_set.address == f"mongodb://{hosts}/?replicaSet=pipeline"
    with client.start_session() as session, session.start_transaction():
        client.kept.values.insert_one({"_id": 1}, session=session)
    for member in replica_set.members:
        wait_for(lambda m=member: documents_on(m) == 1, f"{member.address} has it")


def test_members_are_set_up_as_the_single_server_is(replica_set: EmbeddedReplicaSet) -> None:
    """Transactions end soon, and so does the silence of a primary."""
    for member in replica_set.members:
        with direct(member.port) as alone:
            found = alone.admin.command({"getParameter": "*"})
            config = alone.admin.command("replSetGetConfig")["config"]
        assert found["transactionLifetimeLimitSeconds"] == 15
        assert found["minSnapshotHistoryWindowInSeconds"] == 0
        assert config["settings"].items() >= SETTINGS.items()


def test_a_killed_primary_is_replaced_and_nothing_confirmed_is_lost(
    replica_set: EmbeddedReplicaSet, client: pymongo.MongoClient[Document]
) -> None:
    """The same client goes on writing, and the killed one catches up when it is back."""
    client.kept.values.insert_one({"_id": 1})
    killed = primary_of(replica_set)
    replica_set.kill(killed)
    assert replica_set.wait_for_primary() is not killed
    client.kept.values.insert_one({"_id": 2})
    replica_set.restart(killed)
    wait_for(lambda: documents_on(killed) == 2, "the killed one has caught up")


def test_a_frozen_primary_is_replaced_and_follows_when_it_thaws(
    replica_set: EmbeddedReplicaSet, client: pymongo.MongoClient[Document]
) -> None:
    """It believes itself primary for a moment, and nobody else does."""
    frozen = primary_of(replica_set)
    client.kept.values.insert_one({"_id": 1})
    replica_set.freeze(frozen)
    assert psutil.Process(frozen.pid).status() == psutil.STATUS_STOPPED
    successor = replica_set.wait_for_primary()
    assert successor is not frozen
    client.kept.values.insert_one({"_id": 2})
    replica_set.thaw(frozen)
    replica_set.wait_until_ready()
    assert replica_set.primary is successor
    wait_for(lambda: documents_on(frozen) == 2, "the frozen one has caught up")


def test_a_frozen_member_can_be_restarted_and_killed(replica_set: EmbeddedReplicaSet) -> None:
    """It is thawed first, so that it ends in order; a kill needs no thaw."""
    primary = primary_of(replica_set)
    member = next(member for member in replica_set.members if member is not primary)
    replica_set.freeze(member)
    replica_set.restart(member)
    assert '"msg":"Shutting down","attr":{"exitCode":0}' in member.log.with_suffix(
        ".log.1"
    ).read_text(errors="replace")
    replica_set.freeze(member)
    replica_set.kill(member)
    assert not psutil.pid_exists(member.pid)
    with pytest.raises(ServerFailed, match="does not run"):
        replica_set.freeze(member)


def test_a_primary_that_steps_down_goes_on_as_a_secondary(
    replica_set: EmbeddedReplicaSet, client: pymongo.MongoClient[Document]
) -> None:
    """Another one leads, and no process has ended."""
    pids = [member.pid for member in replica_set.members]
    before = primary_of(replica_set)
    assert replica_set.step_down() is before
    assert replica_set.wait_for_primary() is not before
    client.kept.values.insert_one({"_id": 1})
    replica_set.wait_until_ready()
    assert [member.pid for member in replica_set.members] == pids


def test_without_a_majority_nobody_leads_and_one_more_is_enough(
    replica_set: EmbeddedReplicaSet,
) -> None:
    """The last of three takes no writes alone; with a second one it does."""
    primary = primary_of(replica_set)
    others = [member for member in replica_set.members if member is not primary]
    for member in others:
        replica_set.kill(member)
    wait_for(lambda: replica_set.primary is None, "the primary gives up")
    with pytest.raises(ServerFailed, match="no primary"):
        replica_set.step_down()
    replica_set.restart(others[0])
    assert replica_set.wait_for_primary() in {primary, others[0]}


def test_a_set_that_runs_is_shared_and_not_ours_to_hurt(replica_set: EmbeddedReplicaSet) -> None:
    """A second one on the folder finds it, and leaves it as it is."""
    second = EmbeddedReplicaSet(replica_set.members[0].folder.parents[2])
    with second as url:
        assert url == replica_set.address
        for harm in (second.kill, second.freeze, second.restart):
            with pytest.raises(ServerFailed, match="not started here"):
                harm(second.members[0])
    assert [m.pid for m in second.members] == [m.pid for m in replica_set.members]
    assert all(psutil.pid_exists(member.pid) for member in replica_set.members)


class _Curt(socketserver.BaseRequestHandler):
    """Says nothing and hangs up."""


class _Stranger(socketserver.TCPServer):
    """A server of somebody else."""

    allow_reuse_address = True


def test_a_later_run_finds_the_data_also_where_a_member_has_to_move(tmp_path: Path) -> None:
    """Ports are kept; one that a stranger has taken is replaced in the set as well."""
    with EmbeddedReplicaSet(tmp_path, members=1) as url:
        taken = int(url.partition("/?")[0].rpartition(":")[2])
        with pymongo.MongoClient[Document](url) as client:
            client.kept.values.insert_one({"_id": 1})
    later = EmbeddedReplicaSet(tmp_path, members=1)
    with _Stranger(("127.0.0.1", taken), _Curt) as stranger:
        threading.Thread(target=stranger.serve_forever, daemon=True).start()
        try:
            with later as url, pymongo.MongoClient[Document](url) as client:
                assert later.members[0].port != taken
                assert client.kept.values.count_documents({}) == 1
                client.kept.values.insert_one({"_id": 2})
        finally:
            stranger.shutdown()


def test_a_killed_parent_leaves_no_member_not_even_a_frozen_one(tmp_path: Path) -> None:
    """Who cannot hear SIGTERM ends too."""
    code = (
        "import sys; from pathlib import Path; from workers.embedded import *\n"
        "one = EmbeddedReplicaSet(Path(sys.argv[1]), members=1); one.start()\n"
        "one.freeze(one.members[0])\n"
        "print(one.members[0].pid, flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        orphan = psutil.Process(int(parent.stdout.readline()))
        assert orphan.status() == psutil.STATUS_STOPPED
        parent.kill()

    def gone() -> bool:
        try:
            return bool(orphan.status() == psutil.STATUS_ZOMBIE)
        except psutil.NoSuchProcess:
            return True

    wait_for(gone, "the frozen member ends")
