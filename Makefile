# Everything runs from a fresh clone: the first target that needs it makes the environment in .venv. Once it is made,
# nothing here needs a network.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
UV := $(shell uv --version >/dev/null 2>&1 && command -v uv || echo .uv/bin/uv)
STAMP := .venv/.penstock-synced
BIN := .venv/bin
export UV_PROJECT_ENVIRONMENT := .venv
export UV_PYTHON_DOWNLOADS := never
# uv trusts the certificates that pip and everything else here trust: behind a proxy they are others than its own.
ifneq ($(wildcard /etc/ssl/certs/ca-certificates.crt),)
export UV_SYSTEM_CERTS ?= true
endif
# What tests and benchmarks start by name is what was installed here.
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: help setup demo up test covered quick interop stores check format lint prose prose-ratchet types imports bench docs picture hooks dist clean

help: ## List the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## Make the environment (.venv), with uv from PyPI where it is missing

# Not in a virtual environment: Debian's Python cannot make one without a further package. Not into the system either:
# its Python is managed by the system.
.uv/bin/uv:
	@$(PYTHON) -m pip --version >/dev/null 2>&1 || { echo "This needs uv (https://docs.astral.sh/uv) or pip: on Debian, apt-get install python3-pip" >&2; exit 1; }
	@echo "fetching uv ..." >&2
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --upgrade --target .uv uv

# An environment that is there is brought up to date without a network where that is enough.
$(STAMP): pyproject.toml uv.lock | $(filter .uv/bin/uv,$(UV))
	@echo "making the environment in .venv ..." >&2
	@sync=(sync --frozen --all-extras --quiet --compile-bytecode --python $(PYTHON)); \
	[ -d .venv ] && $(UV) --offline "$${sync[@]}" 2>/dev/null || $(UV) "$${sync[@]}"
	@$(BIN)/python -m tests.runner.snakemake.real_workflows 2>/dev/null || echo "the workflows by others that the tests run could not be fetched; make test will try again" >&2
	@touch $@

demo: setup ## Start everything on free ports, run the example workflow, show its outputs, stop
	@$(BIN)/penstock demo

up: setup ## Start everything on this machine and keep it running
	@$(BIN)/penstock up

test: setup ## Run every test
	$(BIN)/pytest

covered: setup ## Run every test and check the branch coverage
	$(BIN)/coverage run -m pytest

quick: setup ## Run the unit tests and the contracts on fakes, in seconds
	$(BIN)/pytest -q -n 2 -m "not system and not real and not property and not simulation and not api and not slow"

interop: setup ## Run the tests with WES clients of other projects, from PyPI, each in a separate environment
	@$(BIN)/python -m tests.interop.environments --uv "$(UV)"
	$(BIN)/pytest -m interop tests/interop

stores: setup ## Run the tests with Azure's blob storage, against Azurite from npm
	@$(BIN)/python -m tests.jetstream.azurite
	$(BIN)/pytest -m stores tests/jetstream

check: format lint types imports covered ## What CI runs: format, lint, types, import rules, tests

format: setup
	$(BIN)/ruff format --check .

lint: setup
	$(BIN)/ruff check .
	@$(BIN)/python -m tools.prose

prose: setup ## List every word that the project does not use, with what to write in its place
	@$(BIN)/python -m tools.prose --all

prose-ratchet: setup ## Record that files have fewer such words
	@$(BIN)/python -m tools.prose --ratchet

types: setup
	$(BIN)/mypy
	$(BIN)/pyright

imports: setup
	$(BIN)/lint-imports --no-cache

bench: setup ## Measure; ARGS="--only starts --jobs 1000000" chooses; JSON in benchmarks/results/
	$(BIN)/python -m benchmarks $(ARGS)

docs: setup ## Write the generated reference pages and schemas
	$(BIN)/python schemas/write_schemas.py
	$(BIN)/python -m tools.reference

picture: setup ## Draw the picture of the README from a real run
	$(BIN)/python -m tools.picture

hooks: setup ## Check each commit before it is made: format, lint and import rules
	$(BIN)/pre-commit install

dist: setup ## Build the wheel and the source distribution in dist/
	$(UV) build --quiet

clean: ## Remove the environment and every cache
	rm -rf .venv .uv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache dist
