"""Embedded servers: shared by folder, keep their data, come back after a kill, leave no orphan."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import psutil
import pymongo
import pytest
import redis

from workers.embedded import (
    EmbeddedMongo,
    EmbeddedRedis,
    EmbeddedServer,
    FolderHeld,
    ServerFailed,
)

Document = dict[str, Any]

WAIT = 30.0  # seconds before a fact that does not come true is a failure


def eventually(fact: Callable[[], bool], what: str) -> None:
    """Wait until a fact is true, and fail by its name if it never is."""
    deadline = time.monotonic() + WAIT
    while not fact():
        assert time.monotonic() < deadline, f"never came true: {what}"
        time.sleep(0.01)


def write(server: EmbeddedServer, value: str) -> None:
    """Store a value, confirmed by the server."""
    if isinstance(server, EmbeddedRedis):
        with redis.Redis.from_url(server.address) as client:
            client.set("kept", value)
        return
    with pymongo.MongoClient[Document](server.address) as client:
        client.kept.values.replace_one({"_id": 1}, {"value": value}, upsert=True)


def read(server: EmbeddedServer) -> str:
    """Read the stored value."""
    if isinstance(server, EmbeddedRedis):
        with redis.Redis.from_url(server.address, decode_responses=True) as client:
            return str(client.get("kept"))
    with pymongo.MongoClient[Document](server.address) as client:
        return str((client.kept.values.find_one({"_id": 1}) or {}).get("value"))


@pytest.fixture(params=[EmbeddedRedis, EmbeddedMongo], ids=["redis", "mongodb"])
def kind(request: pytest.FixtureRequest) -> type[EmbeddedServer]:
    """Run a test for each of the two servers."""
    return cast("type[EmbeddedServer]", request.param)


@pytest.fixture
def server(kind: type[EmbeddedServer], tmp_path: Path) -> Iterator[EmbeddedServer]:
    """Give a running server on a folder of the test's own."""
    server = kind(tmp_path)
    try:
        server.start()
        yield server
    finally:
        if server.owned:
            server.kill()  # nobody needs its data any more


def test_a_started_server_answers_under_its_url(server: EmbeddedServer) -> None:
    """The address handed out takes writes at once."""
    write(server, "first")
    assert read(server) == "first"
    assert server.owned
    assert psutil.pid_exists(server.pid)


def test_the_with_block_stops_what_it_started(kind: type[EmbeddedServer], tmp_path: Path) -> None:
    """Inside the block the address is known to everybody, after it to nobody."""
    with kind(tmp_path) as url:
        assert kind.running_address(tmp_path) == url
    assert kind.running_address(tmp_path) is None


def test_a_server_listens_on_loopback_only(server: EmbeddedServer) -> None:
    """There is exactly one socket to connect to, and no other machine can."""
    listening = [
        at for at in psutil.Process(server.pid).net_connections("all") if at.status == "LISTEN"
    ]
    unix = [at for at in psutil.Process(server.pid).net_connections("unix") if at.laddr]
    assert [at.laddr.ip for at in listening] == ["127.0.0.1"]
    assert unix == []


def test_redis_never_evicts_and_keeps_every_write(tmp_path: Path) -> None:
    """Its settings are those a queue needs."""
    with EmbeddedRedis(tmp_path) as url, redis.Redis.from_url(url, decode_responses=True) as client:
        found = client.config_get("*")
    wanted = {
        "appendonly": "yes",
        "appendfsync": "everysec",
        "maxmemory-policy": "noeviction",
        "protected-mode": "yes",
        "save": "",
        "bind": "127.0.0.1",
    }
    assert {name: found[name] for name in wanted} == wanted


def test_mongodb_runs_transactions_as_soon_as_it_is_handed_out(tmp_path: Path) -> None:
    """The replica set is initiated and its one member is primary."""
    with (
        EmbeddedMongo(tmp_path, replica_set="other", cache_gb=0.25) as url,
        pymongo.MongoClient[Document](url) as client,
        client.start_session() as session,
    ):
        assert "replicaSet=other" in url
        with session.start_transaction():
            client.kept.values.insert_one({"_id": 1}, session=session)
        assert client.kept.values.count_documents({}) == 1


def test_a_second_start_on_the_folder_uses_the_running_server(
    server: EmbeddedServer, kind: type[EmbeddedServer], tmp_path: Path
) -> None:
    """It gets the same address, and its end leaves the server to the one who started it."""
    second = kind(tmp_path)
    with second as url:
        assert url == server.address
        assert second.pid == server.pid
        assert not second.owned
    assert kind.running_address(tmp_path) == server.address


def test_a_found_server_is_not_ours_to_end(
    server: EmbeddedServer, kind: type[EmbeddedServer], tmp_path: Path
) -> None:
    """Neither a kill nor a restart reaches a server started elsewhere."""
    second = kind(tmp_path)
    second.start()
    with pytest.raises(ServerFailed, match="not started here"):
        second.kill()
    with pytest.raises(ServerFailed, match="not started here"):
        second.restart()
    assert kind.running_address(tmp_path) == server.address


