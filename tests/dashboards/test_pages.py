"""What the pages show, and what their forms do."""

import hashlib
import json
import re
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote

import html5lib
import pytest
from fastapi.testclient import TestClient
from pymongo.database import Database
from pymongo.errors import AutoReconnect
from redis import Redis
from redis.exceptions import ConnectionError as RedisGone

import dashboards
from dashboards.pages import PAGES, failed, late
from pipeline.dead_letters import Where
from pipeline.declarations import Lane
from pipeline.queue import JobQueue
from pipeline.store import Batch, Phase
from pipeline.store.trouble import Trouble
from pipeline.verification import HANDLER, Verifier
from tests.dashboards.conftest import SCRIPT, Visit
from tests.facts import Document, fact
from tests.integration.letters import Letters, job_of
from tests.made_up_results import result, run

HERE = Path(dashboards.__file__).parent
LETTER = "e0@acme/desk|tickets.apply"
EVENT = "/ops/events/e0%40acme%2Fdesk"
GROUP = "/ops/failed/group?handler=tickets.apply&error=RuntimeError"
ENTITY = "/ops/entities/acme/G"
DOCUMENT = "/ops/documents?table=tickets&key=acme:G"
FULL_OF_SCRIPTS = f"/ops/events/{quote(SCRIPT + '@acme/desk', safe='')}"


def every_page(pipeline: Letters) -> list[str]:
    """Addresses of all pages and parts of pages, with something on each."""
    parts = ["/ops/home/stages", "/ops/home/work", "/ops/home/notes"]
    parts += [f"/ops/queues/{part}" for part in ("lanes", "workers", "stalled")]
    found = [page.LINK.path for page in PAGES]
    found += ["/ops/search", f"/ops/search?q={quote(SCRIPT[:12])}", "/ops/search?q=acme:G"]
    found += [EVENT, FULL_OF_SCRIPTS, GROUP, "/ops/failed/group", "/ops/undo?event=good"]
    found += [
        ENTITY,
        f"/ops/entities/acme/{quote(SCRIPT, safe='')}",
        DOCUMENT,
        f"{DOCUMENT}&at=2025-01-01",
    ]
    found += [f"/ops/operations/{one.id}" for one in operations(pipeline)]
    return found + parts


def operations(pipeline: Letters) -> list:  # type: ignore[type-arg]
    """The operations that there are."""
    return pipeline.store.records.operations.newest(limit=10)


def wait_for(fact_: Callable[[], object]) -> None:
    """Wait for what another thread does, up to 20 seconds."""
    end = time.monotonic() + 20
    while not fact_():
        assert time.monotonic() < end
        time.sleep(0.02)


def verify(pipeline: Letters, name: str) -> None:
    """Do all units of a verification, as workers would."""
    verifier = Verifier(
        pipeline.store, pipeline.registry, pipeline.clock, pipeline.settings, worker="w"
    )
    kept = pipeline.store.records.verifications
    for _ in range(100):
        unit = next((one for one in kept.units(name) if not one.done), None)
        if unit is None:
            return
        verifier.run(Batch.of(HANDLER, [unit.id], Lane.REPAIR))
    raise AssertionError("it has no end")


def plan(client: TestClient, **asked: object) -> str:
    """Plan an operation by the form of a group; its page."""
    form = {"verb": "requeue", "handler": "tickets.apply", **asked}
    said = client.post("/ops/failed/plan", data=form)
    assert said.status_code == 303, said.text
    return said.headers["location"]


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


def test_the_timeline_shows_every_handler_with_its_state(visit: Visit) -> None:
    """By word and sign; those that were not reached as well."""
    text = visit("viewer").get("/ops/events/good").text
    for handler in ("tickets.apply", "owners.count", "tenants.count", "statuses.count"):
        assert handler in text
    assert text.count("</span> done</span>") >= 4
    assert "tickets[acme:G]" in text
    assert "/rq/0/view/job/" in text
    dead = visit("viewer").get(EVENT).text
    assert "dead letter" in dead
    assert "RuntimeError: told to fail on e0" in dead
    assert "not reached" in dead
    assert "Traceback" in dead


def test_a_payload_is_for_operators(visit: Visit) -> None:
    """On the page, and for programs."""
    viewer, operator = visit("viewer"), visit("operator")
    assert "&#34;owner&#34;" not in viewer.get("/ops/events/good").text
    assert "&#34;owner&#34;" in operator.get("/ops/events/good").text
    path = "/api/v1/events/good"
    assert "payload" not in viewer.get(path).json()[0]["event"]
    assert operator.get(path).json()[0]["event"]["payload"]["owner"] == "ann"


