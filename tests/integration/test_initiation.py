"""Initiating a replica set: what it refuses, and how long it waits."""

import pytest

from pipeline.errors import SettingError, Unavailable
from workers.initiation import Initiated, initiate

NOBODY = "mongodb://127.0.0.1:1/?replicaSet=pipeline"


def test_a_set_that_has_a_primary_stays_as_it_is(mongo_url: str) -> None:
    """Whoever asks is told its name and its member."""
    member = mongo_url.removeprefix("mongodb://").partition("/")[0]
    assert initiate(mongo_url, 60) == Initiated("pipeline", member, new=False)


def test_a_server_of_another_set_is_refused_at_once(mongo_url: str) -> None:
    """It can be in one only."""
    with pytest.raises(Unavailable, match="is in the replica set 'pipeline', not 'other'"):
        initiate(mongo_url.replace("=pipeline", "=other"), 60)


def test_a_server_that_does_not_answer_is_waited_for_only_so_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And named."""
    monkeypatch.setattr("workers.initiation.ANSWER_TIMEOUT_MS", 100)
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1:1 has no primary after 0\.1 s: .*refused"):
        initiate(NOBODY, 0.1)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("mongodb://a:1/", "names no replica set"),
        ("mongodb://a:1,b:2/?replicaSet=x", "names 2 servers"),
        ("mongodb://me:hun/ter2@a:1/?replicaSet=x", "is no address"),
    ],
)
def test_an_address_that_is_not_of_one_server_and_its_set_is_refused(url: str, said: str) -> None:
    """Without a password in the sentence."""
    with pytest.raises(SettingError, match=said) as refused:
        initiate(url, 0)
    assert "ter2" not in str(refused.value)
