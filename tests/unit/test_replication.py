"""A replica set's configuration when members have moved, and who reads from whom."""

from typing import Any

from workers.embedded.replication import joined, moved

CONFIG: dict[str, Any] = {
    "_id": "pipeline",
    "version": 3,
    "term": 7,
    "members": [{"_id": n, "host": f"127.0.0.1:2000{n}", "votes": 1} for n in range(3)],
    "settings": {"replicaSetId": "kept", "electionTimeoutMillis": 10_000},
}
HOSTS = ["127.0.0.1:20000", "127.0.0.1:20001", "127.0.0.1:20002"]


def test_members_that_stayed_need_no_new_configuration() -> None:
    """Whatever the settings: they are given when a set is made."""
    assert moved(CONFIG, HOSTS, {"heartbeatIntervalMillis": 500}) is None


def test_who_has_moved_gets_its_new_address_and_keeps_the_rest() -> None:
    """The others stay as they were, and so does the identity of the set."""
    hosts = [HOSTS[0], "127.0.0.1:30000", HOSTS[2]]
    config = moved(CONFIG, hosts, {"electionTimeoutMillis": 2_000})
    assert config is not None
    assert config["version"] == 4
    assert config["members"] == [
        {"_id": n, "host": host, "votes": 1} for n, host in enumerate(hosts)
    ]
    assert config["settings"] == {"replicaSetId": "kept", "electionTimeoutMillis": 2_000}
    assert (config["_id"], config["term"]) == ("pipeline", 7)
    assert CONFIG["version"] == 3


def test_a_set_can_grow_and_shrink() -> None:
    """New members come last; who is not named is none any more."""
    grown = moved(CONFIG, [*HOSTS, "127.0.0.1:20003"], {})
    assert grown is not None
    assert grown["members"][3] == {"_id": 3, "host": "127.0.0.1:20003"}
    shrunk = moved(CONFIG, HOSTS[:1], {})
    assert shrunk is not None
    assert shrunk["members"] == CONFIG["members"][:1]


def test_members_are_joined_by_reading_from_the_primary_or_from_each_other() -> None:
    """Whatever the order they are named in."""
    assert joined(1, {})
    assert joined(1, {2: 1, 3: 1})
    assert joined(1, {3: 2, 2: 1})
    assert joined(1, {4: 3, 3: 2, 2: 1})


def test_who_is_choosing_or_reads_in_a_circle_is_not_joined() -> None:
    """Nor is who reads from such a one."""
    assert not joined(1, {2: 1, 3: None})
    assert not joined(1, {2: None, 3: 2})
    assert not joined(1, {2: 3, 3: 2})
