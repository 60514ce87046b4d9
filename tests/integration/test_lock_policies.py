"""Lock policies in a real MongoDB: kept, seen by watches, and set from the command line."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import typer
from pymongo.database import Database
from typer.testing import CliRunner, Result

from pipeline.errors import PipelineError
from pipeline.locks import LockPolicy
from pipeline.policies import PolicyWatch
from pipeline.store import policies as stored_policies
from pipeline.store.policies import LockPolicies, Scope
from workers.cli import locks as commands
from workers.cli.context import Exit

Document = dict[str, Any]

NOW = datetime(2024, 6, 1, tzinfo=UTC)
EVERYBODY = Scope(None, None)
APPLY = Scope("appointments.apply", None)
APPLY_FOR_ACME = Scope("appointments.apply", "acme")
PATIENCE = 30.0  # seconds until a fact that must come is taken not to


@pytest.fixture
def policies(database: Database[Document]) -> LockPolicies:
    """Give an empty collection."""
    return LockPolicies(database)


def until(fact: Callable[[], object]) -> None:
    """Wait for a fact."""
    end = time.monotonic() + PATIENCE
    while not fact():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.005)


def test_values_set_one_after_the_other_are_kept_together(policies: LockPolicies) -> None:
    """A change names some values, the others stay; scopes are apart."""
    policies.change(APPLY, {"ttl_ms": 20_000, "wait_ms": 5}, NOW)
    policies.change(APPLY, {"wait_ms": 7, "enabled": False}, NOW)
    policies.change(EVERYBODY, {"wait_ms": 1}, NOW)
    policies.change(APPLY_FOR_ACME, {"wait_ms": 2}, NOW)
    assert policies.all() == {
        APPLY: {"ttl_ms": 20_000, "wait_ms": 7, "enabled": False},
        EVERYBODY: {"wait_ms": 1},
        APPLY_FOR_ACME: {"wait_ms": 2},
    }


def test_a_scope_is_forgotten_as_a_whole_and_alone(policies: LockPolicies) -> None:
    """And only once."""
    policies.change(APPLY, {"wait_ms": 1}, NOW)
    policies.change(APPLY_FOR_ACME, {"wait_ms": 2}, NOW)
    assert [policies.reset(APPLY) for _ in range(2)] == [True, False]
    assert policies.all() == {APPLY_FOR_ACME: {"wait_ms": 2}}


def test_two_who_set_different_values_at_once_both_do(policies: LockPolicies) -> None:
    """Also where the scope has to be made."""
    start = threading.Barrier(2)

    def set_value(name: str) -> None:
        start.wait()
        policies.change(APPLY, {name: 5_000}, NOW)

    threads = [threading.Thread(target=set_value, args=(n,)) for n in ("ttl_ms", "wait_ms")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert policies.all() == {APPLY: {"ttl_ms": 5_000, "wait_ms": 5_000}}


def test_there_is_a_most_of_scopes_and_the_known_can_still_be_changed(
    policies: LockPolicies, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every process reads all of them twice a second."""
    monkeypatch.setattr(stored_policies, "MOST_SCOPES", 2)
    policies.change(APPLY, {"wait_ms": 1}, NOW)
    policies.change(EVERYBODY, {"wait_ms": 1}, NOW)
    with pytest.raises(PipelineError, match="2 scopes"):
        policies.change(APPLY_FOR_ACME, {"wait_ms": 1}, NOW)
    policies.change(APPLY, {"wait_ms": 2}, NOW)
    assert policies.all()[APPLY] == {"wait_ms": 2}


def test_reading_the_policies_scans_nothing_but_an_index(
    policies: LockPolicies, database: Database[Document]
) -> None:
    """Small as it is: no query of the code runs without one."""
    policies.change(APPLY, {"wait_ms": 1}, NOW)
    plan = database["lock_policies"].find({}).sort("_id").limit(10).explain()
    assert "COLLSCAN" not in json.dumps(plan["queryPlanner"]["winningPlan"])


