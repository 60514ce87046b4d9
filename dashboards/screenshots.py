"""`python -m dashboards.screenshots`: take the pictures in docs/pictures anew.

Embedded servers, two workers, a day of flights of which some come late and some can't be
understood, and a browser. What is shown has been done by the pipeline; only the hour in the
charts is made up, of the times of day at which the flights of January departed and arrived.
"""

from __future__ import annotations

import argparse
import io
import random
import sys
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import accumulate
from pathlib import Path
from shutil import which
from tempfile import TemporaryDirectory
from typing import Final, Literal, NamedTuple

from PIL import Image
from playwright.sync_api import Browser, expect, sync_playwright
from pydantic import SecretStr

from benchmarks import flights
from benchmarks.feeding import feed, processes, wait_for_workers, wait_until_idle
from dashboards.access import Access
from dashboards.app import create_app
from dashboards.serving import served
from pipeline import Event
from pipeline.declarations import Lane
from pipeline.metrics.catalogue import E2E_EDGES
from pipeline.metrics.readings import Reading
from pipeline.queue import RINGS
from pipeline.settings import Settings
from workers import logs
from workers.bootstrap import Application, application, process_name, servers

PICTURES: Final = Path(__file__).parents[1] / "docs" / "pictures"
FLIGHTS: Final = 842
"""Those of 1 January."""
JANUARY: Final = 27_004
SEED: Final = 2013
EACH_BAD: Final = 70
"""One of so many plans is written in local time, which the handler refuses."""
COLOURS: Final = 200
HANDLERS: Final = "handlers.appointments"
WIDE: Final = (1280, 860)
NARROW: Final = (390, 844)
SILENT: Final = range(150, 163)
"""Readings that are missing, as while no sweeper runs."""


class Shot(NamedTuple):
    """A picture.

    Attributes:
        name: of its file.
        path: of the page.
        size: of the window, in pixels.
        colours: of the page.
        at: what is scrolled to; the top of the page else.
    """

    name: str
    path: str
    size: tuple[int, int] = WIDE
    colours: Literal["light", "dark"] = "light"
    at: str = ""


