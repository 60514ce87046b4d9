"""A real browser in front of a console that is really served."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import which
from typing import Any, Final

from playwright.sync_api import Browser, Page, expect

CHROMIUM: Final = which("chromium") or which("chromium-browser")
AXE: Final = Path(__file__).parents[1] / "vendor" / "axe.min.js"
SERIOUS: Final = {"serious", "critical"}
EXPECTED: Final = ("Failed to load resource", "Failed to fetch", "[hx-csp] blocked")
"""What a browser says of requests that fail, and htmx of attributes it takes away."""

PASSWORD: Final = "correct horse"  # noqa: S105 - of a test

# A look at the pipeline is good for twenty times as long as it took, and here it may take seconds.
expect.set_options(timeout=90_000)


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
