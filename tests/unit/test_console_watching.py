"""Looks that visitors share, and the stream that tells of them."""

import asyncio
import threading
import time

import pytest

from dashboards.web.live import Pulse
from dashboards.web.watching import Watch


def wait_for(watch: Watch[int], value: int) -> None:
    """Wait until the watch shows this."""
    end = time.monotonic() + 10
    while watch.now().value != value:
        assert time.monotonic() < end
        time.sleep(0.005)


def test_many_visitors_are_one_look() -> None:
    """However many ask while it is fresh."""
    looks: list[int] = []
    watch = Watch(lambda: looks.append(1) or len(looks), good_for=3600)  # type: ignore[func-returns-value]
    assert [watch.now().value for _ in range(5)] == [1] * 5
    assert len(looks) == 1


def test_what_is_old_is_shown_while_a_new_look_is_made() -> None:
    """Nobody waits for it."""
    looks, go_on = iter(range(10)), threading.Event()

    def look() -> int:
        """Wait at the second look and later ones."""
        number = next(looks)
        if number:
            go_on.wait(10)
        return number

    watch = Watch(look, good_for=0)
    assert watch.now().value == 0
    assert watch.now().value == 0
    go_on.set()
    wait_for(watch, 1)


def test_who_needs_what_is_fresh_waits_for_it() -> None:
    """And looks no more often than others."""
    looks = iter(range(10))
    never_good = Watch(lambda: next(looks), good_for=-1)
    never_good.fresh()
    time.sleep(0.001)  # longer than twenty looks at a list take
    assert never_good.fresh() == 1
    kept = Watch(lambda: next(looks), good_for=3600)
    assert kept.fresh() == kept.fresh() == kept.now().value == 2


def test_what_was_forgotten_is_looked_at_again() -> None:
    """By whoever asks next."""
    looks = iter(range(10))
    watch = Watch(lambda: next(looks), good_for=3600)
    assert watch.now().value == 0
    watch.forget()
    assert watch.now().value == 1


def test_a_look_that_fails_is_raised_where_nothing_is_known_or_it_is_too_old() -> None:
    """An old value does not stand for a fresh one for ever."""
    looks = iter([1, OSError("away"), OSError("away")])

    def look() -> int:
        """Fail but at the first look."""
        found = next(looks)
        if isinstance(found, OSError):
            raise found
        return found

    watch = Watch(look, good_for=3600, at_most=0)
    assert watch.now().value == 1
    with pytest.raises(OSError, match="away"):
        watch.now()


def test_one_look_feeds_every_stream_and_a_slow_reader_gets_the_newest() -> None:
    """A hundred streams, and as many looks as for one."""
    looks: list[int] = []

    def look() -> dict[str, int]:
        """Count the looks."""
        looks.append(1)
        return {"seen": len(looks)}

    async def scene() -> None:
        """Listen for a while."""
        pulse = Pulse(look, poll_seconds=0.01)
        streams = [pulse.stream() for _ in range(100)]
        for stream in streams:
            assert await anext(stream) == "retry: 3000\n\n"
        assert pulse.readers == 100
        for stream in streams:
            assert "event: pulse" in await anext(stream)
        missed = len(looks)
        while len(looks) < missed + 5:  # noqa: ASYNC110 - the fact is a thread's
            await asyncio.sleep(0.01)
        newest = await anext(streams[0])
        assert int(newest.partition('"seen": ')[2].partition("}")[0]) >= missed + 4
        assert len(looks) < missed + 20
        for stream in streams:
            await stream.aclose()  # type: ignore[attr-defined]
        assert pulse.readers == 0

    asyncio.run(scene())


def test_a_look_that_fails_is_told_to_every_reader() -> None:
    """And the stream goes on."""

    def look() -> dict[str, int]:
        """Fail."""
        raise OSError("secret of the server")

    async def scene() -> None:
        """Listen for a while."""
        pulse = Pulse(look, poll_seconds=0.01)
        stream = pulse.stream()
        await anext(stream)
        told = await anext(stream)
        assert told == 'event: trouble\ndata: {"error": "could not look: OSError"}\n\n'
        await stream.aclose()  # type: ignore[attr-defined]

    asyncio.run(scene())
