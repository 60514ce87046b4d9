"""Charts in a real browser: what is known is drawn, what is not is none, and all can be read."""

import re
import time
from typing import Any, Final

import pytest
from playwright.sync_api import Browser, Page, expect
from redis import Redis

from pipeline.queue import RINGS, Readings
from tests.dashboards.browsing import faults_of, opened
from tests.dashboards.charted import keep, made_up

EVENTS: Final = "[data-chart=per_second]"
NOTES: Final = "[data-notes]"
DRAWN: Final = """([figure, line]) => {
  const spot = document.querySelector(figure);
  const said = getComputedStyle(spot).getPropertyValue(line).trim();
  const want = [1, 3, 5].map((at) => parseInt(said.slice(at, at + 2), 16));
  const chart = spot.querySelector("canvas"), box = spot.querySelector(".u-over");
  const scale = chart.width / chart.clientWidth;
  const left = Math.round(box.offsetLeft * scale), wide = Math.round(box.offsetWidth * scale);
  const seen = chart.getContext("2d").getImageData(left, 0, wide, chart.height).data;
  const hundredths = Array(100).fill(false);
  for (let at = 0; at < seen.length; at += 4)
    if (want.every((value, n) => Math.abs(seen[at + n] - value) < 8))
      hundredths[Math.min(99, Math.floor(((at / 4) % wide) * 100 / wide))] = true;
  return hundredths;
}"""
"""In which hundredths of a chart's width there is something in a line's colour."""


@pytest.fixture
def readings(redis_server: Redis) -> Readings:
    """Give those that the console reads."""
    return Readings(redis_server)


def drawn(page: Page, figure: str = EVENTS, line: str = "--line-1") -> list[bool]:
    """In which hundredths of a chart's width a line is drawn."""
    expect(page.locator(f"{figure} canvas")).to_be_visible()
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    found: list[bool] = page.evaluate(DRAWN, [figure, line])
    return found


def test_what_is_known_is_drawn_and_a_gap_is_left_empty(
    browser: Browser, address: str, readings: Readings
) -> None:
    """Of the last hour nothing is known of the first quarter, and of a quarter in its middle."""
    keep(readings, [*range(90, 180), *range(270, 361)], last=360)
    with opened(browser, address, "viewer") as page:
        for place in ("/ops/", "/ops/queues"):
            page.goto(place)
            figures = page.locator("[data-chart]")
            expect(figures.first).to_be_visible()
            for name in figures.evaluate_all("all => all.map((one) => one.dataset.chart)"):
                found = drawn(page, f"[data-chart={name}]")
                assert not any(found[:24]), (place, name)
                assert sum(found[27:48]) >= 15, (place, name)
                assert not any(found[52:74]), (place, name)
                assert sum(found[77:98]) >= 15, (place, name)
            expect(page.locator(NOTES)).to_contain_text("Begins at")


def test_a_chart_is_read_by_keys(browser: Browser, address: str, readings: Readings) -> None:
    """Each moment in words, which a screen reader is told; lines go and come by their buttons."""
    now = keep(readings, range(300), last=299)
    with opened(browser, address, "viewer") as page:
        expect(page.locator(EVENTS)).to_be_visible()
        page.locator(f"{EVENTS} .plot").focus()
        readout = page.locator(f"{EVENTS} .readout")
        expect(readout).to_have_text("")
        page.keyboard.press("End")
        last = time.strftime("%H:%M:%S", time.gmtime(now))
        said = f"{last}: accepted 2/s, done 4/s, failed 0.2/s, late 0.1/s"
        expect(readout).to_have_text(said)
        expect(readout).to_have_attribute("aria-live", "polite")
        page.keyboard.press("ArrowLeft")
        page.keyboard.press("PageUp")
        before = time.strftime("%H:%M:%S", time.gmtime(now - 310))
        expect(readout).to_contain_text(before)
        page.keyboard.press("PageDown")
        page.keyboard.press("ArrowRight")
        expect(readout).to_have_text(said)
        page.keyboard.press("Home")
        expect(readout).to_contain_text("accepted not known")
        button = page.get_by_role("button", name=re.compile("^accepted"))
        assert any(drawn(page))
        button.focus()
        expect(readout).to_have_text("")
        page.keyboard.press("Space")
        expect(button).to_have_attribute("aria-pressed", "false")
        assert not any(drawn(page))
        page.keyboard.press("Space")
        assert any(drawn(page))


def test_charts_follow_new_readings(browser: Browser, address: str, readings: Readings) -> None:
    """By the stream, without a new page; so does the table that is open."""
    keep(readings, range(30), last=31)
    with opened(browser, address, "viewer") as page:
        accepted = page.locator(f"{EVENTS} [data-value=accepted]")
        expect(accepted).to_have_text("2/s")
        page.get_by_text("The figures as a table").click()
        rows = page.locator("[data-figures] tbody tr")
        expect(rows.first).to_contain_text("375 ms")
        readings.keep(made_up(time.time(), 500), [RINGS["hour"]])
        expect(accepted).not_to_have_text("2/s")
        expect(rows.first.locator("td").first).not_to_have_text("2")


