"""A real browser goes through the console: it clicks, types, looks and listens.

One Chromium for all tests. A console message that is an error fails the test it came up in.
"""

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import which
from typing import Any, Final

import pytest
import uvicorn
from playwright.sync_api import Browser, Page, expect, sync_playwright
from pydantic import SecretStr

from dashboards.access import Access
from dashboards.app import create_app
from pipeline.store import Phase
from tests.conftest import IN_CI
from tests.dashboards.conftest import PASSWORD, SCRIPT, TOKEN
from tests.facts import fact
from tests.integration import sample_handlers
from tests.integration.letters import Letters
from workers.bootstrap import Application

CHROMIUM: Final = which("chromium") or which("chromium-browser")
AXE: Final = Path(__file__).parents[1] / "vendor" / "axe.min.js"
SERIOUS: Final = {"serious", "critical"}
EXPECTED: Final = ("Failed to load resource", "Failed to fetch", "[hx-csp] blocked")
"""What a browser says of requests that fail, and htmx of attributes it takes away."""
PAGES: Final = [
    "/ops/",
    "/ops/events",
    "/ops/events/good",
    "/ops/events/e0",
    "/ops/entities/acme/G",
    "/ops/documents?table=tickets&key=acme:G&at=2025-01-01",
    "/ops/failed",
    "/ops/failed/group",
    "/ops/search?q=e",
    "/ops/queues",
    "/ops/late",
    "/ops/drift",
    "/ops/operations",
    "/ops/benchmarks",
    "/ops/audit",
    "/ops/undo?event=good",
    "/ops/nothing",
]


