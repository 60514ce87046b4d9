"""What measuring comes to, as it is kept: one JSON file a result, one entry a run.

Everything that reads results (the report, a comparison, a prediction) reads these models and
nothing else, so whoever measured and whoever reads need not know each other.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Final, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, NonNegativeFloat, NonNegativeInt

FORMAT: Final = 1
PIPELINE: Final = "pipeline"
"""The subject of runs of this project; those of peers have their names."""

Value = str | int | float | bool


class _Kept(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Load(StrEnum):
    """How events are sent."""

    BULK = "bulk"
    """As many as go through; throughput is the question."""
    OPEN = "open"
    """One by one on a fixed timetable, whether or not they are keeping up; latency is."""


class Percentiles(_Kept):
    """A distribution of times in milliseconds; an event counts from when it was due."""

    count: NonNegativeInt
    mean: NonNegativeFloat
    p50: NonNegativeFloat
    p90: NonNegativeFloat
    p95: NonNegativeFloat
    p99: NonNegativeFloat
    p999: NonNegativeFloat
    max: NonNegativeFloat


class Latency(_Kept):
    """How long events took.

    Attributes:
        wait: from when it was due until its first handler began to read.
        run: from then until its last handler's commit.
        end_to_end: both together.
    """

    wait: Percentiles | None = None
    run: Percentiles | None = None
    end_to_end: Percentiles


class Usage(_Kept):
    """What a process took while events were worked off."""

    process: str
    cpu_seconds: NonNegativeFloat
    rss_mib_start: NonNegativeFloat
    rss_mib_max: NonNegativeFloat
    rss_mib_end: NonNegativeFloat


class Cost(_Kept):
    """What the servers were asked to do, all events together.

    Attributes:
        redis_commands: commands that Redis was given, those inside of scripts included.
        redis_bytes: bytes to and from Redis.
        mongodb_operations: by kind (insert, query, update, delete, getmore, command).
        mongodb_bytes: bytes to and from MongoDB.
    """

    redis_commands: NonNegativeInt = 0
    redis_bytes: NonNegativeInt = 0
    mongodb_operations: dict[str, NonNegativeInt] = Field(default_factory=dict)
    mongodb_bytes: NonNegativeInt = 0


class Reliability(_Kept):
    """What went wrong and what was put right; None where a subject can't tell.

    Attributes:
        errors: attempts of a handler that failed.
        retries: attempts after the first.
        dead: events that were given up.
        doomed: events that had to be given up, since no attempt at them can succeed.
        late: events that came after a later one of their document.
        duplicates: copies that were turned away.
        lost: events without their effect in the end.
        doubled: events with their effect more than once.
        wrong: documents that are not what a sequential run makes of the same events.
    """

    errors: NonNegativeInt | None = None
    retries: NonNegativeInt | None = None
    dead: NonNegativeInt | None = None
    doomed: NonNegativeInt | None = None
    late: NonNegativeInt | None = None
    duplicates: NonNegativeInt | None = None
    lost: NonNegativeInt | None = None
    doubled: NonNegativeInt | None = None
    wrong: NonNegativeInt | None = None


class Run(_Kept):
    """One run of one subject.

    Attributes:
        scenario: its name.
        subject: `pipeline`, or a peer's name.
        variant: what differs between the runs of a scenario, such as workers or rate.
        repeat: 1 for the first of several alike; runs of one number were made side by side.
        load: how events were sent.
        workers: worker processes.
        seed: of the data and their disorder.
        began_at: when the first event was sent.
        seconds: from the first event sent to nothing left to do.
        events: different events.
        sent: with those sent more than once.
        offered_per_second: of an open load, the timetable's rate.
        backlog: events that still waited when the last one had been sent.
        latency: how long events took, where it was measured.
        usage: by process.
        cost: what the servers were asked to do.
        reliability: what went wrong.
        settings: those that are not the defaults.
        passed: whether it was as the scenario asks for; None where that asks for nothing of it.
        missed: of what the scenario asks for, a sentence each.
        figures: what else was measured, by name, which ends with the unit.
        notes: sentences that a reader has to know.
    """

    scenario: str
    subject: str = PIPELINE
    variant: dict[str, Value] = Field(default_factory=dict)
    repeat: int = 1
    load: Load
    workers: int
    seed: int
    began_at: AwareDatetime
    seconds: NonNegativeFloat
    events: NonNegativeInt
    sent: NonNegativeInt
    offered_per_second: NonNegativeFloat | None = None
    backlog: NonNegativeInt = 0
    latency: Latency | None = None
    usage: list[Usage] = Field(default_factory=list)
    cost: Cost = Cost()
    reliability: Reliability = Reliability()
    settings: dict[str, Value] = Field(default_factory=dict)
    passed: bool | None = None
    missed: list[str] = Field(default_factory=list)
    figures: dict[str, float] = Field(default_factory=dict)
    notes: list[str] = Field(default_factory=list)

    @property
    def per_second(self) -> float:
        """Events a second, those sent more than once counted as often."""
        return self.sent / self.seconds if self.seconds else 0.0


class Environment(_Kept):
    """Where it was measured; figures of different environments don't compare.

    Attributes:
        system: operating system and kernel.
        cpu: the processor's name.
        cores: how many.
        memory_gib: how much.
        load_before: the machine's load (one minute) before the first run.
        versions: of python, mongod, redis-server and packages.
        revision: of this repository, with `+` where files differ from it.
        write_concern: of MongoDB, such as `majority, journaled, 1 member`.
        redis_durability: such as `appendonly everysec`.
    """

    system: str
    cpu: str
    cores: int
    memory_gib: float
    load_before: float
    versions: dict[str, str]
    revision: str | None = None
    write_concern: str
    redis_durability: str


class Result(_Kept):
    """All that one call of the runner measured."""

    format: Literal[1] = FORMAT
    name: str
    began_at: AwareDatetime
    ended_at: datetime | None = None
    environment: Environment
    runs: list[Run] = Field(default_factory=list)
