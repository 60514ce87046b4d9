"""Which sources a process runs is told by the setting, else by git, else not at all."""

import subprocess
from pathlib import Path
from shutil import which

import pytest
from pydantic import ValidationError

from pipeline.metrics.own import Build
from pipeline.revision import git, revision_of
from pipeline.settings import Settings

HASH = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Make a checkout with one commit."""
    program = which("git")
    assert program is not None
    for said in (
        ["init", "--quiet"],
        ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "--allow-empty", "-mx"],
    ):
        subprocess.run([program, *said], cwd=tmp_path, check=True)
    return tmp_path


def test_what_the_setting_says_comes_first() -> None:
    """A hash is shortened, a name of somebody's own is not."""
    assert revision_of(HASH) == HASH[:12]
    assert revision_of("release-2026.11.21-rc1") == "release-2026.11.21-rc1"


def test_else_it_is_that_of_the_checkout(checkout: Path) -> None:
    """As git itself names it."""
    written = (checkout / ".git" / "refs" / "heads").iterdir()
    assert revision_of("", checkout) == next(written).read_text()[:12]


def test_a_checkout_around_the_package_is_not_its_own(checkout: Path) -> None:
    """Installed into somebody else's project it has not that project's revision."""
    inside = checkout / "lib"
    inside.mkdir()
    assert git(checkout, "rev-parse", "HEAD")
    assert git(inside, "rev-parse", "HEAD") is None


def test_nothing_known_is_told_as_that(tmp_path: Path) -> None:
    """Never as an empty label."""
    assert revision_of("", tmp_path) == "unknown"


def test_a_process_tells_it() -> None:
    """Beside its role and version."""
    (family,) = Build("worker", HASH).collect()
    (sample,) = family.samples
    assert (sample.labels["role"], sample.labels["revision"]) == ("worker", HASH[:12])
    assert sample.value == 1


def test_a_revision_that_is_no_word_is_refused() -> None:
    """It becomes a label and stands on every page."""
    with pytest.raises(ValidationError):
        Settings(revision="two words")
