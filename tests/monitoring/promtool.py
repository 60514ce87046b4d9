"""`promtool`, for tests that need it."""

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

GROUPS = ("pipe_shared", "pipe_slo", "pipe_slo_month", "pipe_burn", "pipe_alerts")


def needed(program: str) -> str:
    """Where a program is; without it the test is skipped, and in CI it fails."""
    found = shutil.which(program)
    if found is None:
        reason = f"{program} is missing: apt-get install prometheus docker-compose"
        if os.environ.get("CI", "").lower() == "true":
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    return found


def promtool(*arguments: str | Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run it to its end."""
    return subprocess.run(
        [needed("promtool"), *map(str, arguments)],
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def tried(folder: Path, rules: Sequence[str], tests: Sequence[dict[str, Any]]) -> str:
    """What promtool says is wrong with rules, by these tests; empty where nothing is.

    Groups are evaluated in their order: promtool's own is random.
    """
    names = []
    for number, text in enumerate(rules):
        names.append(f"{number}.rules.yml")
        (folder / names[-1]).write_text(text)
    file = folder / "tests.yml"
    asked = {
        "rule_files": names,
        "evaluation_interval": "1m",
        "group_eval_order": list(GROUPS),
        "tests": list(tests),
    }
    file.write_text(json.dumps(asked))
    done = promtool("test", "rules", file)
    return "" if done.returncode == 0 else done.stdout + done.stderr