def test_a_watch_knows_the_policies_from_the_start_and_sees_every_change(
    policies: LockPolicies,
) -> None:
    """Set, changed, set for a tenant, and forgotten, while it runs."""
    policies.change(APPLY, {"wait_ms": 1}, NOW)
    with PolicyWatch(policies.all, LockPolicy(), period=0.01) as watch:

        def seen() -> tuple[int, int]:
            return tuple(
                watch.policy_for("appointments.apply", tenant).wait_ms
                for tenant in ("acme", "other")
            )

        assert seen() == (1, 1)
        policies.change(APPLY, {"wait_ms": 2}, NOW)
        until(lambda: seen() == (2, 2))
        policies.change(APPLY_FOR_ACME, {"wait_ms": 3}, NOW)
        until(lambda: seen() == (3, 2))
        policies.reset(APPLY)
        until(lambda: seen() == (3, LockPolicy().wait_ms))


def test_a_watch_outlives_documents_that_make_no_sense(
    policies: LockPolicies, database: Database[Document]
) -> None:
    """One without its fields, or with a value of another kind; the last policies hold."""
    policies.change(APPLY, {"wait_ms": 1}, NOW)
    with PolicyWatch(policies.all, LockPolicy(), period=0.01) as watch:
        database["lock_policies"].insert_one({"_id": "nonsense"})
        policies.change(APPLY, {"wait_ms": 2}, NOW)
        watch.look()
        assert watch.policy_for("appointments.apply", "acme").wait_ms == 1
        database["lock_policies"].delete_one({"_id": "nonsense"})
        policies.change(APPLY_FOR_ACME, {"wait_ms": "often"}, NOW)
        until(lambda: watch.policy_for("appointments.apply", "acme").wait_ms == 2)
        database["lock_policies"].update_one({"tenant": "acme"}, {"$set": {"values": 3}})
        watch.look()
        policies.change(APPLY, {"wait_ms": 3}, NOW)
        until(lambda: watch.policy_for("appointments.apply", "acme").wait_ms == 3)


def test_the_watchs_thread_ends_with_it(policies: LockPolicies) -> None:
    """What was last seen stays."""
    before = set(threading.enumerate())
    policies.change(APPLY, {"wait_ms": 1}, NOW)
    with PolicyWatch(policies.all, LockPolicy()) as watch:
        threads = [t for t in set(threading.enumerate()) - before if t.name == "policies"]
        assert [thread.daemon for thread in threads] == [True]
    assert not threads[0].is_alive()
    watch.close()
    assert watch.policy_for("appointments.apply", "acme").wait_ms == 1


class CommandLine:
    """`pipeline locks` within this process."""

    def __init__(self) -> None:
        self._app = typer.Typer()
        self._app.callback()(lambda: None)
        commands.register(self._app)

    def __call__(self, *arguments: str) -> Result:
        """Run one command."""
        return CliRunner().invoke(self._app, ["locks", *arguments])

    def json(self, *arguments: str) -> Any:
        """Run one command with --json and read what it printed."""
        done = self(*arguments, "--json")
        assert done.exit_code == Exit.OK, done.output
        return json.loads(done.stdout)


@pytest.fixture
def locks(
    monkeypatch: pytest.MonkeyPatch,
    mongo_url: str,
    redis_url: str,
    database: Database[Document],
) -> Iterator[CommandLine]:
    """Give the command line on real servers."""
    monkeypatch.setenv("PIPELINE_MONGO_URL", mongo_url)
    monkeypatch.setenv("PIPELINE_REDIS_URL", redis_url)
    monkeypatch.setenv("PIPELINE_DATABASE", database.name)
    monkeypatch.setenv("PIPELINE_HANDLERS", "handlers.appointments")
    monkeypatch.setenv("COLUMNS", "200")
    return CommandLine()


def test_without_settings_the_default_holds_for_everybody(locks: CommandLine) -> None:
    """And is shown."""
    default = LockPolicy().model_dump(mode="json")
    assert locks.json("show") == [{"handler": None, "tenant": None, "policy": default, "set": []}]


