"""`python -m workers` is `pipeline`."""

from workers.cli import main

main()
