"""Which tenants metrics tell apart."""

import math

import pytest
from pydantic import ValidationError

from pipeline.settings import Settings


def tenants(text: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """What a process makes of the environment."""
    monkeypatch.setenv("PIPELINE_METRICS_TENANTS", text)
    return Settings(_env_file=None).metrics_tenants


def test_tenants_are_named_with_the_silence_they_may_keep(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without seconds for ever; nothing names none."""
    assert tenants("acme=3600, zoe", monkeypatch) == {"acme": 3600.0, "zoe": math.inf}
    assert tenants("", monkeypatch) == {}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (",".join(f"t{n}" for n in range(201)), "at most 200"),
        ("acme=0", "more than 0 seconds"),
        ("acme=soon", "valid number"),
        ("acme=nan", "more than 0 seconds"),
    ],
)
def test_too_many_tenants_and_silences_that_are_none_are_refused(
    text: str, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a sentence."""
    with pytest.raises(ValidationError, match=why):
        tenants(text, monkeypatch)
