"""Groups of dead letters on pages, and payloads beside each other."""

from datetime import timedelta
from urllib.parse import quote

import pytest
from fastapi.testclient import TestClient

from pipeline.dead_letters import Where
from pipeline.metrics.catalogue import OPERATOR_ACTIONS
from pipeline.metrics.counts import field_of
from pipeline.queue import totals
from pipeline.signatures import signature_of
from tests.dashboards.conftest import SCRIPT, Visit
from tests.dashboards.visiting import CAUSE, EVENT, LETTER, wait_for
from tests.facts import fact
from tests.integration.letters import Letters, job_of
from workers.bootstrap import Application

SIGNATURE = "told to fail on e#"
NAMED = {"handler": "tickets.apply", "error": "RuntimeError", "signature": SIGNATURE}
FAR = timedelta(days=20 * 365)
"""The clock of the tests is behind that of the console, which says when a group was seen."""


def say(client: TestClient, said: str, note: str = "") -> None:
    """Say something about the group, by its form."""
    answer = client.post("/ops/failed/say", data={**NAMED, "said": said, "note": note})
    assert answer.status_code == 303, answer.text
    text = client.get(answer.headers["location"]).text
    assert note in text


def look_anew(client: TestClient) -> None:
    """Let the console count again, which it does by itself after a time."""
    client.app.app.state.console.failures.forget()  # type: ignore[attr-defined]


def app_of(client: TestClient) -> Application:
    """The pipeline behind a console."""
    app: Application = client.app.app.state.console.app  # type: ignore[attr-defined]
    return app


def test_the_list_of_groups_is_filtered_by_its_address(visit: Visit, pipeline: Letters) -> None:
    """As alerts link to it: by handler; also by tenant, and by both."""
    pipeline.bury(fact("b", tenant="beta"), handler="owners.count")
    client = visit("viewer")
    for query, shown in (
        ("", ["told to fail on e#", "owners.count"]),
        ("handler=tickets.apply", ["told to fail on e#"]),
        ("handler=owners.count", ["owners.count"]),
        ("tenant=beta", ["owners.count"]),
        ("tenant=acme&handler=tickets.apply", ["told to fail on e#"]),
        ("tenant=acme&handler=owners.count", []),
        ("handler=none", []),
    ):
        table = client.get(f"/ops/failed?{query}").text
        rows = table[table.find("<tbody>") : table.find("</tbody>")]
        for text in ("told to fail on e#", "owners.count"):
            assert (text in rows) == (text in shown), (query, text)
        assert ("none match" in table) == (not shown)
    assert client.get(f"/ops/failed?tenant={'x' * 65}").status_code == 422


def test_a_group_is_acknowledged_hidden_and_shown_again(visit: Visit, pipeline: Letters) -> None:
    """By word and sign, with who said it, when, and why; and it is noted."""
    client = visit("operator")
    assert "✗</span> new" in client.get(CAUSE).text
    say(client, "acknowledged", "ann: the vendor is asked")
    text = client.get("/ops/failed").text
    assert "◐</span> acknowledged" in text
    assert "ann: the vendor is asked" in text
    text = client.get("/ops/failed?show=open").text
    assert SIGNATURE not in text
    assert "1 acknowledged or ignored group is not shown" in text
    work = client.get("/ops/home/work").text
    assert (SIGNATURE in work, "1 acknowledged or ignored group" in work) == (False, True)
    say(client, "ignored_until_again")
    assert "⊘</span> ignored" in client.get(CAUSE).text
    answer = client.post("/ops/failed/reopen", data=NAMED)
    assert answer.status_code == 303
    assert "✗</span> new" in client.get(answer.headers["location"]).text
    notes = pipeline.store.records.audit.newest(limit=10)
    assert [(note.action, note.actor, note.outcome) for note in notes] == [
        ("reopen", "operator", "new again"),
        ("ignore", "operator", "ignored until again"),
        ("acknowledge", "operator", "acknowledged"),
    ]
    assert (notes[2].about, notes[2].reason) == (NAMED, "ann: the vendor is asked")
    assert len(pipeline.dead()) == 8


