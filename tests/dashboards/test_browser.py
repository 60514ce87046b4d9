"""A real browser goes through the console: it clicks, types, looks and listens.

One Chromium for all tests. A console message that is an error fails the test it came up in.
"""

import re
from datetime import timedelta
from typing import Final

from playwright.sync_api import Browser, expect

from pipeline.dead_letters import Where
from pipeline.store import Phase
from tests.dashboards.browsing import faults_of, opened
from tests.dashboards.conftest import SCRIPT
from tests.dashboards.visiting import CAUSE, wait_for
from tests.facts import fact
from tests.integration.letters import Letters

CLOSED: Final = fact("closed", 5, entity_id="G", status=SCRIPT, note=SCRIPT)
"""A second event of G, full of scripts."""
PAGES: Final = [
    "/ops/",
    "/ops/events",
    "/ops/events/good",
    "/ops/events/e0",
    "/ops/entities/acme/G",
    "/ops/documents?table=tickets&key=acme:G&at=2025-01-01",
    "/ops/failed",
    "/ops/failed/group",
    CAUSE,
    "/ops/failed?show=open&handler=none",
    "/ops/events/closed",
    "/ops/events/closed?against=none",
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


def test_no_page_has_a_serious_fault_for_who_sees_or_hears_it(
    browser: Browser, address: str, pipeline: Letters
) -> None:
    """By axe, in both colours; and nothing is too wide for a telephone."""
    pipeline.process(CLOSED)
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


def test_a_person_acknowledges_a_group_hides_it_and_takes_that_back(
    browser: Browser, address: str, pipeline: Letters
) -> None:
    """From the link that alerts have, by word and sign; and what comes back says so."""
    with opened(browser, address, "operator") as page:
        page.goto("/ops/failed?handler=tickets.apply")
        group = page.get_by_role("row").filter(has_text="told to fail on e#")
        expect(group).to_contain_text("✗ new")
        expect(group).to_contain_text("7")
        group.get_by_role("link").click()
        expect(page.locator("tr[data-row]")).to_have_count(7)
        page.get_by_label("Note").fill(SCRIPT)
        page.get_by_role("button", name="Acknowledge").click()
        stands = page.get_by_role("region", name="This group")
        expect(stands).to_contain_text("◐ acknowledged")
        expect(stands).to_contain_text("by operator, ")
        expect(stands).to_contain_text(SCRIPT)
        assert faults_of(page) == []
        page.goto("/ops/failed")
        expect(group).to_contain_text(SCRIPT)
        page.get_by_label("Show").select_option("open")
        page.get_by_role("button", name="Filter").click()
        expect(group).to_have_count(0)
        expect(page.get_by_text("1 acknowledged or ignored group is not shown")).to_be_visible()
        assert "run" not in page.title()
        pipeline.clock.advance(timedelta(days=20 * 365))
        pipeline.decisions.requeue_all(Where(signature="told to fail on e#"))
        pipeline.bury(fact("e77", entity_id="N"))
        wait_for(lambda: (page.reload(), group.count())[1])
        expect(group).to_contain_text("↺ regressed")
        assert faults_of(page) == []
        group.get_by_role("link").click()
        page.get_by_role("button", name="Take that back").click()
        expect(stands).to_contain_text("✗ new")
        expect(page.get_by_role("button", name="Take that back")).to_have_count(0)


def test_a_person_compares_payloads(browser: Browser, address: str, pipeline: Letters) -> None:
    """With the event before it, then with one that is named; by word and sign, and no script."""
    pipeline.process(CLOSED)
    with opened(browser, address, "operator") as page:
        page.goto("/ops/events/closed")
        for name in ("status changed", "note added"):
            expect(page.get_by_role("row", name=name)).to_contain_text(SCRIPT[:38])
        expect(page.get_by_role("row", name="owner removed")).to_contain_text("ann")
        page.get_by_label("Compare with event").fill("closed")
        page.get_by_role("button", name="Compare").click()
        expect(page.get_by_text("every field is the same")).to_be_visible()
        page.get_by_label("Compare with event").fill(SCRIPT)
        page.get_by_role("button", name="Compare").click()
        expect(page.get_by_text(f"no event {SCRIPT}")).to_be_visible()
        assert "run" not in page.title()


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
        page.get_by_role("link", name="tickets.apply · RuntimeError told to fail on e#").click()
        page.get_by_label("Letters a second").fill("1")
        page.get_by_role("button", name="Plan to requeue").click()
        expect(page.get_by_text("Nothing has been changed")).to_be_visible()
        page.get_by_role("button", name="Start").click()
        expect(page.get_by_text(re.compile("[2-6] of 7"))).to_be_visible()
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
