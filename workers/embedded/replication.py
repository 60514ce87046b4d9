"""Make running servers one replica set, and look at how it stands."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pymongo.errors import ConnectionFailure, OperationFailure, PyMongoError

from workers.embedded.errors import ServerFailed
from workers.embedded.mongod import Document, direct
from workers.embedded.process import LOOPBACK, listens
from workers.embedded.server import POLL


def settle(
    servers: Mapping[int, Path],
    name: str,
    deadline: float,
    settings: Mapping[str, int] | None = None,
) -> None:
    """Make servers one replica set whose members are just these, and wait until all are ready.

    Args:
        servers: Folder of each server, by port, in the order of the members.
        name: Name of the replica set.
        deadline: When to give up, on the monotonic clock.
        settings: The set's settings, where they differ from MongoDB's own.

    Raises:
        ServerFailed: They do not become one in time, or one's data belongs to another set.
    """
    last: PyMongoError | None = None
    configured = False
    while time.monotonic() < deadline:
        try:
            configured = configured or _configure(servers, name, settings or {})
            if ready(list(servers)):
                return
        except (ConnectionFailure, OperationFailure) as error:  # still reading its own set
            last = error
        time.sleep(POLL)
    logs = " and ".join(str(folder / "server.log") for folder in servers.values())
    raise ServerFailed(
        f"MongoDB did not become primary in time ({last or 'no election'}): its log is {logs}."
    )


def ready(ports: Sequence[int]) -> bool:
    """Tell whether one of the servers is primary and all others follow it.

    Each of them must know that the majority has a write of this primary's term: a member of a
    new set that does not could neither keep nor take back what it wrote if it were cut off now.
    And each must read from the primary, or from one that does: who is only about to choose
    would wait for half a minute if its choice froze now, and no write be confirmed meanwhile.
    """
    said = {port: greeting(port) for port in ports}
    leading = [port for port in ports if said[port].get("isWritablePrimary")]
    if len(leading) != 1:
        return False
    term = said[leading[0]]["lastWrite"]["opTime"]["t"]
    following = [port for port in ports if port not in leading and said[port].get("secondary")]
    return (
        len(following) == len(ports) - 1
        and all(
            one["lastWrite"].get("majorityOpTime", {}).get("t") == term for one in said.values()
        )
        and joined(leading[0], {port: _source(port) for port in following})
    )


def greeting(port: int) -> Document:
    """Return what a server says of itself and its set; empty for one that does not answer."""
    if not listens(port):
        return {}
    with direct(port) as client:
        try:
            return dict(client.admin.command("hello"))
        except PyMongoError:
            return {}


def _source(port: int) -> int | None:
    """Name the port that a secondary reads from, or None if it is choosing."""
    with direct(port) as client:
        try:
            host = str(client.admin.command("replSetGetStatus")["syncSourceHost"])
        except PyMongoError:
            return None
    return int(host.rpartition(":")[2]) if host else None


def joined(primary: int, sources: Mapping[int, int | None]) -> bool:
    """Tell whether what the primary writes reaches all that read from it or from each other."""
    reached: set[int | None] = {primary}
    for _ in sources:
        reached |= {port for port, source in sources.items() if source in reached}
    return reached >= set(sources)


def moved(config: Document, hosts: Sequence[str], settings: Mapping[str, int]) -> Document | None:
    """Write a set's configuration anew for members that listen elsewhere than they did.

    Args:
        config: The configuration as it was.
        hosts: Where each member is now, in the order of the members; more are new members.
        settings: The set's settings, where they differ from MongoDB's own.

    Returns:
        The new one, or None where every member is where it was.
    """
    if [member["host"] for member in config["members"]] == list(hosts):
        return None
    known = [*config["members"], *({} for _ in hosts)]
    members = [
        {**old, "_id": number, "host": host}
        for number, (old, host) in enumerate(zip(known, hosts, strict=False))
    ]
    return {
        **config,
        "version": config["version"] + 1,
        "members": members,
        "settings": {**config["settings"], **settings},
    }


def _configure(servers: Mapping[int, Path], name: str, settings: Mapping[str, int]) -> bool:
    """Write down who belongs to the set, unless that is what its servers know already.

    The clients used here have learned that a server knows no sessions; they are closed, and
    callers make their own.
    """
    stored = {port: config for port in servers if (config := _stored(port)) is not None}
    for port, config in stored.items():
        if config["_id"] != name:
            raise ServerFailed(
                f"The data in {servers[port]} belongs to the replica set {config['_id']!r}, not "
                f"{name!r}: use that name, or name another folder with PIPELINE_DATA_DIR."
            )
    hosts = [f"{LOOPBACK}:{port}" for port in servers]
    if not stored:
        members: list[Document] = [{"_id": n, "host": host} for n, host in enumerate(hosts)]
        config = {"_id": name, "members": members, "settings": dict(settings)}
        _administer(next(iter(servers)), "replSetInitiate", config)
        return True
    newest = max(stored, key=lambda port: (stored[port]["version"], stored[port]["term"]))
    config = moved(stored[newest], hosts, settings)
    if config is not None:
        # By force: members that don't know where the others are can't agree on it.
        _administer(newest, "replSetReconfig", config, force=True)
    return True


def _stored(port: int) -> Document | None:
    """Read what a server knows of its set; None for one that knows nothing yet."""
    with direct(port) as client:
        return client.local["system.replset"].find_one()


def _administer(port: int, command: str, config: Document, **options: Any) -> None:
    with direct(port) as client:
        client.admin.command(command, config, **options)