BAD: Final = "B61103-JFK-20130101-0@B6/airline"
SHOTS: Final = (
    Shot("overview", "/ops/"),
    Shot("overview-dark", "/ops/", colours="dark"),
    Shot("overview-phone", "/ops/", NARROW, at="#course"),
    Shot("queues", "/ops/queues"),
    Shot("failed", "/ops/failed/group?handler=appointments.apply&error=ValueError"),
    Shot("event", f"/ops/events/{BAD.replace('@', '%40').replace('/', '%2F')}"),
    Shot("late", "/ops/late"),
    Shot("entity", "/ops/entities/B6/2013-01-01-B61103-JFK"),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Take all pictures."""
    parser = argparse.ArgumentParser(prog="python -m dashboards.screenshots", description=__doc__)
    parser.add_argument("--out", type=Path, default=PICTURES, help="folder; in the repository else")
    asked = parser.parse_args(arguments)
    logs.configure("error", process=process_name("screenshots"))
    with TemporaryDirectory() as folder:
        settings = Settings().model_copy(update=_changes(Path(folder)))
        with (
            servers(settings) as where,
            application(settings, where) as app,
            # Without a sweeper, which would add readings of its own to those that are made up.
            processes(settings, where, sweeper=False) as supervisor,
        ):
            wait_for_workers(app, supervisor)
            feed(app, day_of_flights(), tick=supervisor.tend)
            wait_until_idle(app, tick=supervisor.tend)
            make_up_an_hour(app, app.clock.now())
            with served(create_app(app, where.redis_url, Access(settings))) as address:
                _take(address, settings, asked.out)
    return 0


def _changes(folder: Path) -> dict[str, object]:
    return {
        "mongo_url": None,
        "redis_url": None,
        "data_dir": folder,
        "handlers": [HANDLERS],
        "workers": 2,
        "max_attempts": 1,
        "metrics_port": 0,
        "console_token": SecretStr("of the pictures"),
        "console_badge": "DEMO",
        "log_level": "error",
    }


def day_of_flights() -> Iterator[Event]:
    """The events of a day, some late, some twice, and some plans in local time."""
    stream = flights.stream(flights.data_file(), FLIGHTS)
    told = flights.disorder(stream, SEED, injected=flights.Injected(), window=300)
    bad = {BAD}
    for number, event in enumerate(told):
        if event.seq == 0 and (event.key in bad or number % EACH_BAD == 0):
            bad.add(event.key)  # its copy says the same
            local = event.payload["starts_at"].removesuffix("+00:00")
            yield event.model_copy(update={"payload": event.payload | {"starts_at": local}})
        else:
            yield event


def make_up_an_hour(app: Application, now: datetime) -> None:
    """Fill the charts, as if the flights of January had come within an hour, by time of day."""
    hour, chance = RINGS["hour"], random.Random(SEED)  # noqa: S311 - a picture, not a secret
    slots = hour.seconds // hour.step
    come = Counter(
        int((fact.at.hour * 60 + fact.at.minute) * slots / (24 * 60))
        for flight in _january()
        for fact in flights.facts_of(flight)[1:]
    )
    handlers = sum(1 for _ in app.registry)
    grown = [_slot(come[n % slots], handlers, chance) for n in range(slots + 1)]
    totals = accumulate(grown, _added)
    for n, reading in enumerate(totals):
        if n not in SILENT:
            at = now.timestamp() - hour.step * (slots - n)
            app.readings.keep(reading._replace(at=at), [hour])


def _january() -> Iterator[flights.Flight]:
    read = flights.read_flights(flights.data_file())
    return (flight for _, flight in zip(range(JANUARY), read, strict=False))


def _slot(events: int, handlers: int, chance: random.Random) -> Reading:
    """What came in one step."""
    took = [0.0] * (len(E2E_EDGES) + 1)
    done = events * handlers
    for _ in range(done):
        took[bisect_left(E2E_EDGES, chance.lognormvariate(-1.8 + events / 250, 0.6))] += 1
    return Reading(
        0.0,
        {
            "accepted": events,
            "done": done,
            "failed": chance.choice([0] * 9 + [4]) if events else 0,
            "late": sum(chance.random() < 1 / 20 for _ in range(events)),
        },
        took,
        {
            Lane.OBSERVERS.value: int(events * chance.uniform(0.02, 0.08)),
            Lane.ACTIONS.value: int(events * chance.uniform(0.05, 0.2)),
            Lane.EFFECTS.value: 0,
            Lane.REPAIR.value: 0,
        },
    )


def _added(before: Reading, come: Reading) -> Reading:
    counted = {name: n + come.counted[name] for name, n in before.counted.items()}
    took = [old + new for old, new in zip(before.took, come.took, strict=True)]
    return Reading(0.0, counted, took, come.waiting)


def _take(address: str, settings: Settings, folder: Path) -> None:
    assert settings.console_token is not None  # noqa: S101 - it is one of our changes
    token = settings.console_token.get_secret_value()
    folder.mkdir(parents=True, exist_ok=True)
    found = which("chromium") or which("chromium-browser")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=found, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        for shot in SHOTS:
            path = folder / f"{shot.name}.png"
            path.write_bytes(small(_picture(browser, address, token, shot)))
            sys.stdout.write(f"{path}: {path.stat().st_size / 1024:.0f} kB\n")
        browser.close()


def _picture(browser: Browser, address: str, token: str, shot: Shot) -> bytes:
    width, height = shot.size
    context = browser.new_context(
        base_url=address,
        viewport={"width": width, "height": height},
        color_scheme=shot.colours,
        reduced_motion="reduce",
        extra_http_headers={"authorization": f"Bearer {token}"},
    )
    page = context.new_page()
    answer = page.goto(shot.path)
    if answer is None or not answer.ok:
        raise RuntimeError(f"{shot.path} could not be opened: {answer and answer.status}")
    expect(page.locator("main")).not_to_contain_text("loading …")
    for place in page.locator("[data-chart]").all():
        expect(place.locator("canvas")).to_be_visible()
    page.locator(shot.at or "body").evaluate("(spot) => spot.scrollIntoView()")
    taken = page.screenshot()
    context.close()
    return taken


def small(png: bytes) -> bytes:
    """The same picture in few colours, which is all that a page of text and lines has."""
    told = io.BytesIO()
    picture = Image.open(io.BytesIO(png)).convert("RGB")
    picture.quantize(COLOURS, dither=Image.Dither.NONE).save(told, "PNG", optimize=True)
    return told.getvalue()


if __name__ == "__main__":
    sys.exit(main())
