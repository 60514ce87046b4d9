"""One run, declared: what is sent, how, with which settings, and what is done to it meanwhile."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from benchmarks.failing import Failing
from benchmarks.results import PIPELINE, Load, Value
from benchmarks.workload import Workload


class Spec(BaseModel):
    """A run to be made.

    Attributes:
        subject: `pipeline`, or a peer's name.
        workload: what is sent.
        load: in bulk, or on a timetable.
        per_second: of a timetable.
        workers: worker processes.
        settings: of the pipeline, by their names, where they are not the defaults.
        locks: whether ids are leased.
        stored: events that are there before the first one is measured.
        kill_every: seconds between two `kill -9` of a worker; None kills none.
        failing: how often handlers fail, and of which events; None lets none fail.
        judged: whether every table is compared with a sequential run afterwards.
        by_batch: whether events are submitted a batch at a time instead of a window. Where order
            counts they have to be: a window puts together what came apart.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    subject: str = PIPELINE
    workload: Workload = Workload()
    load: Load = Load.BULK
    per_second: float | None = Field(default=None, gt=0)
    workers: int = Field(default=2, ge=1, le=64)
    settings: dict[str, Value] = Field(default_factory=dict)
    locks: bool = True
    stored: int = Field(default=0, ge=0)
    kill_every: float | None = Field(default=None, gt=0)
    failing: Failing | None = None
    judged: bool = False
    by_batch: bool = False

    @model_validator(mode="after")
    def _timed(self) -> Self:
        if (self.load is Load.OPEN) != (self.per_second is not None):
            raise ValueError("an open load has a rate, and no other load has one")
        return self