def test_a_list_of_groups_that_is_cut_says_so(
    visit: Visit, pipeline: Letters, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether or not some of them are hidden."""
    client = visit("operator")
    assert "more groups than" not in client.get("/ops/failed").text
    for module in ("pipeline.dead_letters.groups", "dashboards.pages.failed"):
        monkeypatch.setattr(f"{module}.MOST_GROUPS", 1)
    assert "more groups than the newest 1;" in client.get("/ops/failed").text
    client.post("/ops/failed/say", data={**NAMED, "said": "ignored"})
    assert "more groups than the newest 1;" in client.get("/ops/failed?show=open").text


def test_a_group_that_comes_back_says_so(visit: Visit, pipeline: Letters) -> None:
    """After all its letters were requeued and fail anew."""
    client = visit("operator")
    say(client, "acknowledged")
    pipeline.clock.advance(FAR)
    pipeline.decisions.requeue_all(Where(signature=SIGNATURE))
    pipeline.bury(fact("e99", entity_id="N"))
    look_anew(client)
    text = client.get(CAUSE).text
    assert "↺</span> regressed" in text
    assert "1 have died since" in text
    assert SIGNATURE in client.get("/ops/failed?show=open").text
    assert "regressed" in client.get("/ops/home/work").text


def test_a_group_younger_than_the_last_look_is_counted_for_its_page(
    visit: Visit, pipeline: Letters
) -> None:
    """So that what an alert links to is whole."""
    client = visit("operator")
    assert client.get("/ops/failed").status_code == 200
    pipeline.bury(fact("young", entity_id="Y"))
    page = client.get(CAUSE.replace(quote(SIGNATURE), quote("told to fail on young")))
    assert "Acknowledge" in page.text


def test_only_operators_say_something_about_groups(visit: Visit) -> None:
    """From our own pages, and where the console may change anything."""
    form = {**NAMED, "said": "ignored"}
    for path in ("/ops/failed/say", "/ops/failed/reopen"):
        assert visit("viewer").post(path, data=form).status_code == 403
        elsewhere = {"origin": "http://elsewhere"}
        assert visit("operator").post(path, data=form, headers=elsewhere).status_code == 403
        assert visit("admin", console_read_only=True).post(path, data=form).status_code == 405
    for wrong, status in (
        ({"said": "maybe"}, 422),
        ({"signature": "nothing of the kind"}, 404),
        ({"signature": ""}, 422),
        ({"note": "x" * 501}, 422),
    ):
        answer = visit("operator").post("/ops/failed/say", data={**form, **wrong})
        assert answer.status_code == status, wrong
    assert "Acknowledge" not in visit("viewer").get(CAUSE).text


def test_programs_say_the_same(visit: Visit, pipeline: Letters) -> None:
    """Groups with how they stand; and letters are listed and planned about by signature."""
    client = visit("operator")
    groups = client.get("/api/v1/dead/groups").json()
    assert {one["signature"]: (one["events"], one["standing"]) for one in groups} == {
        SIGNATURE: (7, "new"),
        signature_of(f"told to fail on {SCRIPT}"): (1, "new"),
    }
    body = {**NAMED, "said": "acknowledged", "note": "ann"}
    assert client.post("/api/v1/dead/groups/say", json=body).json()["by"] == "operator"
    (one,) = client.get("/api/v1/dead/groups", params=NAMED).json()
    assert (one["standing"], one["stance"]["note"]) == ("acknowledged", "ann")
    assert len(client.get("/api/v1/dead", params=NAMED).json()["letters"]) == 7
    asked = {"verb": "requeue", **NAMED}
    assert client.post("/api/v1/operations/plan", json=asked).json()["operation"]["meant"] == 7
    for reopened in (True, False):
        answer = client.post("/api/v1/dead/groups/reopen", json=NAMED)
        assert answer.json() == {"reopened": reopened}
    assert client.get("/api/v1/dead/tally").headers["age"].isdecimal()
    assert client.get("/api/v1/dead/groups?tenant=none").json() == []


def test_what_is_done_from_the_console_is_counted(visit: Visit) -> None:
    """For Prometheus, as what is done by the command line; viewers count nothing."""
    client = visit("admin")
    say(client, "ignored")
    client.post("/ops/failed/reopen", data=NAMED)
    assert client.post("/ops/dead/requeue", data={"letter": LETTER}).status_code == 303
    body = {"letters": ["e1@acme/desk|tickets.apply"], "reason": "not ours"}
    assert client.post("/api/v1/dead/discard", json=body).json()["done"] == 1
    client.post("/ops/undo", data={"event": "good@acme/desk", "reason": "a test"})
    client.post("/ops/redo", data={"event": "good@acme/desk"})
    assert client.post(f"/rq/job/{job_of(fact('e2'))}/requeue").status_code == 200
    app = app_of(client)
    app.send_counts()
    told = totals.read(app.redis).totals
    done = {"ignore": 1, "reopen": 1, "requeue": 2, "discard": 1, "undo": 1, "redo": 1}
    for action, times in done.items():
        assert told[field_of(OPERATOR_ACTIONS.name, (action,))] == times, action


def test_what_is_counted_is_sent_while_nothing_else_is(
    visit: Visit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The console tells it now and then, as it looks."""
    monkeypatch.setattr("dashboards.app.IDLE_SECONDS", 0.01)
    client = visit("operator")
    say(client, "ignored")
    redis = app_of(client).redis
    field = field_of(OPERATOR_ACTIONS.name, ("ignore",))
    wait_for(lambda: totals.read(redis).totals.get(field) == 1)


def test_a_payload_is_compared_with_the_one_before_it(visit: Visit, pipeline: Letters) -> None:
    """In the order of events, whenever they came; or with another one of the same entity."""
    later = fact("later", 9, entity_id="G", status="paid", owner="ann", add=1)
    pipeline.process(later)
    pipeline.process(fact("between", 5, entity_id="G", status="sent"))
    pipeline.process(fact("elsewhere", 6, entity_id="H", status="lost"))
    client = visit("operator")
    text = client.get("/ops/events/later").text
    assert "the event before it" in text
    assert "between@acme/desk" in text
    assert "<del>&#34;sent&#34;</del>" in text
    assert "<ins>&#34;paid&#34;</ins>" in text
    assert "≠</span> changed" in text
    assert "+</span> added" in text
    back = client.get("/ops/events/between").text
    assert "-</span> removed" in back
    other = client.get("/ops/events/later?against=good").text
    assert "<del>&#34;open&#34;</del>" in other
    assert ">owner<" not in other
    assert "comes before it" in client.get("/ops/events/good").text
    for nothing in ("elsewhere", "none", SCRIPT):
        answer = client.get("/ops/events/later", params={"against": nothing})
        assert answer.status_code == 200
        assert "is stored</p>" in answer.text
    same = client.get("/ops/events/later?against=later").text
    assert "every field is the same" in same


def test_payloads_are_compared_for_operators_only(visit: Visit) -> None:
    """As they are shown."""
    assert "Compared" not in visit("viewer").get(EVENT).text
    client = visit("viewer")
    assert client.get("/api/v1/differences?event=good").status_code == 403
    told = visit("operator").get("/api/v1/differences?event=good&against=good@acme/desk").json()
    assert told == {"against": "good@acme/desk", "differences": [], "more": 0, "cut": False}
    none = visit("operator").get("/api/v1/differences?event=good").json()
    assert none == {"against": None, "differences": None}


def test_events_of_one_moment_are_compared_by_their_numbers(
    visit: Visit, pipeline: Letters
) -> None:
    """As the order of events has it: none first, then the number, then the key."""
    for name, seq in (("m2", 10), ("m3", 9), ("m1", None)):
        pipeline.process(fact(name, 20, entity_id="M", seq=seq, status=name))
    client = visit("operator")
    for event, before in (("m2", "m3@acme/desk"), ("m3", "m1@acme/desk"), ("m1", None)):
        told = client.get(f"/api/v1/differences?event={event}").json()
        assert told["against"] == before
