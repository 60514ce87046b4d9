"""Embedded servers that cannot start: one sentence with what is wrong and what to do."""

import socket
from pathlib import Path
from typing import cast

import psutil
import pytest

from workers.embedded import (
    MONGOD,
    EmbeddedMongo,
    EmbeddedRedis,
    EmbeddedServer,
    PortTaken,
    ServerFailed,
    ServerMissing,
)
from workers.embedded.process import free_port
from workers.embedded.programs import Program


def programs_on_path(monkeypatch: pytest.MonkeyPatch, folder: Path, **scripts: str) -> None:
    """Make a PATH that has these shell scripts and nothing else."""
    folder.mkdir()
    for name, text in scripts.items():
        script = folder / name.replace("_", "-")
        script.write_text(f"#!/bin/sh\n{text}\n")
        script.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))


@pytest.fixture(params=[EmbeddedRedis, EmbeddedMongo], ids=["redis", "mongodb"])
def kind(request: pytest.FixtureRequest) -> type[EmbeddedServer]:
    """Run a test for each of the two servers."""
    return cast("type[EmbeddedServer]", request.param)


def test_a_taken_port_that_was_asked_for_is_named(
    kind: type[EmbeddedServer], tmp_path: Path
) -> None:
    """A port given by the user is not silently replaced."""
    with socket.socket() as stranger:
        port = free_port()
        stranger.bind(("127.0.0.1", port))
        stranger.listen()
        with pytest.raises(PortTaken, match=f"port {port}.*{kind.program.setting}"):
            kind(tmp_path, port=port).start()


def test_a_missing_program_says_what_to_install_or_set(
    kind: type[EmbeddedServer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither on the PATH nor in a wheel: one sentence with both ways out."""
    program = kind.program
    absent = Program(
        program.command, "no_such_package", "bin", program.wheel, program.machines, program.setting
    )
    programs_on_path(monkeypatch, tmp_path / "bin")
    monkeypatch.setattr(kind, "program", absent)
    with pytest.raises(ServerMissing, match=f"{program.wheel} is not installed.*{program.setting}"):
        kind(tmp_path).start()


def test_a_wheel_for_another_machine_is_not_tried(
    kind: type[EmbeddedServer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sentence names this machine and the one the wheel is for."""
    programs_on_path(monkeypatch, tmp_path / "bin")
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    with pytest.raises(
        ServerMissing, match=f"x86_64.*not Linux on riscv64.*{kind.program.setting}"
    ):
        kind(tmp_path).start()


def test_a_program_on_the_path_goes_before_the_wheel(
    kind: type[EmbeddedServer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the system's owner installed is what runs."""
    command = kind.program.command
    programs_on_path(monkeypatch, tmp_path / "bin", **{command: "echo v=9.8.7"})
    assert kind.program.find() == tmp_path / "bin" / command
    assert kind.program.version() == "9.8.7"


@pytest.mark.parametrize("library", ["libcurl.so.4", "libstrange.so.9"])
def test_a_missing_library_is_named_with_what_to_install(
    library: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both the start and the doctor's look at the version say which package to install."""
    message = f"mongod: error while loading shared libraries: {library}: cannot open"
    programs_on_path(monkeypatch, tmp_path / "bin", mongod=f"echo '{message}' >&2; exit 127")
    hint = {"libcurl.so.4": r"apt-get install libcurl4\)"}.get(library, f"has {library}")
    with pytest.raises(ServerMissing, match=f"{library}.*{hint}.*PIPELINE_MONGO_URL"):
        EmbeddedMongo(tmp_path).start()
    with pytest.raises(ServerMissing, match=f"{library}.*{hint}.*PIPELINE_MONGO_URL"):
        MONGOD.version()


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ("WiredTiger error: No space left on device", "the disk is full: free some space"),
        ("Invalid feature compatibility version value '8.0'", "another version of MongoDB"),
        ("DBPathInUse: Unable to lock the lock file", "Another mongod, not started by this"),
        ("something nobody has seen before", "ended with status 14 at its start: its log is"),
    ],
)
def test_a_failed_start_gives_the_reason_from_the_log(
    said: str, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The known reasons are told in a sentence, an unknown one by where to read on."""
    programs_on_path(monkeypatch, tmp_path / "bin", mongod=f'echo "{said}"; exit 14')
    with pytest.raises(ServerFailed, match=sentence):
        EmbeddedMongo(tmp_path).start()


def test_a_program_for_another_processor_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel's refusal to run it becomes a sentence."""
    programs_on_path(monkeypatch, tmp_path / "bin")
    strange = tmp_path / "bin" / "mongod"
    strange.write_bytes(b"\x7fELF no program at all")
    strange.chmod(0o755)
    with pytest.raises(ServerMissing, match=r"cannot be run on this .* machine"):
        EmbeddedMongo(tmp_path).start()


def test_a_folder_that_cannot_be_written_is_named(
    kind: type[EmbeddedServer], tmp_path: Path
) -> None:
    """Before any server starts."""
    in_the_way = tmp_path / "file"
    in_the_way.touch()
    with pytest.raises(ServerFailed, match=r"cannot be written.*PIPELINE_DATA_DIR"):
        kind(in_the_way).start()


def test_another_replica_set_name_is_refused_by_name(tmp_path: Path) -> None:
    """A folder keeps the name of its first start, and the refused server is gone afterwards."""
    with EmbeddedMongo(tmp_path, replica_set="first"):
        pass
    with pytest.raises(ServerFailed, match="belongs to the replica set 'first', not 'second'"):
        EmbeddedMongo(tmp_path, replica_set="second").start()
    with EmbeddedMongo(tmp_path, replica_set="first") as url:
        assert "replicaSet=first" in url


def test_a_server_that_never_answers_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The start gives up in time and leaves no process behind."""
    programs_on_path(monkeypatch, tmp_path / "bin", mongod="echo $$ > pid; while :; do :; done")
    with pytest.raises(ServerFailed, match=r"did not answer within 0\.5 seconds"):
        EmbeddedMongo(tmp_path, start_timeout=0.5).start()
    assert not psutil.pid_exists(int((tmp_path / "mongodb" / "pid").read_text()))
