"""Pins in a real browser: seen on the charts, named, reached by keys, and led by to their notes."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest
from playwright.sync_api import Browser, Page, expect
from redis import Redis

from pipeline.queue import RINGS, Readings
from tests.dashboards.browsing import faults_of, opened
from tests.dashboards.charted import keep, made_up
from tests.dashboards.conftest import SCRIPT
from tests.dashboards.pinned import ended, note
from tests.dashboards.test_charts_seen import EVENTS, NOTES, drawn
from tests.integration.letters import Letters

RAIL: Final = f"{EVENTS} .rail"
PINS: Final = f"{RAIL} a"
PARTS: Final = {"/ops/": ("per_second", "latency_seconds"), "/ops/queues": ("waiting",)}
MIDDLES: Final = """(chart) => {
  const figure = document.querySelector(`[data-chart=${chart}]`);
  const plot = figure.querySelector(".u-over").getBoundingClientRect();
  return [...figure.querySelectorAll(".rail a")].map((link) => {
    const box = link.getBoundingClientRect();
    return (box.left + box.width / 2 - plot.left) * 100 / plot.width;
  });
}"""
"""In which hundredths of a chart's width the middles of its links are."""


@pytest.fixture
def hour(pipeline: Letters, redis_server: Redis) -> datetime:
    """Give the end of an hour of readings, with five things done; three within five seconds."""
    readings = Readings(redis_server)
    now = datetime.fromtimestamp(keep(readings, range(361), last=360), UTC)
    records = pipeline.store.records
    records.audit.add(note(now - timedelta(minutes=45), "undo", actor="bob"))
    records.operations.add(ended(now - timedelta(minutes=30)))
    for second, action in enumerate(("acknowledge", "reopen", "discard")):
        records.audit.add(note(now - timedelta(minutes=15, seconds=5 - second), action))
    return now


def clock(at: datetime) -> str:
    """As charts write it."""
    return f"{at:%H:%M:%S}"


def names(page: Page) -> list[str]:
    """What the links over a chart are called."""
    expect(page.locator(PINS).first).to_be_visible()
    found: list[str] = page.locator(PINS).evaluate_all(
        "all => all.map((one) => one.getAttribute('aria-label'))"
    )
    return found


def test_pins_stand_where_something_was_done(
    browser: Browser, address: str, hour: datetime
) -> None:
    """On each chart: a line at its moment, under a link that says what, and when."""
    with opened(browser, address, "viewer") as page:
        for place, charts in PARTS.items():
            page.goto(place)
            for chart in charts:
                lines = drawn(page, f"[data-chart={chart}]", "--pin")
                assert sum(lines) in range(3, 7), (place, chart)
                links = page.evaluate(MIDDLES, chart)
                assert links == [pytest.approx(middle, abs=1.5) for middle in (25, 50, 75)]
                for middle in (25, 50, 75):
                    assert any(lines[middle - 1 : middle + 2]), (place, chart, middle)
        page.goto("/ops/")
        ago = [timedelta(minutes=45), timedelta(minutes=30), timedelta(minutes=15, seconds=5)]
        first, second, third = names(page)
        assert first == f"{clock(hour - ago[0])} undo by bob"
        assert second == f"{clock(hour - ago[1])} requeue of 1,200 letters done"
        assert third.startswith(f"3: {clock(hour - ago[2])} acknowledge by ann; ")
        assert third.endswith(" discard by ann")
        expect(page.locator(PINS).last).to_have_text("3")


