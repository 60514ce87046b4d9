"""A large submission is cut so that what shares a document stays together, and in its order."""

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from pipeline.cutting import far_apart, sections

IDS = [f"{number:02}" for number in range(60)]
abouts = st.lists(st.lists(st.sampled_from(IDS), min_size=1, max_size=2), max_size=80)


def cut(abouts: list[list[str]], size: int) -> list[list[int]]:
    """The places of items that are about these ids, in sections."""
    return sections(range(len(abouts)), abouts.__getitem__, size)


def sharing(abouts: list[list[str]]) -> list[int]:
    """To each item a number that those have in common that share an id, if through others."""
    edges = [
        (place, len(abouts) + IDS.index(one)) for place, own in enumerate(abouts) for one in own
    ]
    rows, columns = zip(*edges, strict=True)
    nodes = len(abouts) + len(IDS)
    graph = coo_array((np.ones(len(edges)), (rows, columns)), shape=(nodes, nodes))
    return [int(one) for one in connected_components(graph, directed=False)[1][: len(abouts)]]


@given(abouts, st.integers(1, 30))
def test_every_item_is_in_one_section_and_the_order_within_is_kept(
    abouts: list[list[str]], size: int
) -> None:
    """Nothing is lost, nothing is there twice."""
    found = cut(abouts, size)
    assert sorted(place for section in found for place in section) == list(range(len(abouts)))
    assert all(section and section == sorted(section) for section in found)


@given(abouts.filter(bool), st.integers(1, 30))
def test_what_shares_an_id_is_in_one_section_which_is_large_only_for_that(
    abouts: list[list[str]], size: int
) -> None:
    """Or shares it through others; found by scipy another way."""
    of, found = sharing(abouts), cut(abouts, size)
    if len(abouts) <= size:
        assert found == [list(range(len(abouts)))]
        return
    places = [{of[place] for place in section} for section in found]
    assert sum(map(len, places)) == len(set().union(*places))
    for section, together in zip(found, places, strict=True):
        assert len(section) <= size or len(together) == 1


@pytest.mark.parametrize(("count", "size"), [(8_000, 500), (4_000, 500), (600, 500), (1_000, 300)])
def test_sections_of_many_documents_are_about_equal_and_no_more_than_needed(
    count: int, size: int
) -> None:
    """One more than would be full, so that those who belong together need not be parted."""
    found = sections(range(count), lambda number: [f"{number % (count // 2):09}"], size)
    lengths = Counter(len(section) for section in found)
    assert len(found) == count // size + 1
    assert max(lengths) - min(lengths) <= 2 * len(found)


def test_sections_are_about_ids_near_each_other_and_neighbours_about_others() -> None:
    """Of two tenants in turn, a section is about one, and the next section about the other."""
    tenants = ["left", "right"] * 40
    found = sections(range(80), lambda n: [f"{tenants[n]}:{n:02}"], 10)
    about = [Counter(tenants[place] for place in section).most_common(1)[0] for section in found]
    assert sum(count < len(section) for section, (_, count) in zip(found, about, strict=True)) <= 1
    assert sum(one != other for (one, _), (other, _) in pairwise(about)) >= len(found) - 2


def test_the_order_is_that_of_reversed_bits() -> None:
    """As van der Corput gives it."""
    assert far_apart(8) == [0, 4, 2, 6, 1, 5, 3, 7]
    assert far_apart(1) == [0]


@given(st.integers(0, 500))
def test_no_two_neighbours_are_near_each_other(count: int) -> None:
    """All numbers are there, and none follows one that is nearer than a seventh of all."""
    order = far_apart(count)
    assert sorted(order) == list(range(count))
    assert all(abs(one - other) >= count // 7 for one, other in pairwise(order))


def test_nobody_is_asked_what_few_items_are_about() -> None:
    """A submission of no more than a batch costs nothing more."""

    def refuse(_: int) -> list[str]:
        raise AssertionError

    assert sections([3, 1, 2], refuse, 3) == [[3, 1, 2]]
    assert sections([], refuse, 3) == []
