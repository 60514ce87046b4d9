"""docker-compose.yml as docker-compose reads it."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from tests.monitoring.promtool import needed

ROOT = Path(__file__).parents[2]
AS_JSON = "import json, sys, yaml; json.dump(yaml.safe_load(sys.stdin), sys.stdout)"


def composed() -> dict[str, Any]:
    """The whole of it, with the settings of .env.example and a token.

    docker-compose of Debian is written in Python, so the system's Python can read YAML.
    """
    done = subprocess.run(
        [needed("docker-compose"), "--env-file", ".env.example", "config"],
        cwd=ROOT,
        env=os.environ | {"PIPELINE_CONSOLE_TOKEN": "of-this-test"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    read = subprocess.run(
        ["/usr/bin/python3", "-c", AS_JSON],
        input=done.stdout,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    found: dict[str, Any] = json.loads(read.stdout)
    return found
