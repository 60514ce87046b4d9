# One command per need. `make` alone lists them.
VENV   := .venv
PYTHON ?= python3
BIN    := $(VENV)/bin
EVENTS ?=
# Tests mostly wait, so four files of them run at once on two cores; the chaos run of two minutes
# has the machine to itself. `make coverage` judges both together.
CHAOS    := tests/faults/test_chaos.py
TOGETHER := -n 4 --dist loadfile --no-loadscope-reorder tests --ignore $(CHAOS)
PYTEST   := $(BIN)/python -m pytest --durations=15 --cov --cov-report= --cov-fail-under=0

.DEFAULT_GOAL := help
.PHONY: help setup demo test coverage lint bench lock clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(VENV)/.ready ## the virtual environment, with .venv/bin/pipeline in it

$(VENV)/.ready: requirements/build.txt requirements/all.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; '$(PYTHON)' is $$($(PYTHON) -V 2>&1). Set PYTHON=/path/to/python3.11"; exit 2; }
	@$(PYTHON) -m venv $(VENV) || \
	  { echo "Python's venv module is missing. On Debian or Ubuntu: apt-get install python3-venv"; exit 2; }
	$(BIN)/pip install --quiet --require-hashes -r requirements/build.txt
	$(BIN)/pip install --quiet --require-hashes --no-build-isolation -r requirements/all.txt
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

demo: setup ## the main job on real flights, with embedded servers (EVENTS=all for every flight)
	$(BIN)/python -m benchmarks.demo $(if $(EVENTS),--events $(EVENTS))

test: setup ## every test, against real servers it starts itself
	$(PYTEST) $(TOGETHER)
	$(PYTEST) --cov-append $(CHAOS)

coverage: ## what the last test run covered; fails below the floor stated in pyproject.toml
	$(BIN)/coverage report

lint: setup ## style, types, import layers, docstrings
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/interrogate --quiet pipeline handlers workers tests

bench: setup ## what this machine can do: throughput, latency, locks (more: pipeline bench list)
	$(BIN)/pipeline bench run throughput rates workers locks

lock: setup ## compile requirements/*.txt anew from pyproject.toml
	$(PYTHON) -m uv pip compile --universal --python-version 3.11 --generate-hashes --no-header \
	  --no-emit-index-url --no-emit-find-links --no-annotate -q requirements/build.in -o requirements/build.txt
	$(PYTHON) -m uv pip compile --universal --python-version 3.11 --generate-hashes --no-header \
	  --no-emit-index-url --no-emit-find-links --no-annotate -q --all-extras pyproject.toml -o requirements/all.txt
	$(PYTHON) -m uv pip compile --universal --python-version 3.11 --generate-hashes --no-header \
	  --no-emit-index-url --no-emit-find-links --no-annotate -q --extra dashboards pyproject.toml -o requirements/server.txt

clean: ## remove the virtual environment and the embedded servers' data
	rm -rf $(VENV) .pipeline
