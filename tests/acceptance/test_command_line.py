"""The command line as a newcomer and a program meet it."""

import json
from pathlib import Path

from tests.acceptance.conftest import Pipeline

GOOD = {
    "event_id": "e1",
    "tenant": "acme",
    "source": "shop",
    "type": "parcel.sent",
    "entity_id": "p1",
    "occurred_at": "2024-05-01T10:00:00Z",
    "payload": {"cents": 250},
}

TEN_LINES = '''"""Parcels: what was sent, and what it came to."""
from pipeline import Event, Update, action, inc, maximum


@action("parcels.count", on="parcel.*", table="parcel_totals", key="{tenant}")
def count(event: Event) -> Update:
    """One more parcel."""
    return inc(parcels=1, cents=event.payload["cents"]) | maximum(last_at=event.occurred_at)
'''


def lines(*events: object) -> bytes:
    """NDJSON of these; a string stands for itself."""
    return "\n".join(e if isinstance(e, str) else json.dumps(e) for e in events).encode()


def test_a_newcomers_own_handler_works_without_touching_the_repository(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    """A ten-line module beside the command, named by --handlers, is run end to end."""
    (tmp_path / "parcels.py").write_text(TEN_LINES)
    pipeline.env["PIPELINE_HANDLERS"] = "parcels"
    pipeline.up()
    sent = pipeline.json("ingest", "-", stdin=lines(GOOD, {**GOOD, "event_id": "e2"}))
    assert sent["accepted"] == 2
    pipeline.wait_until_idle()
    (total,) = pipeline.json("query", "parcel_totals")
    assert (total["_id"], total["parcels"], total["cents"]) == ("acme", 2, 500)
    (trace,) = pipeline.json("trace", "e1")
    assert trace["steps"][0]["wrote"] == [
        "cents +250",
        "last_at max 2024-05-01T10:00:00+00:00",
        "parcels +1",
    ]
    shown = pipeline("trace", "e1").stdout.decode()
    assert "parcels.count" in shown
    assert "done" in shown


def test_bad_lines_are_reported_by_number_and_the_rest_goes_on(pipeline: Pipeline) -> None:
    """Each bad line is named with its reason, its neighbours are stored, the status is 3."""
    bad = [
        "{not json",
        {k: v for k, v in GOOD.items() if k != "tenant"},
        {**GOOD, "event_id": "future", "occurred_at": "2190-01-01T00:00:00Z"},
        {**GOOD, "event_id": "extra", "colour": "red"},
        json.dumps({**GOOD, "event_id": "half", "payload": {"t": "\ud800"}}),
        {**GOOD, "event_id": "nul\u0000"},
        {**GOOD, "event_id": "big", "payload": {"t": "x" * 5_000_000}},
    ]
    last = {**GOOD, "event_id": "e2", "payload": {"a.b": 1, "$c": 2**70, "n\u0000": "\u0000"}}
    done = pipeline("ingest", "-", "--json", stdin=lines(GOOD, *bad, "", last))
    result = json.loads(done.stdout)
    assert done.returncode == 3
    assert (result["accepted"], result["lines"]) == (2, 10)
    assert [line["line"] for line in sorted(result["bad"], key=lambda b: b["line"])] == [
        *range(2, 9)
    ]
    (trace,) = pipeline.json("trace", "e2")
    assert trace["event"]["payload"] == last["payload"]
    assert result["unhandled"] == {"parcel.sent": 2}


def test_the_same_id_with_another_content_is_a_conflict_and_the_first_stays(
    pipeline: Pipeline,
) -> None:
    """The second content is refused and reported; the status is 3."""
    other = {**GOOD, "payload": {"cents": 999}}
    done = pipeline("ingest", "-", "--json", stdin=lines(GOOD, GOOD, other))
    result = json.loads(done.stdout)
    assert done.returncode == 3
    assert (result["accepted"], result["duplicates"], result["conflicts"]) == (1, 1, 1)
    (trace,) = pipeline.json("trace", "e1")
    assert trace["event"]["payload"] == GOOD["payload"]
    assert (trace["copies"], trace["conflicts"]) == (1, 1)


def test_what_cannot_be_done_ends_with_a_sentence_and_a_status(pipeline: Pipeline) -> None:
    """Unknown ids, tables, modules, files and servers: one sentence each, no traceback."""
    cases = {
        ("trace", "nobody"): (1, "no event 'nobody' is stored"),
        ("query", "rs_apointments"): (1, "did you mean 'rs_appointments'?"),
        ("query", "rs_appointments", "status"): (1, "is no condition"),
        ("--handlers", "no.such", "status"): (2, "can't be found"),
        ("ingest", "absent.ndjson"): (2, "no such file"),
        ("initiate",): (2, "PIPELINE_MONGO_URL is not set"),
    }
    for arguments, (status, sentence) in cases.items():
        done = pipeline(*arguments)
        said = " ".join(done.stderr.decode().split())
        assert (done.returncode, sentence in said) == (status, True), said
        assert "Traceback" not in said
    pipeline.env["PIPELINE_MONGO_URL"] = "mongodb://user:hidden@127.0.0.1:1/"
    done = pipeline("status")
    said = done.stderr.decode()
    assert done.returncode == 4
    assert "MongoDB does not answer" in said
    assert "hidden" not in said


def test_doctor_says_what_is_there_and_what_is_missing(pipeline: Pipeline) -> None:
    """Every check has a name, a verdict and a detail."""
    found = pipeline.json("doctor")
    assert {"python", "redis-server", "mongod", "data folder"} <= {check["name"] for check in found}
    assert all(check["ok"] for check in found), found