expect.set_options(timeout=20_000)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Start a headless Chromium of the system."""
    if CHROMIUM is None:
        if IN_CI:
            pytest.fail("no chromium is installed", pytrace=False)
        pytest.skip("no chromium is installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        yield browser
        browser.close()


@contextmanager
def served(app: Any) -> Iterator[str]:
    """Serve an application on a port of its own; its address."""
    config = uvicorn.Config(app, port=0, log_level="critical", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(20)


@pytest.fixture
def address(
    pipeline: Letters,
    application_of: Callable[..., Application],
    redis_url: str,
    users: Path,
    tmp_path: Path,
) -> Iterator[str]:
    """Serve the console."""
    app = application_of(
        sample_handlers,
        console_users=users,
        console_token=SecretStr(TOKEN),
        data_dir=tmp_path,
        console_badge="TEST",
    )
    with served(create_app(app, redis_url, Access(app.settings))) as where:
        yield where


@contextmanager
def opened(
    browser: Browser, address: str, role: str = "admin", *, faults: bool = False, **options: Any
) -> Iterator[Page]:
    """Log in as a user of this role, in a window of its own; errors in its console fail.

    Args:
        browser: which.
        address: of the console.
        role: also the user's name.
        faults: whether refused requests, and attributes that are taken away, are expected.
        options: of the window.
    """
    context = browser.new_context(base_url=address, reduced_motion="reduce", **options)
    page, errors = context.new_page(), list[str]()
    page.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto("/ops/")
    page.get_by_label("Name").fill(role)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in", exact=True).click()
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    page.wait_for_load_state("load")  # a heading is seen before the scripts have run
    try:
        yield page
    finally:
        context.close()
    expected = EXPECTED if faults else ()
    told = [one for one in errors if not any(text in one for text in expected)]
    assert told == []


def faults_of(page: Page) -> list[str]:
    """What axe finds that is serious or worse; contrasts in the dark as well."""
    page.evaluate(AXE.read_text(encoding="utf-8"))
    told = page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
    page.emulate_media(color_scheme="dark")
    told += page.evaluate("axe.run(document, {runOnly: ['color-contrast']})")["violations"]
    page.emulate_media(color_scheme="light")
    return [
        f"{one['id']}: {node['html'][:150]}"
        for one in told
        if one["impact"] in SERIOUS
        for node in one["nodes"]
    ]


def test_no_page_has_a_serious_fault_for_who_sees_or_hears_it(
    browser: Browser, address: str
) -> None:
    """By axe, in both colours; and nothing is too wide for a telephone."""
    size = {"width": 360, "height": 740}
    with opened(browser, address, faults=True, viewport=size) as page:
        for path in PAGES:
            page.goto(path)
            expect(page.locator("main")).not_to_contain_text("loading …")
            assert faults_of(page) == [], path
            assert page.evaluate("document.documentElement.scrollWidth") <= 360, path
        page.goto("/ops/")
        page.keyboard.press("?")
        expect(page.get_by_role("dialog")).to_be_visible()
        assert faults_of(page) == []


def test_a_script_that_is_stored_never_runs(browser: Browser, address: str) -> None:
    """Wherever it is shown; the title of each page stays its own."""
    with opened(browser, address) as page:
        page.goto("/ops/failed/group")
        page.get_by_role("link", name=re.compile("^<script>")).first.click()
        expect(page.get_by_role("heading", level=1)).to_have_text(SCRIPT)
        page.get_by_text("traceback").first.click()
        page.get_by_text("show", exact=True).click()
        expect(page.get_by_text('"note"')).to_be_visible()
        page.get_by_text("Discard …").click()
        page.get_by_label("Reason").fill(SCRIPT)
        page.get_by_role("button", name="Discard for good").click()
        expect(page.get_by_role("cell", name=SCRIPT, exact=True)).to_be_visible()
        for path in ("/ops/", "/ops/events", "/ops/audit", "/ops/failed/group", "/rq/"):
            page.goto(path)
            assert "run" not in page.title()


def test_injected_attributes_of_htmx_do_nothing(browser: Browser, address: str) -> None:
    """Without the nonce of the page they are taken away before they are looked at."""
    with opened(browser, address, faults=True) as page:
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.evaluate(
            "document.querySelector('main').insertAdjacentHTML('beforeend',"
            "'<p id=bad hx-get=/ops/audit hx-trigger=load>x</p>');"
            "htmx.process(document.querySelector('main'))"
        )
        expect(page.locator("#bad[hx-get]")).to_have_count(0)
        assert not [url for url in asked if url.endswith("/ops/audit")]


def test_a_person_searches_looks_and_requeues(
    browser: Browser, address: str, pipeline: Letters
) -> None:
    """From the search to the note of what was done, by keyboard where there is a key."""
    with opened(browser, address, "operator") as page:
        expect(page.get_by_text("TEST", exact=True)).to_be_visible()
        page.keyboard.press("/")
        page.keyboard.type("e0")
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", level=1)).to_have_text("e0")
        expect(page.get_by_text("told to fail on e0").first).to_be_visible()
        page.get_by_role("button", name="Requeue").click()
        expect(page.get_by_role("cell", name="1 requeued")).to_be_visible()
        pipeline.work()
        page.reload()
        expect(page.get_by_role("button", name="Requeue")).to_have_count(0)
        page.keyboard.press("g")
        page.keyboard.press("a")
        expect(page).to_have_url(re.compile("/ops/audit"))
        page.wait_for_load_state()
        page.keyboard.press("j")
        expect(page.locator("[data-row].here")).to_have_count(1)


def test_a_person_plans_starts_and_stops_an_operation(
    browser: Browser, address: str, pipeline: Letters
) -> None:
    """And sees how far it is without reloading."""
    with opened(browser, address, "operator") as page:
        page.goto("/ops/failed")
        page.get_by_role("link", name="tickets.apply · RuntimeError").click()
        page.get_by_label("Letters a second").fill("1")
        page.get_by_role("button", name="Plan to requeue").click()
        expect(page.get_by_text("Nothing has been changed")).to_be_visible()
        page.get_by_role("button", name="Start").click()
        expect(page.get_by_text(re.compile("[2-7] of 8"))).to_be_visible()
        page.get_by_role("button", name="Cancel").click()
        expect(page.get_by_text("stopped by a person").first).to_be_visible()
    (operation,) = pipeline.store.records.operations.newest(limit=2)
    assert operation.phase is Phase.CANCELLED
    assert pipeline.dead()


def test_a_viewer_is_offered_nothing_that_is_refused(browser: Browser, address: str) -> None:
    """The pages are the same without their buttons."""
    with opened(browser, address, "viewer") as page:
        for path in ("/ops/events/e0", "/ops/failed/group"):
            page.goto(path)
            buttons = page.locator("main form[method=post] button")
            expect(buttons).to_have_count(0)


def test_counters_are_live_and_can_be_stopped(
    browser: Browser, address: str, pipeline: Letters
) -> None:
    """What dies while the page is open is counted on it; parts of the overview follow."""
    with opened(browser, address, "viewer") as page:
        counter = page.locator("[data-pulse=dead]")
        expect(counter).to_have_text("8")
        pipeline.bury(fact("late", entity_id="L"))
        expect(counter).to_have_text("9")
        expect(page.locator("#work + div")).to_contain_text("9")
        page.get_by_label("Live updates").select_option("off")
        page.reload()
        expect(page.get_by_label("Live updates")).to_have_value("off")
        expect(counter).to_have_text("")


def test_a_list_tells_of_new_rows_and_moves_none(
    browser: Browser, address: str, pipeline: Letters
) -> None:
    """Until the person asks for them."""
    with opened(browser, address, "viewer") as page:
        page.goto("/ops/failed/group")
        expect(page.locator("[data-pulse=dead]")).to_have_text("8")
        pipeline.bury(fact("new", entity_id="N"))
        pill = page.get_by_role("button", name="1 new — show")
        expect(pill).to_be_visible()
        expect(page.locator("tr[data-row]")).to_have_count(8)
        pill.click()
        expect(page.locator("tr[data-row]")).to_have_count(9)


def test_a_page_says_that_it_hears_nothing_any_more(
    browser: Browser, address: str, pipeline: Letters
) -> None:
    """When the stream ends and can't be had again."""
    with opened(browser, address, "viewer", faults=True) as page:
        expect(page.locator("[data-pulse=dead]")).to_have_text("8")
        page.context.set_offline(True)
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        page.get_by_label("Live updates").select_option("off")
        page.get_by_label("Live updates").select_option("on")
        expect(page.locator("#stream")).to_contain_text("no live updates")


def test_rq_dashboard_works_behind_the_gate(browser: Browser, address: str) -> None:
    """Its own scripts run under /rq, and show the lanes."""
    with opened(browser, address, "viewer") as page:
        page.get_by_role("link", name="RQ").click()
        expect(page.get_by_role("cell", name="actions").first).to_be_visible()
