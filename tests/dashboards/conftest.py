"""The console of a small pipeline with dead letters, and visitors of it."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from playwright.sync_api import Browser, sync_playwright
from pydantic import SecretStr
from pymongo import MongoClient
from pymongo.database import Database
from redis import Redis
from starlette.types import ASGIApp

from dashboards.access import Access, Role
from dashboards.access.users import digest
from dashboards.app import create_app
from dashboards.serving import served
from tests.conftest import IN_CI
from tests.dashboards.browsing import CHROMIUM, PASSWORD
from tests.facts import Document, fact
from tests.integration import sample_handlers
from tests.integration.letters import Letters, tickets
from tests.integration.sample_handlers import broken
from workers.bootstrap import Application

SCRIPT = "<script>document.title='run'</script><img src=x onerror=\"document.title='run'\">"
TOKEN = "the-owners-token"  # noqa: S105 - of a test
ORIGIN = "http://testserver"

Visit = Callable[..., TestClient]


@pytest.fixture
def pipeline(
    mongo: MongoClient[Document], database: Database[Document], redis_server: Redis
) -> Letters:
    """Bury seven events of acme, apply one, and bury one that is full of scripts."""
    broken.clear()
    pipeline = Letters(mongo, database.name, redis_server, max_attempts=1)
    pipeline.bury(*tickets(7))
    pipeline.submit(fact("good", entity_id="G", status="open", owner="ann"))
    pipeline.bury(fact(SCRIPT, entity_id=SCRIPT, note=SCRIPT, owner=SCRIPT, status=SCRIPT))
    broken.clear()
    return pipeline


@pytest.fixture(scope="session")
def users(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Keep three users, one of each role; each is named as the role."""
    path, kept = tmp_path_factory.mktemp("users") / "users.json", digest(PASSWORD)
    path.write_text(json.dumps({r.word: {"role": r.word, "password": kept} for r in Role}))
    return path


@pytest.fixture
def visit(
    pipeline: Letters,
    application_of: Callable[..., Application],
    redis_url: str,
    users: Path,
    tmp_path: Path,
) -> Iterator[Visit]:
    """Give a function that visits a console of these settings: as a user of a role, or nobody."""
    consoles: dict[str, ASGIApp] = {}

    with ExitStack() as stack:

        def come(role: str | None = "admin", **settings: Any) -> TestClient:
            which = repr(settings)
            new = which not in consoles
            if new:
                app = application_of(
                    sample_handlers,
                    console_users=users,
                    console_token=SecretStr(TOKEN),
                    console_proxy_secret=SecretStr("between us"),
                    data_dir=tmp_path,
                    **settings,
                )
                consoles[which] = create_app(app, redis_url, Access(app.settings))
            client = TestClient(
                consoles[which],
                base_url=ORIGIN,
                headers={"origin": ORIGIN},
                follow_redirects=False,
                raise_server_exceptions=False,
            )
            if new:
                stack.enter_context(client)
            if role is not None:
                said = client.post("/ops/login", data={"name": role, "password": PASSWORD})
                assert said.status_code == 303
            return client

        yield come


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
