"""`python -m dashboards.monitoring`: write rules and dashboards anew.

With `--out DIR` it writes elsewhere, and with `--patience 0.01` alerts wait a hundredth of the
time that they say, so that one can see them fire and clear in a trial.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from dashboards.monitoring.rules import alert_rules, recording_rules

HERE: Final = Path(__file__).parents[1]


def write_rules(folder: Path, patience: float = 1.0) -> None:
    """Write the rules for Prometheus into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "recording.rules.yml").write_text(recording_rules())
    (folder / "alerts.rules.yml").write_text(alert_rules(patience))


def main(arguments: Sequence[str] | None = None) -> int:
    """Write what is asked for."""
    parser = argparse.ArgumentParser(prog="python -m dashboards.monitoring", description=__doc__)
    parser.add_argument("--out", type=Path, default=HERE, help="where; in the repository else")
    parser.add_argument("--patience", type=float, default=1.0, help="multiplies each `for`")
    parser.add_argument("--rules-only", action="store_true", help="no dashboards")
    asked = parser.parse_args(arguments)
    write_rules(asked.out / "prometheus", asked.patience)
    return 0


if __name__ == "__main__":
    sys.exit(main())