def test_a_reading_asks_for_no_other_part_of_the_page(
    browser: Browser, address: str, readings: Readings
) -> None:
    """Where no count has changed, what shows counts is not asked for again."""
    keep(readings, range(30), last=31)
    with opened(browser, address, "viewer") as page:
        accepted = page.locator(f"{EVENTS} [data-value=accepted]")
        expect(accepted).to_have_text("2/s")
        readings.keep(made_up(time.time(), 500), [RINGS["hour"]])
        expect(accepted).not_to_have_text("2/s")  # the stream has told all that it had
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url.partition("?")[0]))
        shown = accepted.inner_text()
        readings.keep(made_up(time.time() + 10, 5000), [RINGS["hour"]])
        expect(accepted).not_to_have_text(shown)
        assert {url.removeprefix(address) for url in asked} == {"/api/v1/readings", "/api/v1/pins"}


def test_a_chart_looks_again_where_nothing_tells_it_to(
    browser: Browser, address: str, readings: Readings
) -> None:
    """Every half a minute, or it would not say that nothing is noted; but not when told to stop."""
    keep(readings, range(30), last=31)
    with opened(browser, address, "viewer", faults=True) as page:
        page.route("**/ops/live", lambda route: route.abort())
        page.clock.install()
        page.reload()
        accepted = page.locator(f"{EVENTS} [data-value=accepted]")
        expect(accepted).to_have_text("2/s")
        readings.keep(made_up(time.time(), 500), [RINGS["hour"]])
        with page.expect_response("**/api/v1/readings*"):
            page.clock.fast_forward(31_000)
        page.get_by_label("Live updates").select_option("off")
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.clock.fast_forward(120_000)
        page.evaluate("fetch('/healthz')")
        assert [url.rpartition("/")[2] for url in asked] == ["healthz"]


def test_an_error_never_looks_like_an_empty_chart(
    browser: Browser, address: str, readings: Readings
) -> None:
    """It is told instead of charts; and beside those that were drawn before, with their time."""
    keep(readings, range(361), last=361)
    refused: dict[str, Any] = {"status": 503, "json": {"error": "could not load: Redis is away"}}
    with opened(browser, address, "viewer", faults=True) as page:
        expect(page.locator(EVENTS)).to_be_visible()
        page.route("**/api/v1/readings*", lambda route: route.fulfill(**refused))
        readings.keep(made_up(time.time(), 361), [RINGS["hour"]])
        told = page.locator(NOTES)
        expect(told).to_contain_text("Redis is away; they show what was known at")
        expect(told).to_have_class("bad")
        expect(page.locator(EVENTS)).to_be_visible()
        page.reload()
        expect(told).to_contain_text("could not load the charts: could not load: Redis is away")
        expect(page.locator(EVENTS)).to_be_hidden()


def test_nothing_noted_is_said_in_words(browser: Browser, address: str) -> None:
    """With what to look for, and without a chart of zeros."""
    with opened(browser, address, "viewer") as page:
        for place in ("/ops/", "/ops/queues?span=day"):
            page.goto(place)
            expect(page.locator(NOTES)).to_contain_text("is one running?")
            expect(page.locator("[data-chart]").first).to_be_hidden()


def test_charts_have_no_serious_fault_for_who_sees_or_hears_them(
    browser: Browser, address: str, readings: Readings
) -> None:
    """By axe in both colours, on a telephone, with their tables; lines change colour with it."""
    keep(readings, [*range(90, 180), *range(270, 361)], last=360)
    size = {"width": 360, "height": 740}
    with opened(browser, address, "viewer", viewport=size) as page:
        for place in ("/ops/", "/ops/?span=day", "/ops/queues"):
            page.goto(place)
            expect(page.locator(NOTES)).not_to_have_text("loading …")
            page.get_by_text("The figures as a table").click()
            expect(page.locator("[data-figures] [hx-get] p").first).to_be_visible()
            assert faults_of(page) == [], place
            assert page.evaluate("document.documentElement.scrollWidth") <= 360, place
        for colours in ("dark", "light"):
            page.emulate_media(color_scheme=colours)  # type: ignore[arg-type]
            assert sum(drawn(page, "[data-chart=waiting]")) >= 30


def test_a_chart_follows_the_width_of_the_window(
    browser: Browser, address: str, readings: Readings
) -> None:
    """As when a telephone is turned."""
    keep(readings, range(361), last=360)
    with opened(browser, address, "viewer", viewport={"width": 360, "height": 740}) as page:
        plot = page.locator(f"{EVENTS} canvas")
        expect(plot).to_be_visible()
        for width in (740, 400):
            page.set_viewport_size({"width": width, "height": 740})
            expect(plot).to_have_js_property(
                "clientWidth", page.locator(f"{EVENTS} .plot").evaluate("(one) => one.clientWidth")
            )
            assert page.evaluate("document.documentElement.scrollWidth") <= width
