"""Choosing a part of the runs of scenarios, by what they differ in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

from benchmarks.results import Value
from benchmarks.spec import Spec


class UnfitSelectionError(Exception):
    """The choice can't be read, or no run is left by it; the message says what there is."""


@dataclass(frozen=True)
class Selection:
    """Which runs are made: for each name, those that have one of its values.

    Attributes:
        wanted: by name, values as texts; no names choose every run.
    """

    wanted: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @classmethod
    def parsed(cls, texts: Iterable[str]) -> Self:
        """Of texts such as `workers=2` and `subject=bullmq,limit`.

        Raises:
            UnfitSelectionError: a text is none such.
        """
        wanted: dict[str, list[str]] = {}
        for text in texts:
            name, sign, values = text.partition("=")
            if not (name and sign and values):
                raise UnfitSelectionError(
                    f"{text!r} chooses no runs; say a name and its values, such as workers=1,2"
                )
            wanted.setdefault(name, []).extend(values.split(","))
        return cls(wanted)

    def takes(self, labels: Mapping[str, Value], spec: Spec) -> bool:
        """Whether a run is made."""
        said = facts(labels, spec)
        return all(said.get(name) in values for name, values in self.wanted.items())

    def __str__(self) -> str:
        return " ".join(f"{name}={','.join(values)}" for name, values in self.wanted.items())


def facts(labels: Mapping[str, Value], spec: Spec) -> dict[str, str]:
    """What a run can be chosen by: its labels, its subject, its load and its workers."""
    said: dict[str, Value] = {"subject": spec.subject, "load": spec.load, "workers": spec.workers}
    if spec.per_second is not None:
        said["per_second"] = spec.per_second
    return {name: _text(value) for name, value in {**said, **labels}.items()}


def _text(value: Value) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)