def test_two_starts_at_once_give_one_server(kind: type[EmbeddedServer], tmp_path: Path) -> None:
    """Who comes second waits for the first and uses its server, whichever thread starts it."""
    servers = [kind(tmp_path) for _ in range(4)]
    threads = [threading.Thread(target=server.start) for server in servers]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len({server.address for server in servers}) == 1
        assert sorted(server.owned for server in servers) == [False, False, False, True]
        assert kind.running_address(tmp_path) == servers[0].address
    finally:
        for server in servers:
            server.stop()


def test_a_later_run_finds_the_data_under_the_same_address(
    server: EmbeddedServer, kind: type[EmbeddedServer], tmp_path: Path
) -> None:
    """The folder keeps data and port."""
    write(server, "kept over a stop")
    address = server.address
    server.stop()
    later = kind(tmp_path)
    with later as url:
        assert url == address
        assert read(later) == "kept over a stop"


def test_a_later_run_on_another_port_finds_the_data(
    server: EmbeddedServer, kind: type[EmbeddedServer], tmp_path: Path
) -> None:
    """If the old port is taken the server moves, MongoDB's replica set with it."""
    write(server, "kept over a move")
    address = server.address
    server.stop()
    later = kind(tmp_path)
    port = int(address.split(":")[2].split("/")[0])
    with kind(tmp_path / "stranger", port=port) as taken:
        assert taken == address
        assert kind.running_address(tmp_path) is None
        with later as url:
            assert url != address
            assert read(later) == "kept over a move"


def test_a_killed_server_comes_back_with_every_confirmed_write(server: EmbeddedServer) -> None:
    """After a SIGKILL it is down, and a restart brings address and data back."""
    write(server, "kept over a kill")
    address, pid = server.address, server.pid
    server.kill()
    assert type(server).running_address(server.folder.parent) is None
    assert server.restart() == address
    assert server.pid != pid
    assert read(server) == "kept over a kill"


def test_a_running_server_restarts_on_its_address(server: EmbeddedServer) -> None:
    """A restart needs no kill before it."""
    address, pid = server.address, server.pid
    assert server.restart() == address
    assert server.pid != pid


def test_a_frozen_server_is_named_as_the_holder(
    server: EmbeddedServer, kind: type[EmbeddedServer], tmp_path: Path
) -> None:
    """Two servers never work on one folder, even if the first does not answer."""
    os.kill(server.pid, signal.SIGSTOP)
    try:
        with pytest.raises(FolderHeld, match=f"process {server.pid}.*PIPELINE_DATA_DIR"):
            kind(tmp_path, start_timeout=0.1).start()
    finally:
        os.kill(server.pid, signal.SIGCONT)


@contextmanager
def parent_of_a_server(kind: type[EmbeddedServer], folder: Path) -> Iterator[psutil.Process]:
    """Let another process start a server, hand it out, and kill that process at the end."""
    code = (
        "import sys; from pathlib import Path; from workers.embedded import *\n"
        f"server = {kind.__name__}(Path(sys.argv[1])); server.start()\n"
        "print(server.pid, flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        try:
            yield psutil.Process(int(parent.stdout.readline()))
        finally:
            parent.kill()


def gone(server: psutil.Process) -> bool:
    """Tell whether a process has ended, collected by its new parent or not."""
    try:
        return bool(server.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def test_a_killed_parent_leaves_no_server(kind: type[EmbeddedServer], tmp_path: Path) -> None:
    """The server ends although nobody was left to stop it."""
    with parent_of_a_server(kind, tmp_path) as orphan:
        assert kind.running_address(tmp_path) is not None
    eventually(lambda: gone(orphan), "the server ends")


def test_a_start_right_after_a_killed_parent_gets_a_server_of_its_own(
    kind: type[EmbeddedServer], tmp_path: Path
) -> None:
    """An orphan that still answers on its way down is waited for, not used."""
    with parent_of_a_server(kind, tmp_path) as orphan:
        pass
    server = kind(tmp_path)
    with server:
        assert server.owned
        assert gone(orphan)
        write(server, "lasting")
        assert read(server) == "lasting"


def test_a_start_during_a_stop_gets_a_server_of_its_own(
    server: EmbeddedServer, kind: type[EmbeddedServer], tmp_path: Path
) -> None:
    """A server told to stop is no longer found, even while it answers."""
    first = psutil.Process(server.pid)
    stopping = threading.Thread(target=server.stop)
    stopping.start()
    record = tmp_path / kind.folder_name / "server.json"
    eventually(lambda: '"pid": 0' in record.read_text(), "the record says it stops")
    with kind(tmp_path):
        assert gone(first)
    stopping.join()


def test_ctrl_c_in_the_terminal_does_not_reach_a_server(server: EmbeddedServer) -> None:
    """A server is in no process group of ours, so the pipeline can drain first."""
    assert os.getpgid(server.pid) != os.getpgid(0)
    assert os.getsid(server.pid) != os.getsid(0)
