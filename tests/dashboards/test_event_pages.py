"""The pages of an event, an entity and a document, and what is done on them."""

from datetime import timedelta
from urllib.parse import quote

from tests.dashboards.conftest import SCRIPT, Visit
from tests.dashboards.visiting import DOCUMENT, ENTITY, EVENT, FULL_OF_SCRIPTS, LETTER
from tests.facts import fact
from tests.integration.letters import Letters, job_of


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
