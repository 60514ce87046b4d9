"""`python -m dashboards.monitoring`: write rules and dashboards anew.

With `--out DIR` it writes elsewhere, and with `--patience 0.01` alerts wait a hundredth of the
time that they say, so that one can see them fire and clear in a trial.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from dashboards.monitoring.boards import files
from dashboards.monitoring.rules import HERE, write_rules


def write_boards(folder: Path) -> None:
    """Write the dashboards for Grafana into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files():
        (folder / name).write_text(text)


def main(arguments: Sequence[str] | None = None) -> int:
    """Write what is asked for."""
    parser = argparse.ArgumentParser(prog="python -m dashboards.monitoring", description=__doc__)
    parser.add_argument("--out", type=Path, default=HERE, help="where; in the repository else")
    parser.add_argument("--patience", type=float, default=1.0, help="multiplies each `for`")
    asked = parser.parse_args(arguments)
    write_rules(asked.out / "prometheus", asked.patience)
    write_boards(asked.out / "grafana" / "boards")
    return 0


if __name__ == "__main__":
    sys.exit(main())
