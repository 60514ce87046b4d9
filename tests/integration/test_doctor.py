"""The doctor: one line for everything the pipeline needs, and no secret in any of them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pymongo
import pytest
import redis

from pipeline.errors import Unavailable
from workers.doctor import Check, checks, without_secret
from workers.embedded import MONGOD, EmbeddedMongo, EmbeddedRedis
from workers.embedded.process import end, free_port, listens, spawn
from workers.embedded.server import START_PATIENCE
from workers.initiation import initiate

NOBODY = "127.0.0.1:1"  # a port nobody listens on


def look(
    data_dir: Path, redis_url: str | None = None, mongo_url: str | None = None
) -> dict[str, Check]:
    """Run every check, by name."""
    found = list(checks(redis_url=redis_url, mongo_url=mongo_url, data_dir=data_dir))
    by_name = {check.name: check for check in found}
    assert len(by_name) == len(found), "two checks have one name"
    return by_name


@pytest.fixture
def standalone(tmp_path: Path) -> Iterator[str]:
    """Run a MongoDB that is no replica set, as a package manager installs it."""
    port = free_port()
    data = tmp_path / "standalone"
    data.mkdir()
    command = [str(MONGOD.find()), "--dbpath", str(data), "--port", str(port), "--nounixsocket"]
    with (data / "claim").open("w") as claim:
        process = spawn(command, log=data / "log", claim=claim.fileno())
    try:
        while not listens(port):
            assert process.poll() is None
        yield f"mongodb://127.0.0.1:{port}/"
    finally:
        end(process, patience=START_PATIENCE)


def test_good_servers_pass_every_check(tmp_path: Path, redis_url: str, mongo_url: str) -> None:
    """With Redis and a replica set as they should be there is nothing to hint at."""
    found = look(tmp_path, redis_url, mongo_url)
    bad = [check for check in found.values() if not check.ok or check.hint]
    assert [check for check in bad if check.name != "cores"] == []
    assert found["mongodb replica set"].detail == "pipeline"
    assert found["mongodb transaction"].detail == "commits"
    assert "not needed" in found["mongod"].detail


def test_the_probes_leave_nothing_in_the_database(tmp_path: Path, mongo_url: str) -> None:
    """What was written to see whether writing works is gone."""
    host = mongo_url.partition("/?")[0]
    look(tmp_path, mongo_url=f"{host}/probed?replicaSet=pipeline")
    look(tmp_path, mongo_url=f"{host}/probed?replicaSet=pipeline")
    with pymongo.MongoClient[dict[str, Any]](mongo_url) as client:
        assert client["probed"].list_collection_names() == []


def test_without_addresses_the_programs_to_embed_are_looked_at(tmp_path: Path) -> None:
    """Each is named with version and place; servers that do not run are no fault."""
    found = look(tmp_path)
    assert found["redis-server"].detail.endswith("redis-server")
    assert found["mongod"].detail.endswith("mongod")
    assert found["redis"].ok
    assert found["mongodb"].ok
    assert not (tmp_path / "redis").exists()


def test_embedded_servers_that_run_are_checked(tmp_path: Path) -> None:
    """A folder is enough to find them."""
    with EmbeddedRedis(tmp_path), EmbeddedMongo(tmp_path, cache_gb=0.25):
        found = look(tmp_path)
    assert found["redis persistence"].detail == "append-only file"
    assert found["mongodb majority"].ok


def test_a_standalone_mongodb_is_told_how_to_become_a_replica_set(
    tmp_path: Path, standalone: str
) -> None:
    """It is reachable, and the one thing in the way comes with its way out."""
    found = look(tmp_path, mongo_url=standalone)
    assert found["mongodb"].ok
    assert not found["mongodb replica set"].ok
    assert "pipeline initiate" in found["mongodb replica set"].hint
    assert "mongodb transaction" not in found
    with pytest.raises(Unavailable, match="not started with replication enabled"):
        initiate(f"{standalone}?replicaSet=pipeline", 60)


def test_a_redis_that_evicts_or_forgets_is_told_so(tmp_path: Path) -> None:
    """Both settings can lose queued work."""
    with EmbeddedRedis(tmp_path) as url, redis.Redis.from_url(url) as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        client.config_set("appendonly", "no")
        found = look(tmp_path, redis_url=url)
    assert not found["redis memory"].ok
    assert "noeviction" in found["redis memory"].hint
    assert not found["redis persistence"].ok
    assert "appendonly yes" in found["redis persistence"].hint


def test_servers_that_do_not_answer_are_told_with_the_setting_to_correct(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The failure is a check's result, not an exception."""
    monkeypatch.setattr("workers.doctor.SERVER_TIMEOUT", 0.2)
    found = look(tmp_path, f"redis://{NOBODY}/0", f"mongodb://{NOBODY}/")
    assert not found["redis"].ok
    assert "PIPELINE_REDIS_URL" in found["redis"].hint
    assert not found["mongodb"].ok
    assert "PIPELINE_MONGO_URL" in found["mongodb"].hint


@pytest.mark.parametrize("password", ["hunter2", "hun/ter2", "hun@ter2", "hun:ter2", "hun?ter2"])
def test_no_check_shows_a_password(
    tmp_path: Path, password: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even one that makes the address wrong."""
    monkeypatch.setattr("workers.doctor.SERVER_TIMEOUT", 0.2)
    redis_url = f"redis://me:{password}@{NOBODY}/0"
    mongo_url = f"mongodb://me:{password}@{NOBODY}/?replicaSet=x"
    shown = str(look(tmp_path, redis_url, mongo_url))
    assert "hun" not in shown
    assert "ter2" not in shown


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://h:6379/0", "redis://h:6379/0"),
        ("redis://:pw@h:6379/0", "redis://:***@h:6379/0"),
        ("redis://h/0?password=pw&db=1", "redis://h/0?password=***&db=1"),
        ("mongodb://u:p@w@a:1,b:2/d?replicaSet=x", "mongodb://u:***@a:1,b:2/d?replicaSet=x"),
        ("mongodb+srv://u:pw@h/", "mongodb+srv://u:***@h/"),
        ("u:pw@h", "u:***@h"),
        (
            "mongodb://h/?tlsCertificateKeyFilePassword=pw&tls=true",
            "mongodb://h/?tlsCertificateKeyFilePassword=***&tls=true",
        ),
    ],
)
def test_an_address_is_shown_without_its_secrets(url: str, shown: str) -> None:
    """Passwords are masked wherever an address may hold one; the rest stays readable."""
    assert without_secret(url) == shown


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    """A file where a folder should be is a fault with a hint."""
    in_the_way = tmp_path / "file"
    in_the_way.touch()
    found = look(in_the_way / "data")["data folder"]
    assert not found.ok
    assert "PIPELINE_DATA_DIR" in found.hint


def test_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Less than a gibibyte is too little to start with."""
    monkeypatch.setattr("workers.doctor.FREE_DISK", 2**80)
    assert not look(tmp_path)["data folder"].ok


def test_a_missing_mongod_is_told_with_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sentence of the embedded server is the hint."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    found = look(tmp_path)["mongod"]
    assert not found.ok
    assert "PIPELINE_MONGO_URL" in found.hint
