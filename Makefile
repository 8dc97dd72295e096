# Everything runs from a fresh clone: the first target that needs it makes the environment in .venv.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

UV := $(shell command -v uv 2>/dev/null || echo .uv/bin/uv)
STAMP := .venv/.penstock-synced
RUN := $(UV) run --no-sync
export UV_PROJECT_ENVIRONMENT := .venv

.PHONY: help setup demo up test check format lint types imports bench docs clean

help: ## Say what each target does
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## Make the environment (.venv), with uv from PyPI where it is missing

.uv/bin/uv:
	python3 -m venv .uv
	.uv/bin/pip install --quiet --disable-pip-version-check uv

$(STAMP): pyproject.toml uv.lock | $(filter .uv/bin/uv,$(UV))
	$(UV) sync --frozen --all-extras --quiet --compile-bytecode
	@touch $@

demo: setup ## Start everything on free ports, run the example workflow, show its outputs, stop
	@$(RUN) penstock demo

up: setup ## Start everything on this machine and keep it running
	@$(RUN) penstock up

test: setup ## Run every test
	$(RUN) pytest

check: format lint types imports test ## What CI runs: format, lint, types, import rules, tests

format: setup
	$(RUN) ruff format --check .

lint: setup
	$(RUN) ruff check .

types: setup
	$(RUN) mypy
	$(RUN) pyright

imports: setup
	$(RUN) lint-imports --no-cache

bench: setup ## Measure; a table on the terminal, JSON in benchmarks/results/
	$(RUN) python -m benchmarks

docs: setup ## Write the generated reference pages and schemas anew
	$(RUN) python -m tools.reference

clean: ## Remove the environment and every cache
	rm -rf .venv .uv .mypy_cache .ruff_cache .pytest_cache
