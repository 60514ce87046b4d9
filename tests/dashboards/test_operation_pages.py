"""Operations: planned, confirmed, run at a bounded rate, followed, cancelled and gone on with."""

import re

import pytest

from dashboards.pages import failed
from pipeline.store import Phase
from tests.dashboards.conftest import Visit
from tests.dashboards.visiting import GROUP, operations, plan, wait_for
from tests.integration.letters import Letters


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