def test_what_is_set_is_shown_and_seen_by_a_watch(
    locks: CommandLine, policies: LockPolicies
) -> None:
    """Seconds on the command line, milliseconds in the policy."""
    of = ("--handler", "appointments.apply", "--tenant", "acme")
    wanted = {"enabled": False, "ttl_ms": 20_000, "wait_ms": 1_500, "when_busy": "proceed"}
    (changed,) = locks.json(
        "set", *of, "--off", "--ttl", "20", "--wait", "1.5", "--when-busy", "proceed"
    )
    assert changed["policy"] == wanted
    assert changed["set"] == sorted(wanted)
    watch = PolicyWatch(policies.all, LockPolicy())
    watch.look()
    assert watch.policy_for("appointments.apply", "acme").model_dump(mode="json") == wanted
    assert locks.json("show", *of) == [changed]
    assert [one["tenant"] for one in locks.json("show")] == [None, "acme"]
    assert locks.json("set", *of, "--on")[0]["policy"] == {**wanted, "enabled": True}


def test_a_scope_shows_what_it_takes_over(locks: CommandLine) -> None:
    """The policy in force, and which of its values are the scope's own."""
    locks.json("set", "--handler", "appointments.apply", "--wait", "0")
    locks.json("set", "--tenant", "acme", "--ttl", "60")
    (shown,) = locks.json("show", "--handler", "appointments.apply", "--tenant", "acme")
    assert (shown["policy"]["wait_ms"], shown["policy"]["ttl_ms"], shown["set"]) == (0, 60_000, [])
    (shown,) = locks.json("show", "--handler", "appointments.apply")
    assert shown["set"] == ["wait_ms"]


def test_a_person_sees_a_table(locks: CommandLine) -> None:
    """One line a scope."""
    locks("set", "--handler", "appointments.apply", "--off", "--wait", "2.5")
    shown = locks("show")
    assert shown.exit_code == Exit.OK
    rows = [[c.strip() for c in row.split("│")[1:-1]] for row in shown.stdout.splitlines()]
    assert ["all", "all", "on", "10 s", "0.5 s", "defer"] in rows
    assert ["appointments.apply", "all", "off", "10 s", "2.5 s", "defer"] in rows


def test_what_was_set_can_be_forgotten(locks: CommandLine) -> None:
    """Only what was set, and only once."""
    locks("set", "--tenant", "acme", "--off")
    locks("set", "--off")
    assert locks("reset", "--tenant", "acme").exit_code == Exit.OK
    again = locks("reset", "--tenant", "acme")
    assert (again.exit_code, "no policy is set for" in again.stderr) == (Exit.FAILED, True)
    assert locks("reset").exit_code == Exit.OK
    assert [one["set"] for one in locks.json("show")] == [[]]


@pytest.mark.parametrize(
    ("arguments", "status", "sentence"),
    [
        ((), Exit.USAGE, "say what to set"),
        (("--handler", "appointments.aply", "--off"), Exit.FAILED, "did you mean"),
        (("--ttl", "0.5"), Exit.USAGE, "ttl"),
        (("--wait", "61"), Exit.USAGE, "wait"),
        (("--when-busy", "hope"), Exit.USAGE, "when-busy"),
        (("--tenant", "", "--off"), Exit.USAGE, "is no name"),
        (("--handler", "", "--off"), Exit.USAGE, "is no name"),
        (("--tenant", "a|b", "--off"), Exit.USAGE, "is no name"),
    ],
)
def test_what_cannot_be_set_changes_nothing(
    locks: CommandLine,
    policies: LockPolicies,
    arguments: tuple[str, ...],
    status: Exit,
    sentence: str,
) -> None:
    """A sentence, a status, and no document."""
    done = locks("set", *arguments)
    assert (done.exit_code, sentence in done.stderr) == (status, True), done.stderr
    assert policies.all() == {}


def test_a_scope_that_makes_no_sense_is_named(locks: CommandLine, policies: LockPolicies) -> None:
    """Edited by hand: it is left out, and the person told."""
    policies.change(APPLY, {"ttl_ms": "long"}, NOW)
    shown = locks("show")
    assert "left out, the policy for handler appointments.apply" in shown.stderr
    assert "ttl_ms" in shown.stderr
    assert "appointments.apply" in shown.stdout
