"""What all pages have in common: nothing stored runs, errors are told, the gate is shut."""

import hashlib
import json
import re

import html5lib
import pytest
from pymongo.errors import AutoReconnect
from redis.exceptions import ConnectionError as RedisGone

from pipeline.queue import JobQueue
from pipeline.store.trouble import Trouble
from tests.dashboards.conftest import SCRIPT, Visit
from tests.dashboards.visiting import (
    GROUP,
    HERE,
    LETTER,
    every_page,
    plan,
)
from tests.facts import fact
from tests.integration.letters import Letters, job_of


def test_nothing_that_is_stored_becomes_a_part_of_a_page(visit: Visit, pipeline: Letters) -> None:
    """Ids, tenants, payloads and errors full of scripts are text on every page."""
    client = visit("admin")
    plan(client, reason=SCRIPT)
    client.post("/ops/dead/discard", data={"letter": LETTER, "reason": SCRIPT})
    shown = 0
    for path in every_page(pipeline):
        answer = client.get(path)
        assert answer.status_code in {200, 303}, (path, answer.text)
        tree = html5lib.parse(answer.text, namespaceHTMLElements=False)
        assert not list(tree.iter("img")), path
        sources = [one.get("src") for one in tree.iter("script")]
        assert all(source and source.startswith("/static/") for source in sources), path
        assert not [name for one in tree.iter() for name in one.attrib if name.startswith("on")]
        shown += "&lt;script&gt;" in answer.text
    assert shown >= 8


def test_every_page_may_run_its_own_scripts_only(visit: Visit, pipeline: Letters) -> None:
    """By a policy with a nonce of each answer's own; all attributes of htmx carry it."""
    client, nonces = visit("admin"), set()
    for path in every_page(pipeline):
        answer = client.get(path)
        policy = answer.headers["content-security-policy"]
        (nonce,) = re.findall(r"script-src 'nonce-([^']+)'", policy)
        nonces.add(nonce)
        assert policy.startswith("default-src 'none'")
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        for tag in re.findall(r"<[^>]*\shx-[^>]*>", answer.text):
            assert f'hx-nonce="{nonce}"' in tag
        assert " style=" not in answer.text
    assert len(nonces) == len(every_page(pipeline))


def test_pages_take_everything_from_this_machine() -> None:
    """No template or script names another; what comes from others is what it was."""
    for path in [*HERE.glob("templates/*.html"), *HERE.glob("static/*.js")]:
        assert not re.findall(r"""(?:src|href|url)\W{1,2}(?:https?:)?//""", path.read_text()), path
    lock = json.loads((HERE / "static/vendor/vendor.json").read_text())
    vendored = {path.name for path in (HERE / "static/vendor").iterdir()} - {"vendor.json"}
    assert {one["file"] for one in lock} == vendored
    for one in lock:
        content = (HERE / "static/vendor" / one["file"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == one["sha256"]


def test_a_list_that_cant_be_loaded_says_so(
    visit: Visit, pipeline: Letters, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It never looks like an empty one, on a page, in a part of one, or for a program."""
    client = visit("viewer")

    def away(*_: object, **__: object) -> None:
        raise AutoReconnect("gone")

    def gone(*_: object, **__: object) -> None:
        raise RedisGone("gone")

    monkeypatch.setattr(Trouble, "cells", away)
    monkeypatch.setattr(Trouble, "rows", away)
    monkeypatch.setattr(JobQueue, "oldest", gone)
    client.app.app.state.console.failures.forget()
    for path in ("/ops/failed", GROUP, "/ops/home/work"):
        answer = client.get(path, headers={"hx-request": "true"} if "home" in path else {})
        assert answer.status_code == 503, path
        assert "could not load: MongoDB did not answer" in answer.text
        assert "no dead letters" not in answer.text
        assert "none match" not in answer.text
    answer = client.get("/ops/home/stages")
    assert (answer.status_code, "Redis did not answer" in answer.text) == (503, True)
    answer = client.get("/api/v1/dead/tally")
    assert (answer.status_code, list(answer.json())) == (503, ["error"])


def test_what_is_not_there_is_told(visit: Visit) -> None:
    """As 404, on a page of the console."""
    client = visit("viewer")
    for path in ("/ops/events/none", "/ops/operations/none", "/ops/nothing", "/nothing"):
        answer = client.get(path)
        assert answer.status_code == 404, path
        assert "pipeline console" in answer.text
    assert client.get("/api/v1/events/none").json() == {"error": "no event 'none' is stored"}


def test_a_filter_that_cant_be_read_is_told_or_ignored(visit: Visit) -> None:
    """Never as an error of ours."""
    client = visit("viewer")
    for query, status in (
        ("since=x", 422),
        ("since=", 200),
        ("after=x", 422),
        ("after=2024-05-01T10:00:00Z", 200),
        ("since=0001-01-01T00:00:00%2B14:00", 422),
        ("tenant=" + "x" * 65, 422),
    ):
        assert client.get(f"/ops/failed/group?{query}").status_code == status, query


def test_a_request_has_a_bound(visit: Visit) -> None:
    """However it is sent."""
    said = visit("operator").post("/api/v1/dead/requeue", content=b"x" * (1024 * 1024 + 1))
    assert said.status_code == 413


def test_the_button_of_rq_dashboard_is_noted(visit: Visit, pipeline: Letters) -> None:
    """It is an operator's, who requeues one failed job; what changes many is nobody's."""
    job = job_of(fact("e0"))
    assert visit("viewer").post(f"/rq/job/{job}/requeue").status_code == 403
    assert visit("admin").post("/rq/queue/actions/failed/empty").status_code == 403
    assert pipeline.store.records.audit.newest(limit=10) == []
    assert visit("operator").post(f"/rq/job/{job}/requeue").status_code == 200
    (note,) = pipeline.store.records.audit.newest(limit=10)
    assert (note.action, note.about, note.outcome) == ("requeue", {"job": job}, "done")
    assert pipeline.lanes.lengths()["actions"] == 1


def test_what_stands_in_rq_is_behind_the_same_gate(visit: Visit) -> None:
    """Its pages, assets and data answer under /rq; an unknown job is none of our failures."""
    client = visit("viewer")
    assert client.get("/rq/").status_code == 200
    assert client.get("/rq/0/data/queues.json").status_code == 200
    assert client.get(f"/rq/0/view/job/{job_of(fact('e0'))}").status_code == 200
    assert client.get("/rq/0/data/job/none.json").status_code == 404
    assets = re.findall(r'(?:src|href)="(/[^"]+\.(?:js|css))"', client.get("/rq/").text)
    assert assets
    for asset in assets:
        assert client.get(asset).status_code == 200, asset


def test_ready_tells_of_both_servers(visit: Visit) -> None:
    """For who is logged in; that the process lives, for anybody."""
    assert visit("viewer").get("/readyz").json() == {"status": "ready"}
