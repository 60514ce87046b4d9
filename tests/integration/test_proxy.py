"""The proxy in front of a real Redis and MongoDB: what it passes, and each of its faults."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import pymongo
import pytest
import redis
from pymongo.database import Database
from pymongo.errors import AutoReconnect
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.acceptance.conftest import wait_for
from workers.embedded import Proxy

Document = dict[str, Any]

NEVER = 3600.0  # seconds; longer than any test waits
SHORT = 0.3  # seconds until a client gives up on an answer that will not come


def client_of(port: int, timeout: float = 30.0) -> redis.Redis:
    """Connect to Redis on a port; it never tries twice."""
    return redis.Redis("127.0.0.1", port, socket_timeout=timeout, retry=Retry(NoBackoff(), 0))


def port_of(url: str) -> int:
    """Read the port out of a server's address."""
    port = urlsplit(url).port
    assert port is not None
    return port


@pytest.fixture
def proxy(redis_server: redis.Redis, redis_url: str) -> Iterator[Proxy]:
    """Give a proxy in front of an empty Redis."""
    with Proxy(port_of(redis_url)) as proxy:
        yield proxy


def test_what_it_passes_it_passes_whole(proxy: Proxy, redis_server: redis.Redis) -> None:
    """Far more than one chunk, in both directions, by several clients at once."""
    values = [bytes([n]) * 3_000_000 for n in range(4)]

    def store(number: int) -> None:
        with client_of(proxy.port) as client:
            client.set(f"value-{number}", values[number])
            assert client.get(f"value-{number}") == values[number]

    threads = [threading.Thread(target=store, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [redis_server.get(f"value-{n}") for n in range(4)] == values


def test_an_end_of_either_side_reaches_the_other(proxy: Proxy, redis_server: redis.Redis) -> None:
    """Closed connections are not kept."""
    with client_of(proxy.port) as client:
        assert client.ping()
        assert proxy.connections == 1
    wait_for(lambda: proxy.connections == 0, "the client's end is passed on")
    with socket.create_connection(("127.0.0.1", proxy.port)) as raw:
        raw.sendall(b"CLIENT ID\r\n")
        number = raw.recv(100).strip(b":\r\n").decode()
        assert redis_server.client_kill_filter(_id=number) == 1
        assert raw.recv(1) == b""
    wait_for(lambda: proxy.connections == 0, "the server's end is passed on")


def test_a_transaction_goes_through(database: Database[Document], mongo_url: str) -> None:
    """MongoDB's own protocol passes unchanged."""
    with (
        Proxy(port_of(mongo_url)) as proxy,
        pymongo.MongoClient[Document](port=proxy.port, directConnection=True) as client,
        client.start_session() as session,
        session.start_transaction(),
    ):
        client[database.name].values.insert_one({"_id": 1}, session=session)
    assert database.values.find_one() == {"_id": 1}


def test_cut_ends_who_waits_and_lets_the_next_one_in(
    proxy: Proxy, redis_server: redis.Redis
) -> None:
    """An open connection learns of it at once, and a new one works."""
    failed: list[Exception] = []

    def wait() -> None:
        try:
            client_of(proxy.port, NEVER).blpop(["never"], timeout=0)
        except redis.ConnectionError as error:
            failed.append(error)

    waiting = threading.Thread(target=wait)
    waiting.start()
    wait_for(lambda: redis_server.info("clients")["blocked_clients"] == 1, "a client waits")
    proxy.cut()
    waiting.join()
    assert len(failed) == 1
    assert proxy.connections == 0
    wait_for(lambda: redis_server.info("clients")["blocked_clients"] == 0, "the server knows too")
    with client_of(proxy.port) as client:
        assert client.ping()


def test_cut_reaches_a_connection_that_was_made_just_before(proxy: Proxy) -> None:
    """Who has connected is cut off, although the proxy was busy and has not noticed yet."""
    proxy._loop.call_soon_threadsafe(time.sleep, SHORT)  # noqa: SLF001 - nothing else makes it busy
    with socket.create_connection(("127.0.0.1", proxy.port)) as client:
        proxy.cut()
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    assert proxy.connections == 0


def test_cut_while_clients_connect_leaves_no_connection_behind(proxy: Proxy) -> None:
    """Also of those whose task had not begun: it would never close its socket."""

    def connect() -> None:
        for _ in range(300):
            with suppress(OSError):  # cut off before it knew that it was connected
                socket.create_connection(("127.0.0.1", proxy.port)).close()

    threads = [threading.Thread(target=connect, daemon=True) for _ in range(3)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        proxy.cut()
    proxy.cut()
    assert proxy.connections == 0


def test_a_write_that_is_cut_off_is_told_to_the_client(
    mongo: pymongo.MongoClient[Document], database: Database[Document], mongo_url: str
) -> None:
    """MongoDB's client learns that the answer is lost, and goes on over a new connection."""
    database.values.insert_one({"_id": 1})
    failed: list[Exception] = []
    with (
        Proxy(port_of(mongo_url)) as proxy,
        pymongo.MongoClient[Document](
            port=proxy.port, directConnection=True, retryWrites=False, appname="proxied"
        ) as client,
        mongo.start_session() as session,
    ):
        values = client[database.name].values

        def write() -> None:
            try:
                values.update_one({"_id": 1}, {"$set": {"by": "proxied"}})
            except AutoReconnect as error:
                failed.append(error)

        def held_up() -> bool:
            mine = {"appName": "proxied", "op": "update"}
            found = mongo.admin.aggregate([{"$currentOp": {}}, {"$match": mine}])
            return bool(list(found))

        with session.start_transaction():
            database.values.update_one({"_id": 1}, {"$set": {"by": "us"}}, session=session)
            writing = threading.Thread(target=write)
            writing.start()
            wait_for(held_up, "the write waits for the transaction")
            proxy.cut()
            writing.join()
            session.abort_transaction()
        assert len(failed) == 1
        assert values.find_one({"_id": 1})


def test_refused_are_new_connections_only(proxy: Proxy) -> None:
    """An open one goes on, and later the same port takes clients again."""
    with client_of(proxy.port) as early:
        early.set("kept", "1")
        proxy.refuse(True)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", proxy.port))
        assert early.get("kept") == b"1"
        proxy.refuse(False)
        with client_of(proxy.port) as late:
            assert late.get("kept") == b"1"


def test_delayed_bytes_come_late_and_not_changed(proxy: Proxy, redis_server: redis.Redis) -> None:
    """A long delay keeps a request from the server; without it the next one arrives."""
    with client_of(proxy.port, SHORT) as client:
        client.set("kept", "before")
        proxy.delay(NEVER)
        with pytest.raises(redis.TimeoutError):
            client.set("kept", "during")
        proxy.delay(0)
        assert client.get("kept") == b"before"
        proxy.delay(0.01)
        client.set("kept", b"x" * 200_000)
    assert redis_server.get("kept") == b"x" * 200_000


def test_the_servers_own_words_are_delayed_too(proxy: Proxy, redis_server: redis.Redis) -> None:
    """A message that the server sends by itself does not arrive."""
    with client_of(proxy.port) as client, client.pubsub() as news:
        news.subscribe("news")
        assert news.get_message(timeout=NEVER)
        proxy.delay(NEVER)
        assert redis_server.publish("news", "late") == 1
        assert news.get_message(timeout=SHORT) is None


def test_a_black_hole_swallows_both_directions_and_tells_nobody(
    proxy: Proxy, redis_server: redis.Redis
) -> None:
    """The server never sees the request, the client never an answer, and no connection ends."""
    raw = socket.create_connection(("127.0.0.1", proxy.port), timeout=SHORT)
    with raw, client_of(proxy.port) as client, client.pubsub() as news:
        news.subscribe("news")
        assert news.get_message(timeout=NEVER)
        proxy.black_hole(True)
        raw.sendall(b"SET kept swallowed\r\n")
        assert redis_server.publish("news", "swallowed") == 1
        assert news.get_message(timeout=SHORT) is None
        assert proxy.connections == 2
        assert redis_server.get("kept") is None
        proxy.black_hole(False)
        with pytest.raises(ConnectionResetError):
            raw.recv(1)
        with client_of(proxy.port) as another:
            assert another.set("kept", "1")


def test_a_connection_that_lost_nothing_outlives_the_black_hole(proxy: Proxy) -> None:
    """Only what has a gap is closed."""
    with client_of(proxy.port) as client:
        client.set("kept", "1")
        proxy.black_hole(True)
        proxy.black_hole(False)
        assert proxy.connections == 1
        assert client.get("kept") == b"1"


def test_an_end_in_a_black_hole_is_swallowed_too() -> None:
    """Who gives up is not missed by the other side until the hole is gone."""
    with socket.create_server(("127.0.0.1", 0)) as target, Proxy(target.getsockname()[1]) as proxy:
        with socket.create_connection(("127.0.0.1", proxy.port)):
            server, _ = target.accept()
            proxy.black_hole(True)
        with server:
            server.settimeout(SHORT)
            with pytest.raises(TimeoutError):
                server.recv(1)
            proxy.black_hole(False)
            with pytest.raises(ConnectionResetError):
                server.recv(1)


def test_a_side_that_does_not_read_holds_up_the_other() -> None:
    """The proxy holds a chunk, not what a client pours into it."""
    with socket.create_server(("127.0.0.1", 0)) as deaf, Proxy(deaf.getsockname()[1]) as proxy:
        with socket.create_connection(("127.0.0.1", proxy.port)) as client:
            server, _ = deaf.accept()
            client.settimeout(SHORT)
            with server, pytest.raises(TimeoutError):
                pour(client)
        proxy.cut()


def pour(client: socket.socket) -> None:
    """Send 200 MB, or as much as somebody takes."""
    for _ in range(2_000):
        client.send(b"x" * 100_000)


def test_a_server_that_does_not_listen_is_a_reset(proxy: Proxy) -> None:
    """The proxy does not wait for it."""
    with socket.create_server(("127.0.0.1", 0)) as once:
        port = once.getsockname()[1]
    with Proxy(port) as alone, socket.create_connection(("127.0.0.1", alone.port)) as client:
        with pytest.raises(ConnectionResetError):
            client.recv(1)
        wait_for(lambda: alone.connections == 0, "nothing is kept of it")


def test_nothing_is_left_of_it(redis_url: str) -> None:
    """Its connections, port and thread are gone with the block."""
    with Proxy(port_of(redis_url)) as proxy:
        client = client_of(proxy.port)
        client.ping()
        assert "proxy" in {thread.name for thread in threading.enumerate()}
    assert "proxy" not in {thread.name for thread in threading.enumerate()}
    with pytest.raises(redis.ConnectionError):
        client.ping()
    client.close()
