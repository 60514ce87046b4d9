"""The search remembers which tenants there are, and nobody is told of it."""

import pytest

from dashboards.web.finding import Search
from pipeline.lookup import Found
from pipeline.store import Store
from tests.facts import fact
from tests.integration.letters import Letters


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Give a list that grows by each time that MongoDB is asked for the tenants."""
    found, tenants = list[int](), Store.tenants

    def counted(store: Store, *args: object, **options: object) -> list[str]:
        found.append(1)
        return tenants(store, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Store, "tenants", counted)
    return found


def test_tenants_are_asked_for_once_for_many_searches(pipeline: Letters, asked: list[int]) -> None:
    """Whatever is found, and whoever looks for it."""
    search = Search(pipeline.store, pipeline.registry)
    for text in ("G", "e0", "acme:G", "G"):
        assert search(text).anything, text
    assert len(asked) == 1
    assert search("G").entities == [("acme", "G")]
    assert search("G").tenants == 1


def test_an_entity_of_a_new_tenant_is_found_at_once(pipeline: Letters, asked: list[int]) -> None:
    """Since where nothing is found it is asked anew; and then remembered."""
    search = Search(pipeline.store, pipeline.registry)
    assert search("G").anything
    pipeline.process(fact("n1", tenant="newco", entity_id="N", status="open"))
    found = search("N")
    assert (found.entities, found.tenants) == ([("newco", "N")], 2)
    assert search("N") == found
    assert len(asked) == 2


def test_what_is_nowhere_is_looked_for_among_all(pipeline: Letters, asked: list[int]) -> None:
    """Each time, since a tenant may have come; and nothing is what nothing was asked for."""
    search = Search(pipeline.store, pipeline.registry)
    for looks in (2, 3):
        assert search("nowhere") == Found(tenants=1)
        assert len(asked) == looks
    assert search("  ") == Found()
    assert search("newco:nowhere") == Found()
    assert len(asked) == 3