def test_one_dead_letter_is_requeued_and_noted_on_its_event(
    visit: Visit, pipeline: Letters
) -> None:
    """It is dead no longer; doing it twice says so and changes nothing."""
    client = visit("operator")
    said = client.post("/ops/dead/requeue", data={"letter": LETTER})
    assert (said.status_code, said.headers["location"]) == (303, EVENT)
    client.post("/ops/dead/requeue", data={"letter": LETTER})
    pipeline.work()
    assert set(pipeline.states(fact("e0")).values()) == {"done"}
    again, first = pipeline.store.records.audit.newest(limit=10, event="e0@acme/desk")
    assert (first.actor, first.role, first.outcome) == ("operator", "operator", "1 requeued")
    assert again.outcome == "0 requeued; 1 left alone, dead no longer"
    assert "1 requeued" in client.get(EVENT).text


def test_a_discard_needs_a_reason(visit: Visit, pipeline: Letters) -> None:
    """Which is kept with the event, and in the note."""
    client = visit("operator")
    for reason in ("", "  ", "x" * 1001):
        said = client.post("/ops/dead/discard", data={"letter": LETTER, "reason": reason})
        assert said.status_code == 422
    assert "e0" in pipeline.dead()
    client.post("/ops/dead/discard", data={"letter": LETTER, "reason": "a test of ours"})
    assert "e0" not in pipeline.dead()
    assert "a test of ours" in client.get(EVENT).text


def test_an_undo_is_shown_and_then_done_and_brought_back(visit: Visit, pipeline: Letters) -> None:
    """By an admin, with a reason."""
    client = visit("admin")
    page = client.get("/ops/undo?event=good").text
    assert "tickets[acme:G]" in page
    assert "Nothing has been changed yet" in page
    assert pipeline.document("tickets", "acme:G")["status"] == "open"
    form = {"event": "good@acme/desk", "reason": "sent by mistake"}
    assert client.post("/ops/undo", data=form).status_code == 303
    assert not pipeline.store.records.table("tickets").get(["acme:G"])
    assert "sent by mistake" in client.get("/ops/events/good").text
    assert client.post("/ops/redo", data=form).status_code == 303
    pipeline.work()
    assert pipeline.document("tickets", "acme:G")["status"] == "open"


def test_many_are_planned_started_followed_and_noted(visit: Visit, pipeline: Letters) -> None:
    """From the group's form to the end; what another handler buried stays."""
    client = visit("operator")
    place = plan(client, error="RuntimeError", rate="1000")
    assert len(pipeline.dead()) == 8
    assert "Nothing has been changed" in client.get(place).text
    assert client.post(f"{place}/start").status_code == 303
    wait_for(lambda: operations(pipeline)[0].phase is Phase.DONE)
    page = client.get(place).text
    assert "8 of 8" in page
    assert pipeline.dead() == []
    (note,) = pipeline.store.records.audit.newest(limit=10)
    assert (note.action, note.about["letters"], note.outcome) == ("start requeue", 8, "started")
    assert note.operation is not None
    assert client.post(f"{place}/start").status_code == 422
    assert "done" in client.get("/ops/operations").text


def test_a_running_operation_is_cancelled(visit: Visit, pipeline: Letters) -> None:
    """At one letter a second there is time for it."""
    client = visit("operator")
    place = plan(client, rate="1")
    client.post(f"{place}/start")
    wait_for(lambda: operations(pipeline)[0].tally)
    assert 'hx-trigger="every 1s"' in client.get(place).text
    assert client.post(f"{place}/cancel").status_code == 303
    assert operations(pipeline)[0].phase is Phase.CANCELLED
    assert "stopped by a person" in client.get(f"{place}/progress").text
    assert len(pipeline.dead()) >= 5
    assert client.post(f"{place}/cancel").status_code == 422


def test_a_console_that_ends_lets_its_operation_be_gone_on_with(
    visit: Visit, pipeline: Letters
) -> None:
    """By the next one."""
    client = visit("operator")
    place = plan(client, rate="1")
    client.post(f"{place}/start")
    wait_for(lambda: operations(pipeline)[0].tally)
    client.app.app.state.console.desk.close()
    assert operations(pipeline)[0].phase is Phase.FAILED
    other = visit("operator", console_badge="another process")
    assert "Go on" in other.get(place).text
    assert other.post(f"{place}/start").status_code == 303


