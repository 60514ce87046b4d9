"""The end of a log, as it is shown to people."""

from pathlib import Path

import pytest

from workers.tail import LINE_CHARACTERS, TAIL_BYTES, last_lines, tail


def test_the_last_lines_that_say_something(tmp_path: Path) -> None:
    """Blank lines are none; a last line without its end is one."""
    log = tmp_path / "log"
    log.write_text("one\n\n  two\n \nthree")
    assert last_lines(log, 2) == ["two", "three"]
    assert last_lines(log, 5) == ["one", "two", "three"]


def test_a_long_log_is_not_read_whole(tmp_path: Path) -> None:
    """Only its end is, and no line whose beginning is missing is shown."""
    log = tmp_path / "log"
    log.write_text("x" * TAIL_BYTES + "secret\nlast\n")
    assert len(tail(log)) == TAIL_BYTES
    assert last_lines(log, 5) == ["last"]


def test_no_log_has_no_lines(tmp_path: Path) -> None:
    """An absent file is an empty one."""
    assert tail(tmp_path / "absent") == ""
    assert last_lines(tmp_path / "absent", 3) == []


def test_what_is_no_text_is_shown_somehow(tmp_path: Path) -> None:
    """A crash may leave anything."""
    log = tmp_path / "log"
    log.write_bytes(b"\xff\xfe broken\n")
    assert last_lines(log, 1) == ["\ufffd\ufffd broken"]


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("no answer of mongodb://me:pa@ss@host:1/?w=1", "no answer of mongodb://***host:1/?w=1"),
        ("redis://:hidden@127.0.0.1:6379/0 is gone", "redis://***127.0.0.1:6379/0 is gone"),
        ("h/?tlsCertificateKeyFilePassword=p&w=1", "h/?tlsCertificateKeyFilePassword=***&w=1"),
        ("event e1@acme/shop at http://host/a@b", "event e1@acme/shop at http://host/a@b"),
    ],
)
def test_passwords_of_addresses_are_masked(said: str, shown: str, tmp_path: Path) -> None:
    """And nothing else is."""
    log = tmp_path / "log"
    log.write_text(said)
    assert last_lines(log, 1) == [shown]


def test_a_line_is_cut_after_it_is_masked(tmp_path: Path) -> None:
    """A cut through an address shows no half of its password."""
    log = tmp_path / "log"
    log.write_text("x" * (LINE_CHARACTERS - 21) + " redis://me:hiddenhidden@host")
    (line,) = last_lines(log, 1)
    assert len(line) <= LINE_CHARACTERS
    assert "hidden" not in line