def test_pins_are_read_by_mouse_and_by_keys(browser: Browser, address: str, hour: datetime) -> None:
    """One stop of the Tab key for all of a chart; arrow keys go on; Enter leads to the notes."""
    with opened(browser, address, "viewer") as page:
        told, pins = names(page), page.locator(PINS)
        readout = page.locator(f"{EVENTS} .readout")
        pins.first.hover()
        expect(readout).to_have_text(told[0])
        page.mouse.move(0, 0)
        expect(readout).to_have_text("")
        page.locator(f"{EVENTS} .keys button").last.focus()
        page.keyboard.press("Tab")
        expect(pins.last).to_be_focused()
        expect(readout).to_have_text(told[2])
        pins.first.hover()
        expect(readout).to_have_text(told[0])
        page.mouse.move(0, 0)
        expect(readout).to_have_text(told[2])
        for key, place in (("ArrowLeft", 1), ("Home", 0), ("ArrowLeft", 0), ("ArrowRight", 1)):
            page.keyboard.press(key)
            expect(pins.nth(place)).to_be_focused()
            expect(readout).to_have_text(told[place])
        page.keyboard.press("Tab")
        expect(page.locator(f"{EVENTS} .plot")).to_be_focused()
        expect(readout).to_have_text("")
        page.keyboard.press("Shift+Tab")
        expect(pins.nth(1)).to_be_focused()
        page.keyboard.press("End")
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name="Who did what")).to_be_visible()
        actions = page.locator("tbody tr td:nth-child(3)")
        expect(actions).to_have_text(["discard", "reopen", "acknowledge"])


def test_pins_come_and_go_under_who_reads_them(
    browser: Browser, address: str, pipeline: Letters, redis_server: Redis, hour: datetime
) -> None:
    """With the next reading; who is on one stays there."""
    with opened(browser, address, "viewer") as page:
        names(page)
        page.locator(PINS).nth(1).focus()
        before = page.locator(PINS).nth(1).get_attribute("aria-label")
        pipeline.store.records.audit.add(note(hour - timedelta(minutes=5), "verify"))
        pipeline.store.records.audit.add(note(hour - timedelta(minutes=55), "redo"))
        told = datetime.now(UTC).timestamp() + 10
        Readings(redis_server).keep(made_up(told, 500), [RINGS["hour"]])
        expect(page.locator(PINS)).to_have_count(5)
        expect(page.locator(PINS).nth(2)).to_be_focused()
        expect(page.locator(PINS).nth(2)).to_have_attribute("aria-label", str(before))


def test_pins_are_in_the_table(browser: Browser, address: str, hour: datetime) -> None:
    """Each of them with its link, beside the figures, on both pages."""
    with opened(browser, address, "viewer") as page:
        for place in PARTS:
            page.goto(place)
            page.get_by_text("The figures as a table").click()
            links = page.locator("[data-figures] td a")
            words = ["discard", "reopen", "acknowledge"]
            expect(links).to_have_text(
                [f"{word} by ann" for word in words]
                + ["requeue of 1,200 letters done", "undo by bob"]
            )
            expect(page.locator("[data-figures] table")).to_have_count(2)
        links.first.click()
        expect(page.locator("tbody tr")).to_have_count(1)
        expect(page.locator("tbody tr")).to_contain_text("discard")


def test_pins_have_no_serious_fault_and_run_nothing(
    browser: Browser, address: str, pipeline: Letters, hour: datetime
) -> None:
    """By axe in both colours, on a telephone, at the edges of the time, with scripts as names."""
    for ago in (timedelta(minutes=59, seconds=30), timedelta(seconds=0)):
        pipeline.store.records.audit.add(note(hour - ago, "undo", actor=SCRIPT))
    with opened(browser, address, "viewer", viewport={"width": 360, "height": 740}) as page:
        assert any(SCRIPT in name for name in names(page))
        page.locator(PINS).first.focus()
        expect(page.locator(f"{EVENTS} .readout")).to_contain_text(SCRIPT)
        page.get_by_text("The figures as a table").click()
        expect(page.locator("[data-figures] td a").first).to_be_visible()
        assert faults_of(page) == []
        assert page.title() != "run"
        assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_pins_that_cant_be_loaded_are_told_beside_the_charts(
    browser: Browser, address: str, hour: datetime
) -> None:
    """What the charts show is known all the same."""
    refused: dict[str, Any] = {"status": 503, "json": {"error": "MongoDB is away"}}
    with opened(browser, address, "viewer", faults=True) as page:
        page.route("**/api/v1/pins*", lambda route: route.fulfill(**refused))
        page.reload()
        told = page.locator(NOTES)
        expect(told).to_have_text("⚠ could not load what persons did: MongoDB is away")
        expect(told).to_have_class(re.compile("bad"))
        expect(page.locator(EVENTS)).to_be_visible()
        expect(page.locator(RAIL)).to_be_hidden()
