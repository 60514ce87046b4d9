"""The JSON interface: programs do what persons do."""

from pipeline.dead_letters import Where
from tests.dashboards.conftest import Visit
from tests.dashboards.visiting import verify, wait_for
from tests.facts import fact
from tests.integration.letters import Letters


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
