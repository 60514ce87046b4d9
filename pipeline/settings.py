"""Settings, from the environment (`PIPELINE_*`) or a `.env` file; frozen after the start."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

MEBIBYTE = 1024 * 1024
MOST_TENANTS = 200
"""Told apart in metrics; each is several series."""


class Settings(BaseSettings):
    """Everything a process is told from outside.

    Addresses hold passwords, so they are secrets and never print themselves.
    """

    model_config = SettingsConfigDict(env_prefix="PIPELINE_", env_file=".env", frozen=True)

    mongo_url: SecretStr | None = None
    """Address of a MongoDB replica set; none starts an embedded one."""
    redis_url: SecretStr | None = None
    """Address of a Redis of the pipeline's own; none starts an embedded one."""
    database: str = "pipeline"
    """Name of the MongoDB database."""
    data_dir: Path = Path(".pipeline")
    """Where embedded servers keep their data."""
    handlers: Annotated[list[str], NoDecode] = ["handlers.appointments"]
    """Modules or packages that declare handlers; a comma-separated list in the environment."""
    workers: Annotated[int, Field(ge=1, le=64)] = 2
    """Worker processes that `pipeline up` starts."""
    worker_memory_mib: Annotated[int, Field(ge=128)] = 512
    """Resident memory, in MiB, above which a worker ends after its batch and starts anew."""
    drain_seconds: Annotated[float, Field(ge=0)] = 30.0
    """How long a process that is told to end may take for what it has begun, until it is killed."""
    batch_size: Annotated[int, Field(ge=1, le=500)] = 500
    """Most events in one batch, and so in one transaction."""
    take_along: Annotated[int, Field(ge=0, le=500)] = 20
    """Most events of a fold that runs its observers in its own transaction; 0 never does."""
    max_pending: Annotated[int, Field(ge=1)] = 100_000
    """Batches that may wait to be done; beyond that nothing is taken in."""
    max_payload_bytes: Annotated[int, Field(ge=1, le=15 * MEBIBYTE)] = 4 * MEBIBYTE
    """Largest payload accepted; MongoDB's own limit for a document is 16 MiB."""
    max_clock_skew: timedelta = timedelta(days=1)
    """How far ahead of our clock an event may say that it happened."""
    max_attempts: Annotated[int, Field(ge=1, le=100)] = 5
    """Attempts of a handler on an event before it is a dead letter."""
    sweep_interval: Annotated[float, Field(gt=0)] = 1.0
    """Seconds between two passes of the sweeper."""
    rescue_after: Annotated[float, Field(gt=0)] = 10.0
    """Seconds after which a batch without a live job is enqueued again."""
    lease_seconds: Annotated[int, Field(ge=2)] = 10
    """Seconds without a heartbeat after which a worker counts as gone."""
    sample_interval: Annotated[float, Field(ge=0)] = 300.0
    """Seconds between two background verifications of the next small part; 0 makes none."""
    metrics_host: str = "127.0.0.1"
    """Address that metrics are served on."""
    metrics_port: Annotated[int, Field(ge=0, le=65535)] = 0
    """Port on which a process serves metrics for Prometheus; 0 serves none. `pipeline up` takes
    this one; the sweeper has the next, the workers those after it, and the console the last."""
    metrics_tenants: Annotated[dict[str, float], NoDecode] = {}
    """Tenants that metrics tell apart, at most 200, each with the seconds for which it may send
    nothing; all others are one. In the environment `acme=3600,zoe`: zoe may be silent for ever."""
    dashboard_host: str = "127.0.0.1"
    """Address that the console is served on; behind a proxy that speaks TLS, if not loopback."""
    dashboard_port: Annotated[int, Field(ge=0, le=65535)] = 9181
    """Port of the console; 0 leaves it out of `pipeline up`."""
    console_users: Path | None = None
    """File of the persons who may log in to the console; see `pipeline console user`."""
    console_token: SecretStr | None = None
    """What the owner logs in with; without users one is made and kept in the data folder."""
    console_proxy_secret: SecretStr | None = None
    """What a reverse proxy proves itself with, which then says who a visitor is."""
    console_read_only: bool = False
    """Whether the console refuses everything that changes something, whoever asks."""
    console_benchmarks: Path = Path("bench-results")
    """Folder of the benchmark results that the console shows."""
    console_badge: str = ""
    """Shown on every page, such as PROD, so that nobody takes one environment for another."""
    revision: Annotated[str, Field(pattern=r"^[A-Za-z0-9._+-]{0,64}$")] = ""
    """Revision of the sources, told in metrics and by the console; an image is built with it. Where
    none is named, that of the git checkout which is run, if it is one."""
    log_level: str = "info"
    """Lowest level that is logged."""

    @field_validator("metrics_tenants", mode="before")
    @classmethod
    def _pairs(cls, value: object) -> object:
        if isinstance(value, str):
            pairs = [pair.partition("=") for pair in value.split(",") if pair.strip()]
            value = {name.strip(): seconds.strip() or "inf" for name, _, seconds in pairs}
        return value

    @field_validator("metrics_tenants")
    @classmethod
    def _bounded(cls, value: dict[str, float]) -> dict[str, float]:
        if len(value) > MOST_TENANTS:
            raise ValueError(f"{len(value)} tenants; at most {MOST_TENANTS} are told apart")
        if not all(seconds > 0 for seconds in value.values()):
            raise ValueError("a tenant may be silent for more than 0 seconds")
        return value

    @field_validator("handlers", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return [name.strip() for name in value.split(",") if name.strip()]
        return value