def test_a_list_that_cant_be_loaded_says_so(
    visit: Visit, pipeline: Letters, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It never looks like an empty one, on a page, in a part of one, or for a program."""
    client = visit("viewer")

    def away(*_: object, **__: object) -> None:
        raise AutoReconnect("gone")

    def gone(*_: object, **__: object) -> None:
        raise RedisGone("gone")

    monkeypatch.setattr(Trouble, "tallies", away)
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


def test_letters_are_paged_without_one_lost_or_shown_twice(
    visit: Visit, pipeline: Letters, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Page after page by the link at the end."""
    monkeypatch.setattr(failed, "SHOWN", 3)
    monkeypatch.setattr(failed, "SHAPED", 3)
    client, path, seen = visit("viewer"), GROUP, []
    while path:
        text = client.get(path).text
        seen += re.findall(r'<tr data-row>.*?href="/ops/events/([^"]+)"', text)
        links = re.findall(r'rel="next" href="([^"]+)"', text)
        path = links[0].replace("&amp;", "&") if links else ""
    assert len(seen) == len(set(seen)) == 8


def test_the_search_finds_by_any_id(visit: Visit, pipeline: Letters) -> None:
    """One hit leads there; several are listed; what is unknown is told, with the limits."""
    client = visit("viewer")
    for asked, there in (
        ("e0", EVENT),
        ("e0@acme/desk", EVENT),
        ("acme:G", "/ops/entities/acme/G"),
        ("G", "/ops/entities/acme/G"),
    ):
        answer = client.get(f"/ops/search?q={quote(asked)}")
        assert (answer.status_code, answer.headers.get("location")) == (303, there), asked
    assert "tickets[acme:G]" in client.get("/ops/search?q=tickets[acme:G]").text
    job = client.get(f"/ops/search?q={job_of(fact('e0'))}").text
    assert "e0@acme/desk" in job
    prefix = client.get(f"/ops/search?q={quote(SCRIPT[:9])}")
    assert prefix.headers["location"] == FULL_OF_SCRIPTS
    assert "Nothing is known by this id" in client.get("/ops/search?q=nowhere").text
    assert client.get("/ops/search").status_code == 200


def test_an_entity_is_told_event_by_event(visit: Visit, pipeline: Letters) -> None:
    """In their order, with the order in which they came, and what each changed."""
    pipeline.clock.advance(timedelta(seconds=1))
    pipeline.process(fact("older", -5, entity_id="G", status="draft"))
    client = visit("viewer")
    text = client.get(ENTITY).text
    assert text.index("good@acme/desk") < text.index("older@acme/desk")
    assert "overtaken" in text
    assert "<del>draft</del> → <ins>open</ins>" in text
    assert "pipeline replay --id acme:G" in text
    assert client.get("/ops/entities/acme/none").status_code == 404
    told = client.get("/api/v1/entities/acme/G").json()
    assert [one["event"] for one in told["happenings"]] == ["good@acme/desk", "older@acme/desk"]


def test_a_document_is_shown_as_it_is_and_as_it_was(visit: Visit, pipeline: Letters) -> None:
    """Of a fold at any moment; of what is added up, as it is."""
    pipeline.process(fact("closed", 5, entity_id="G", status="closed"))
    client = visit("viewer")
    assert "<td>closed</td>" in client.get(DOCUMENT).text
    then = client.get(f"{DOCUMENT}&at=2024-05-01T12:01:00Z").text
    assert "<td>open</td><td><ins>closed</ins></td>" in then
    assert "It did not exist" in client.get(f"{DOCUMENT}&at=2020-01-01").text
    derived = client.get("/ops/documents?table=tenant_totals&key=acme&at=2020-01-01").text
    assert "is not kept" in derived
    for wrong, status in (("key=none&table=tickets", 404), ("key=x&table=none", 404)):
        assert client.get(f"/ops/documents?{wrong}").status_code == status
    assert client.get(f"{DOCUMENT}&at=never").status_code == 422
    assert client.get(f"{DOCUMENT}&at=0001-01-01T00:00:00%2B14:00").status_code in {200, 422}


def test_lanes_workers_and_stalls_are_shown(
    visit: Visit, pipeline: Letters, redis_server: Redis
) -> None:
    """What waits and for how long, who lives, and what does not go on with what will happen."""
    client = visit("viewer")
    redis_server.delete("pipeline:worker:burst")  # of the fixture
    assert "everything goes on" in client.get("/ops/queues/stalled").text
    assert "no worker gives a sign of life" in client.get("/ops/queues/workers").text
    pipeline.submit(fact("waits", entity_id="W"))
    pipeline.lanes.enqueue(list(pipeline.waiting))
    redis_server.set("pipeline:worker:w-1", "job-1 job-2", ex=60)
    client.app.app.state.console.status.forget()
    text = client.get("/ops/queues/lanes").text
    assert re.search(r"actions</th><td>1</td><td>[\d.]+ (ms|s)", text)
    assert "tickets.apply</th><td>1</td>" in text
    assert "w-1" in client.get("/ops/queues/workers").text
    # Its time passed long ago by the clock on the wall.
    stalled = client.get("/ops/queues/stalled").text
    assert "waits@acme/desk" in stalled
    assert "should have been looked at by now" in stalled


def test_a_job_whose_worker_is_gone_is_told(
    visit: Visit, pipeline: Letters, redis_server: Redis
) -> None:
    """Unless its worker gives a sign of life."""
    client = visit("viewer")
    redis_server.zadd("rq:wip:actions", {"job-9:execution-1": 2**40})
    redis_server.hset("rq:execution:job-9:execution-1", "worker_name", "w-9")
    text = client.get("/ops/queues/stalled").text
    assert "1 jobs were begun by workers without a sign of life" in text
    assert "job-9" in text


def test_what_came_out_of_order_is_counted_and_listed(visit: Visit, pipeline: Letters) -> None:
    """By tenant and handler, and each event with what its document had seen."""
    client = visit("viewer")
    assert "nothing came out of order" in client.get("/ops/late").text
    pipeline.process(fact("older", -5, entity_id="G", status="draft"))
    pipeline.submit(fact("older", -5, entity_id="G", status="draft"))
    client.app.app.state.console.disorder.forget()
    text = client.get("/ops/late").text
    assert "older@acme/desk" in text
    assert "good@acme/desk" in text
    assert "5.0 min" in text
    assert "no event matches" in client.get("/ops/late?mark=gap").text
    assert client.get("/ops/late?mark=none").status_code == 422
    assert "older@acme/desk" not in client.get("/ops/late?tenant=beta").text


def test_late_events_are_paged_without_one_lost_or_shown_twice(
    visit: Visit, pipeline: Letters, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Page after page by the link at the end."""
    monkeypatch.setattr(late, "SHOWN", 2)
    for minute in range(5):
        pipeline.process(fact(f"late{minute}", -minute - 1, entity_id="G"))
    client, path, seen = visit("viewer"), "/ops/late?mark=late", []
    while path:
        text = client.get(path).text
        seen += re.findall(r'<td><a href="/ops/events/(late\d)', text)
        links = re.findall(r'rel="next" href="([^"]+)"', text)
        path = links[0].replace("&amp;", "&") if links else ""
    listed = [one for one in seen if one.startswith("late")]
    assert set(listed) == {f"late{minute}" for minute in range(5)}


def test_a_verification_is_listed_and_shown_field_by_field(
    visit: Visit, pipeline: Letters, database: Database[Document]
) -> None:
    """With what should be there and what is."""
    client = visit("viewer")
    assert "nobody has asked for one yet" in client.get("/ops/drift").text
    database["tickets"].update_one({"_id": "acme:G"}, {"$set": {"status": "tampered"}})
    operator = visit("operator")
    form = {"tenant": "acme", "entity_id": "G"}
    place = operator.post("/ops/drift/begin", data=form).headers["location"]
    name = place.rpartition("/")[2]
    assert 'hx-trigger="every 2s"' in client.get(place).text
    assert "hx-refresh" not in client.get(f"{place}/progress").headers
    verify(pipeline, name)
    assert client.get(f"{place}/progress").headers["hx-refresh"] == "true"
    listed = client.get("/ops/drift").text
    assert f"/ops/drift/{name}" in listed
    assert "wrong" in listed
    page = client.get(f"/ops/drift/{name}").text
    assert "tickets[acme:G]" in page
    assert "<ins>open</ins>" in page
    assert "<del>tampered</del>" in page
    assert "put it right" not in page
    admin = visit("admin")
    assert "put it right" in admin.get(place).text
    repair = {**form, "mode": "update"}
    assert operator.post("/ops/drift/begin", data=repair).status_code == 403
    place = admin.post("/ops/drift/begin", data=repair).headers["location"]
    verify(pipeline, place.rpartition("/")[2])
    assert pipeline.document("tickets", "acme:G")["status"] == "open"
    assert "1 put right" in admin.get(place).text
    notes = pipeline.store.records.audit.newest(limit=10)
    assert [(note.actor, note.about["repairs"]) for note in notes] == [
        ("admin", True),
        ("operator", False),
    ]
    assert operator.post("/ops/drift/begin", data={"scope": "9/3"}).status_code == 422
    assert client.get("/ops/drift/none").status_code == 404


def test_benchmark_results_are_shown_and_compared(visit: Visit, tmp_path: Path) -> None:
    """Those in the folder and no other file; one that is none is told."""
    folder = tmp_path / "bench-results"
    client = visit("viewer", console_benchmarks=folder)
    assert "No result is kept" in client.get("/ops/benchmarks").text
    folder.mkdir()
    for name, rate in (("a.json", 1000.0), ("b.json", 2000.0)):
        made = result(run(rate), run(rate * 1.01, repeat=2))
        (folder / name).write_text(made.model_dump_json())
    (folder / "c.json").write_text("{}")
    text = client.get("/ops/benchmarks").text
    assert 'href="/ops/benchmarks/a.json"' in text
    assert "is no result" in text
    page = client.get("/ops/benchmarks/b.json?against=a.json").text
    assert "the runs of both lie apart" in page
    assert "2.0" in page
    assert "no difference" in client.get("/ops/benchmarks/a.json?against=a.json").text
    for path in ("none.json", "a.json?against=..%2Fa.json", "..%2F..%2Fusers.json"):
        assert client.get(f"/ops/benchmarks/{path}").status_code == 404
    assert client.get("/ops/benchmarks/c.json").status_code == 422


def test_a_request_has_a_bound(visit: Visit) -> None:
    """However it is sent."""
    said = visit("operator").post("/api/v1/dead/requeue", content=b"x" * (1024 * 1024 + 1))
    assert said.status_code == 413


def test_programs_do_the_same(visit: Visit, pipeline: Letters) -> None:
    """Count, list, requeue, discard, plan, start, follow."""
    client = visit("operator")
    (tally,) = client.get("/api/v1/dead/tally?tenant=acme").json()
    assert (tally["handler"], tally["events"]) == ("tickets.apply", 8)
    page = client.get("/api/v1/dead?limit=5").json()
    rest = client.get("/api/v1/dead", params={"limit": 5, **page["after"]}).json()
    assert len({one["id"] for one in page["letters"] + rest["letters"]}) == 8
    ids = [page["letters"][0]["id"]]
    assert client.post("/api/v1/dead/requeue", json={"letters": ids}).json()["done"] == 1
    ids = [page["letters"][1]["id"]]
    body = {"letters": ids, "reason": "not ours"}
    assert client.post("/api/v1/dead/discard", json=body).json()["done"] == 1
    asked = {"verb": "requeue", "handler": "tickets.apply", "rate": 1000}
    planned = client.post("/api/v1/operations/plan", json=asked).json()
    assert (planned["operation"]["meant"], planned["confirm"]) == (6, None)
    where = f"/api/v1/operations/{planned['operation']['id']}"
    assert client.post(f"{where}/start", json={}).status_code == 202
    wait_for(lambda: client.get(where).json()["phase"] == "done")
    assert pipeline.dead(Where()) == []
    assert len(client.get("/api/v1/audit").json()) == 3
    assert client.get("/api/v1/status").json()["lanes"].keys() >= {"actions", "observers"}
    assert "/api/v1/dead/requeue" in client.get("/api/openapi.json").json()["paths"]


def test_programs_repair_as_persons_do(visit: Visit, pipeline: Letters) -> None:
    """Undo, redo, verify, and see what came out of order."""
    client = visit("admin")
    pipeline.process(fact("older", -5, entity_id="G", status="draft"))
    (found,) = client.get("/api/v1/late?tenant=acme").json()["events"]
    assert (found["mark"], found["event"]["event_id"]) == ("late", "older")
    client.app.app.state.console.disorder.forget()
    assert client.get("/api/v1/late/counts").json()["counts"][0]["late"] == 1
    assert client.get("/api/v1/undo?event=older").json()["undone_before"] is False
    body = {"event": "older", "reason": "not ours"}
    assert client.post("/api/v1/undo", json=body).json()["undone_before"] is False
    assert client.post("/api/v1/undo", json=body).json()["undone_before"] is True
    assert client.post("/api/v1/redo", json=body).json()["done"] is True
    name = client.post("/api/v1/verifications", json={"part": "0/1"}).json()["name"]
    verify(pipeline, name)
    told = client.get(f"/api/v1/verifications/{name}").json()
    assert (told["clean"], told["findings"]) == (True, [])
    operator = visit("operator")
    assert operator.post("/api/v1/verifications", json={"repairs": True}).status_code == 403
    assert operator.get("/api/v1/undo?event=older").status_code == 403
    notes = [note.action for note in pipeline.store.records.audit.newest(limit=10)]
    assert notes == ["verify", "redo", "undo", "undo"]


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
