"""What all commands share: options, the application, output, and how a failure ends."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from enum import IntEnum
from typing import Annotated, Any, NoReturn

import typer
from pydantic import ValidationError
from pymongo.errors import PyMongoError
from redis.exceptions import RedisError
from rich.console import Console
from rich.markup import escape

from pipeline.errors import DeclarationError, NotFound, PipelineError, SettingError, Unavailable
from pipeline.settings import Settings
from workers.bootstrap import Application, application, servers
from workers.doctor import without_secret
from workers.embedded import EmbeddedError


class Exit(IntEnum):
    """What an exit status means, for every command."""

    OK = 0
    FAILED = 1
    """The command ran, and what it looked for is wrong or absent."""
    USAGE = 2
    """The command line or a setting can't be understood."""
    PARTLY = 3
    """Some of the input was refused; the rest is done."""
    UNAVAILABLE = 4
    """A server is missing or does not answer; trying again later may help."""
    UNFINISHED = 5
    """It goes on without this command, and how it ends is not known yet."""


out = Console()
err = Console(stderr=True)

Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


def settings_from(**overrides: Any) -> Settings:
    """The settings, with what the command line says instead of the environment.

    Ends the command with a sentence where a setting can't be understood.
    """
    try:
        return Settings(**{name: value for name, value in overrides.items() if value is not None})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = "PIPELINE_" + "_".join(str(part) for part in first["loc"]).upper()
        fail(f"{name}: {first['msg']}", Exit.USAGE)


@contextmanager
def opened(settings: Settings) -> Iterator[Application]:
    """The application; troubles on the way end the command with a sentence."""
    with explained(), servers(settings) as where, application(settings, where) as app:
        yield app


@contextmanager
def explained() -> Iterator[None]:
    """Turn the errors a person can do something about into a sentence and a status."""
    try:
        yield
    except (EmbeddedError, Unavailable) as error:
        fail(str(error), Exit.UNAVAILABLE)
    except (RedisError, PyMongoError) as error:
        fail(f"a server stopped answering: {without_secret(str(error))}", Exit.UNAVAILABLE)
    except (DeclarationError, SettingError) as error:
        fail(str(error), Exit.USAGE)
    except NotFound as error:
        fail(str(error), Exit.FAILED)
    except PipelineError as error:
        fail(str(error), Exit.FAILED)
    except BrokenPipeError:
        # The reader has gone, as `head` does; what it wanted it has.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(Exit.OK) from None


def fail(message: str, status: Exit) -> NoReturn:
    """Say what is wrong on standard error, and end."""
    err.print(f"[bold red]✗[/] {escape(message)}", highlight=False, soft_wrap=True)
    raise typer.Exit(status)


def print_json(value: object) -> None:
    """One JSON document on standard output; times in ISO 8601 and UTC, no number as null."""
    text = json.dumps(_of_json(value), default=_plain, ensure_ascii=False, allow_nan=False)
    sys.stdout.write(text + "\n")


def moment(value: datetime) -> str:
    """A time for people: UTC, milliseconds where there are any."""
    text = value.strftime("%Y-%m-%d %H:%M:%S")
    return f"{text}.{value.microsecond // 1000:03d}" if value.microsecond else text


def cell(value: object) -> str:
    """A value for a table, or for a sentence with markup: whoever named it meant no markup."""
    if isinstance(value, datetime):
        return moment(value)
    if isinstance(value, Mapping):
        return "\n".join(f"{escape(str(name))} {cell(inner)}" for name, inner in value.items())
    return escape(str(value)) if value is not None else "[dim]-[/]"


def _of_json(value: object) -> object:
    """The same value with null for what no JSON can say: NaN and the infinities."""
    match value:
        case float():
            return value if math.isfinite(value) else None
        case Mapping():
            return {name: _of_json(inner) for name, inner in value.items()}
        case list() | tuple():
            return [_of_json(inner) for inner in value]
        case _:
            return value


def _plain(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
