"""What charts are told: rates and gaps, what is not known, and a failure as a failure."""

import re
import time
from datetime import UTC, datetime

import html5lib
import pytest
from redis import Redis
from redis.exceptions import ConnectionError as RedisGone

from dashboards.web.charting import course_of
from pipeline.queue import RINGS, Readings
from tests.dashboards.charted import EACH, keep, made_up
from tests.dashboards.conftest import Visit

READINGS = "/api/v1/readings"
TABLES = ("/ops/home/course", "/ops/queues/depths")


@pytest.fixture
def readings(redis_server: Redis) -> Readings:
    """Give those that the console reads."""
    return Readings(redis_server)


def test_the_columns_are_of_one_length_and_say_what_came(visit: Visit, readings: Readings) -> None:
    """Each rate is that since the reading before; seconds are seconds."""
    keep(readings, range(5), last=4)
    told = visit("viewer").get(READINGS).json()
    columns = {**told["per_second"], **told["latency_seconds"], **told["waiting"]}
    assert {len(column) for column in columns.values()} == {len(told["at"])} == {5}
    assert told["per_second"] == {
        "accepted": [None, *[pytest.approx(2.0)] * 4],
        "done": [None, *[pytest.approx(4.0)] * 4],
        "failed": [None, *[pytest.approx(0.2)] * 4],
        "late": [None, *[pytest.approx(0.1)] * 4],
    }
    assert told["latency_seconds"]["p50"][1:] == [pytest.approx(0.375)] * 4
    assert told["waiting"]["actions"] == [0, 1, 2, 3, 4]
    assert (told["seconds"], told["step"], told["newest"]) == (3600, 10, told["at"][-1])


def test_a_gap_is_a_point_without_values(visit: Visit, readings: Readings) -> None:
    """For programs null, in the table a dash; never 0."""
    keep(readings, [0, 1, 2, 200, 201], last=201)
    client = visit("viewer")
    told = client.get(READINGS).json()
    assert told["waiting"]["actions"] == [0, 1, 2, None, 4, 5]
    known = [rate is not None for rate in told["per_second"]["done"]]
    assert known == [False, True, True, False, False, True]
    rows = re.findall("<tr><th scope=.row.>.*?</tr>", client.get(TABLES[0]).text, re.DOTALL)
    assert any("—" in row for row in rows)
    assert not any("<td>0</td>" in row for row in rows)


def test_the_table_says_the_same_in_fewer_rows(visit: Visit, readings: Readings) -> None:
    """A row for each minute, the newest first, under headings."""
    keep(readings, range(121), last=120)
    client = visit("viewer")
    for path, first in zip(TABLES, ("accepted", "observers"), strict=True):
        tree = html5lib.parse(client.get(path).text, namespaceHTMLElements=False)
        headings = [one.text for one in tree.iter("th") if one.get("scope") == "col"]
        assert headings[:2] == ["until", first]
        rows = [row for row in tree.iter("tr") if row.find("td") is not None]
        assert 20 <= len(rows) <= 22
        times = [row.findtext("th") for row in rows]
        assert len(set(times)) == len(times)
    rates = re.findall(r"<td>([^<]*)</td>", client.get(TABLES[0]).text)[:6]
    assert rates == ["2", "4", "0.2", "0.1", "375 ms", "498 ms"]


def test_what_is_not_known_is_said(visit: Visit, readings: Readings) -> None:
    """That nothing was noted, since when nothing is, and where it begins."""
    client = visit("viewer")
    assert "is one running?" in client.get(READINGS).json()["notes"][0]
    for path in TABLES:
        text = client.get(path).text
        assert "Nothing was noted in this hour" in text
        assert "<table" not in text
    keep(readings, range(361), last=361)
    client.app.app.state.console.courses["hour"].forget()
    assert client.get(READINGS).json()["notes"] == []
    noon = datetime(2026, 11, 21, 12, tzinfo=UTC)
    some = [made_up(noon.timestamp() - EACH * (130 - n), n) for n in range(100)]
    silent, young = course_of(some, RINGS["hour"], noon).notes
    assert silent.startswith("Nothing was noted for 5.2 min: what happened since is not known.")
    assert young.startswith("Begins at 2026-11-21 11:38:20: nothing older is known.")


def test_a_day_is_the_other_ring(visit: Visit, readings: Readings) -> None:
    """And a span that there is not is refused."""
    now = time.time()
    for n in range(3):
        readings.keep(made_up(now - 120 * (2 - n), n), [RINGS["day"]])
    client = visit("viewer")
    told = client.get(READINGS, params={"span": "day"}).json()
    assert (told["step"], told["per_second"]["accepted"][1:]) == (120, [pytest.approx(1 / 6)] * 2)
    assert client.get(READINGS).json()["at"] == []
    assert client.get(READINGS, params={"span": "week"}).status_code == 422
    assert client.get("/ops/?span=day").text.count("readings?span=day") == 1
    assert client.get("/ops/?span=week").status_code == 422


def test_a_course_that_cant_be_read_is_an_error(
    visit: Visit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And no empty table."""

    def gone(*_: object) -> None:
        raise RedisGone("gone")

    monkeypatch.setattr(Readings, "of", gone)
    client = visit("viewer")
    answer = client.get(READINGS)
    assert answer.status_code == 503
    assert "Redis did not answer" in answer.json()["error"]
    for path in TABLES:
        answer = client.get(path)
        assert answer.status_code == 503
        assert "Redis did not answer" in answer.text


def test_nobody_unknown_is_told_how_it_goes_or_what_runs(visit: Visit) -> None:
    """The gate is in front of it, and the version is behind it."""
    nobody = visit(None)
    assert nobody.get(READINGS).status_code == 401
    assert "Version" not in nobody.get("/ops/login").text
    shown = visit("viewer", revision="v9-test").get("/ops/").text
    assert "revision v9-test" in shown
