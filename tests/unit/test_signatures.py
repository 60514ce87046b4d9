"""Messages of one cause have one signature, and those of another cause another."""

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.signatures import SIGNATURE_CHARACTERS, SILENT, signature_of

words = st.text("abcdefghijklmnopqrstuvwxyzäß", min_size=1, max_size=8)
sentences = st.lists(words, min_size=1, max_size=8).map(" ".join)
numbers = st.one_of(
    st.integers(-(10**12), 10**12).map(str),
    st.decimals(0, 10**6, places=2).map("{:,}".format),
    st.times().map("{:%H:%M:%S}".format),
)
hexes = st.binary(min_size=8, max_size=20).map(lambda some: f"0x{some.hex()}")
ids = st.uuids().map(str)
quoted = st.text(st.characters(exclude_characters="'\"`"), max_size=40).map("'{}'".format)


@given(sentences, st.one_of(numbers, hexes, ids, quoted), sentences)
def test_what_differs_from_event_to_event_does_not_matter(
    before: str, thing: str, after: str
) -> None:
    """A number, an id or a quoted text in a sentence is as good as any other of its kind."""
    same = {"0x": "0x00ff00ff00ff00ff", "'": "'x'"}.get(thing[:2] if thing[0] == "0" else thing[0])
    if same is None:
        is_id = len(thing) == 36 and thing.count("-") == 4
        same = str(uuid.UUID(int=255)) if is_id else "7"
    signature = signature_of(f"{before} {thing} {after}")
    assert signature == signature_of(f"{before} {same} {after}")


@given(sentences, sentences)
def test_what_is_said_in_other_words_is_another_thing(one: str, other: str) -> None:
    """Nothing but numbers, ids and quoted texts is left out, up to the longest signature."""
    assert signature_of(f"{one} 7") == f"{one} #"[:SIGNATURE_CHARACTERS]
    assert (signature_of(one) == signature_of(other)) == (one == other)


@given(st.text(max_size=1200))
def test_whatever_is_said_has_a_signature_in_bounds(message: str) -> None:
    """One line of 1 to 120 characters, in which no digit is left."""
    signature = signature_of(message)
    assert 1 <= len(signature) <= SIGNATURE_CHARACTERS
    assert not any(character.isdecimal() for character in signature)
    assert not {"\n", "\t", "\r"} & set(signature)


@pytest.mark.parametrize(
    ("message", "signature"),
    [
        ("told to fail on e17", "told to fail on e#"),
        ("'line_items'", "'line_items'"),
        ("'order-17'", "'order-#'"),
        ("amount -1,234.50 of order_9 is negative", "amount # of order_# is negative"),
        ("id 3f2a9c1d00 of aB3xK9 at 0x7FFE12", "id <id> of <id> at <id>"),
        ("10.0.0.1:8080 did not answer", "# did not answer"),
        ("can't take 'abc' and won't \"q r\"", "can't take '…' and won't '…'"),
        ("two\n  lines\t7", "two lines #"),
        ("", SILENT),
        ("x" * 1000, "x" * 120),
    ],
)
def test_signatures_are_read_by_persons(message: str, signature: str) -> None:
    """As the console shows them."""
    assert signature_of(message) == signature
