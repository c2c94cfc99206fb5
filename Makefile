# Everything runs in .venv, which is made on first use: only Python 3.11 or later, make and a package index are needed.
# uv is used when it is there; `make UV= …` does without it.

PYTHON ?= python3
UV ?= $(shell command -v uv 2>/dev/null)
WORKERS ?= 2
BIN := .venv/bin
INSTALLED := .venv/.installed

.DEFAULT_GOAL := help
.PHONY: help demo run test lint format bench chaos mutation clean

help:  ## This list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

demo: $(INSTALLED)  ## Contacts go from a table to HubSpot before your eyes; needs no account and no database
	@$(BIN)/crm-sync demo $(ARGS)

run: $(INSTALLED)  ## The application: web, scheduler and, without DATABASE_URL, a PostgreSQL of its own
	@$(BIN)/crm-sync serve $(ARGS)

test: $(INSTALLED)  ## Every test, against a real PostgreSQL and the HubSpot emulator
	$(BIN)/pytest -q -n $(WORKERS) $(ARGS)

lint: $(INSTALLED)  ## Style, types, and which package may import which
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(INSTALLED)  ## Put the code into the house's style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(INSTALLED)  ## Measure; results as tables, and as JSON in benchmarks/results
	@for benchmark in $(or $(ONLY),benchmarks/*.py); do $(BIN)/python $$benchmark $(ARGS) || exit 1; done

chaos: $(INSTALLED)  ## Users, killers and a crashing server against the queue, at length: CHAOS_SECONDS=600 CHAOS_SEED=1
	@$(BIN)/python -m tests.faults.chaos

mutation: $(INSTALLED)  ## Remove each guard of the queue in turn: a test must go red for every one
	@$(BIN)/python -m tests.faults.mutate $(ARGS)

clean:  ## Remove .venv, caches and the demo's data; never the data of `make run`
	rm -rf .venv .data/demo .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis benchmarks/results dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(INSTALLED): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or later is needed, this is " + sys.version.split()[0] + ": make PYTHON=python3.12 …" if sys.version_info < (3, 11) else 0)'
ifneq ($(UV),)
	@$(UV) venv --quiet --allow-existing --python $(PYTHON) .venv
	@echo "Installing into .venv with uv …" && $(UV) pip install --quiet --python $(BIN)/python --editable '.[dev]'
else
	@$(PYTHON) -m venv .venv
	@echo "Installing into .venv, a minute the first time …" && $(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check --editable '.[dev]'
endif
	@touch $@
