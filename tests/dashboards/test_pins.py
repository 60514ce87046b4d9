"""What persons did, for charts: told in its time, as a table, and as text whatever it holds."""

from datetime import UTC, datetime, timedelta

import html5lib
import pytest
from pymongo.errors import ServerSelectionTimeoutError

from dashboards.web.pinning import LEFT_OUT
from pipeline.store.audit import Audit
from tests.dashboards.conftest import SCRIPT, Visit
from tests.dashboards.pinned import ended, note
from tests.integration.letters import Letters

PINS = "/api/v1/pins"
TABLE = "/ops/audit/pins"


def now() -> datetime:
    """As MongoDB keeps it."""
    moment = datetime.now(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def test_a_chart_is_told_what_was_done_in_its_time(visit: Visit, pipeline: Letters) -> None:
    """Notes and the ends of operations; those of before are in the longer one only."""
    records, moment = pipeline.store.records, now()
    records.audit.add(note(moment - timedelta(minutes=5)))
    records.audit.add(note(moment - timedelta(hours=2), "undo"))
    records.operations.add(ended(moment - timedelta(minutes=3)))
    records.operations.add(ended(moment - timedelta(hours=3), name="o2"))
    client = visit("viewer")
    told = client.get(PINS).json()
    words = ["requeue by ann", "requeue of 1,200 letters done"]
    assert [one["word"] for one in told["pins"]] == words
    assert told["pins"][0]["at"] == pytest.approx(moment.timestamp() - 300, abs=0.002)
    assert (told["span"], told["notes"]) == ("hour", [])
    day = client.get(PINS, params={"span": "day"}).json()["pins"]
    assert [one["word"] for one in day] == [words[1], "undo by ann", *words]
    assert client.get(PINS, params={"span": "week"}).status_code == 422


def test_what_a_visitor_does_becomes_a_pin(visit: Visit) -> None:
    """Which leads to its note, and to no other."""
    client = visit("operator")
    for event in ("e0", "e1"):
        body = {"letters": [f"{event}@acme/desk|tickets.apply"]}
        assert client.post("/api/v1/dead/requeue", json=body).status_code == 200
    first, second = client.get(PINS).json()["pins"]
    assert (first["word"], second["word"]) == ("requeue by operator",) * 2
    page = client.get(first["link"]).text
    assert "e0@acme/desk" in page
    assert "e1@acme/desk" not in page


def test_the_table_has_the_newest_first_with_links(visit: Visit, pipeline: Letters) -> None:
    """And says where there is nothing."""
    client, moment = visit("viewer"), now()
    assert "Nobody did anything in this hour" in client.get(TABLE).text
    pipeline.store.records.audit.add(note(moment - timedelta(minutes=5)))
    pipeline.store.records.audit.add(note(moment - timedelta(minutes=2), "undo"))
    client.app.app.state.console.pins["hour"].forget()
    tree = html5lib.parse(client.get(TABLE).text, namespaceHTMLElements=False)
    rows = [row for row in tree.iter("tr") if row.find("td") is not None]
    assert [row.findtext("td/a") for row in rows] == ["undo by ann", "requeue by ann"]
    assert rows[0].findtext("th") == f"{moment - timedelta(minutes=2):%Y-%m-%d %H:%M:%S}"


def test_a_name_full_of_scripts_is_text(visit: Visit, pipeline: Letters) -> None:
    """In the table as for programs."""
    pipeline.store.records.audit.add(note(now(), actor=SCRIPT))
    client = visit("viewer")
    (pin,) = client.get(PINS).json()["pins"]
    assert pin["word"] == f"requeue by {SCRIPT}"
    text = client.get(TABLE).text
    assert "<script" not in text
    assert "&lt;script&gt;" in text


def test_more_than_can_be_shown_is_said(visit: Visit, pipeline: Letters) -> None:
    """And bounded, however much there is."""
    moment = now()
    for n in range(250):
        pipeline.store.records.audit.add(note(moment - timedelta(seconds=n)))
    client = visit("viewer")
    told = client.get(PINS).json()
    assert (len(told["pins"]), told["notes"]) == (200, [LEFT_OUT])
    assert LEFT_OUT in client.get(TABLE).text


def test_pins_that_cant_be_read_are_an_error(visit: Visit, monkeypatch: pytest.MonkeyPatch) -> None:
    """And no empty table; nobody unknown is told any."""
    assert visit(None).get(PINS).status_code == 401

    def gone(*_: object, **__: object) -> None:
        raise ServerSelectionTimeoutError("gone")

    client = visit("viewer")
    monkeypatch.setattr(Audit, "newest", gone)
    for path in (PINS, TABLE):
        answer = client.get(path)
        assert answer.status_code == 503
        assert "MongoDB did not answer" in answer.text


def test_the_notes_of_a_time_are_found_by_it(visit: Visit, pipeline: Letters) -> None:
    """On the page, page by page, and for programs: from one moment on, and before another."""
    moment = now()
    for n in range(120):
        pipeline.store.records.audit.add(note(moment - timedelta(minutes=n), f"do-{n:03}"))
    since, until = (moment - timedelta(minutes=n) for n in (100, 20))
    within = {"since": since.isoformat(), "until": until.isoformat()}
    client = visit("viewer")
    told = client.get("/api/v1/audit", params={**within, "limit": 500}).json()
    assert [one["action"] for one in told] == [f"do-{n:03}" for n in range(21, 101)]
    seen, path = (
        list[str](),
        f"/ops/audit?since={within['since'][:-6]}Z&until={within['until'][:-6]}",
    )
    while path:
        tree = html5lib.parse(client.get(path).text, namespaceHTMLElements=False)
        rows = [row.findall("td") for row in tree.iter("tr")]
        seen += [str(cells[2].text) for cells in rows if cells]
        path = next((one.get("href") for one in tree.iter("a") if one.get("rel") == "next"), "")
    assert seen == [f"do-{n:03}" for n in range(21, 101)]
    refused = client.get("/ops/audit?since=yesterday")
    assert (refused.status_code, "is no time" in refused.text) == (422, True)
