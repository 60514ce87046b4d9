"""The pages of lanes, workers, stalls, disorder, drift and benchmarks."""

import re
from pathlib import Path

import pytest
from pymongo.database import Database
from redis import Redis

from dashboards.pages import late
from tests.dashboards.conftest import Visit
from tests.dashboards.visiting import verify
from tests.facts import Document, fact
from tests.integration.letters import Letters
from tests.made_up_results import result, run


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
