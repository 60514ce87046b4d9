"""Parts of all entities: together they are all, and none is in two."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import PipelineError
from pipeline.slots import SLOTS, Part, slot_of


@given(st.integers(1, 300))
def test_the_parts_hold_every_slot_once(count: int) -> None:
    """However many parts there are."""
    held = [slot for number in range(count) for slot in Part(number, count).slots]
    assert held == list(range(SLOTS))


@given(st.integers(1, SLOTS))
def test_no_part_is_more_than_one_slot_larger_than_another(count: int) -> None:
    """The first, the last and the middle one."""
    sizes = {len(Part(number, count).slots) for number in {0, count // 2, count - 1}}
    assert max(sizes) - min(sizes) <= 1


def test_a_slot_does_not_change_from_release_to_release() -> None:
    """It is stored: these were worked out with another program's CRC-32."""
    assert slot_of("acme", "T1") == 0xA93A
    assert slot_of("acme", "ü") == 0x4A7A


@pytest.mark.parametrize("text", ["", "3", "16/16", "-1/4", "1/0", "0/65537", "a/b", "1/2/3"])
def test_what_is_no_part_is_refused_with_an_example(text: str) -> None:
    """A part is a number and how many there are."""
    with pytest.raises(PipelineError, match="0/16 to 15/16"):
        Part.parse(text)


def test_a_part_is_written_as_it_is_read() -> None:
    """So that a report can name it."""
    assert str(Part.parse("3/16")) == "3/16"
