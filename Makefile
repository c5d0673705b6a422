# Everything a developer types. `make help` lists the targets from their ## lines.
.DEFAULT_GOAL := help
SHELL := /bin/sh
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint infra/constraints.txt --editable
APP ?=
ARGS ?=
SEED ?= 1
SECONDS ?= 45
FACTOR ?= 10

.PHONY: help run setup test fuzz check chaos cluster jaeger-check prometheus-check bench format asyncapi lock clean

help: ## Show this list.
	@grep -E '^[a-z-]+:.*## ' $(firstword $(MAKEFILE_LIST)) | sed -E 's/^([a-z-]+):.*## (.*)$$/  make \1\t\2/' | expand -t 18

run: $(VENV)/.for-running ## Install what is missing and start everything with the example app (APP=module:app for another).
	@exec $(BIN)/penstock up $(APP) $(ARGS)

setup: $(VENV)/.for-developing ## Make .venv with all tools for developing.

test: $(VENV)/.for-developing ## Run all tests that this machine can run (ARGS are passed to pytest).
	@exec $(BIN)/python -m pytest -n 2 --dist loadfile $(ARGS)

fuzz: $(VENV)/.for-developing ## Try every property with many times the examples (FACTOR=10; ARGS=tests/unit for the core alone).
	@FUZZ_FACTOR=$(FACTOR) exec $(BIN)/python -m pytest -n 2 --dist loadfile -m hypothesis --timeout 3600 $(ARGS)

check: $(VENV)/.for-developing ## Check style, types and the rules of the house.
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/architecture

chaos: $(VENV)/.for-developing ## Kill everything at random under load and check that nothing is lost (SEED=1, SECONDS=45).
	@CHAOS_SEED=$(SEED) CHAOS_SECONDS=$(SECONDS) exec $(BIN)/python -m pytest -q -m chaos tests/chaos tests/services/runner/test_long.py $(ARGS)

cluster: $(VENV)/.for-developing ## Kill one of three NATS servers at a time under load, with every service on its own (SEED=1, SECONDS=45).
	@CHAOS_SEED=$(SEED) CHAOS_SECONDS=$(SECONDS) exec $(BIN)/python -m pytest -q -m cluster tests/chaos tests/nats/test_cluster.py $(ARGS)

jaeger-check: $(VENV)/.for-developing ## Send the spans of real executions to a real Jaeger v2 (`jaeger` on the PATH) and print its traces.
	@command -v jaeger > /dev/null || { echo 'There is no jaeger on the PATH; see infra/compose/README.md.' >&2; exit 1; }
	@exec $(BIN)/python -m pytest -q -m jaeger tests/system/test_jaeger.py $(ARGS)

prometheus-check: $(VENV)/.for-developing ## Let a real promtool (on the PATH) check the configuration, the alerts and /metrics.
	@command -v promtool > /dev/null || { echo 'There is no promtool on the PATH; see infra/compose/README.md.' >&2; exit 1; }
	@exec $(BIN)/python -m pytest -q -m prometheus tests/system/test_prometheus.py $(ARGS)

bench: $(VENV)/.for-developing ## Measure throughput, latency, CPU and memory beside the raw bound.
	@exec $(BIN)/penstock bench $(ARGS)

format: $(VENV)/.for-developing ## Let ruff put imports and lines in order.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

asyncapi: $(VENV)/.for-running ## Write infra/asyncapi.yaml, the document of the NATS doors, from the code.
	@$(BIN)/python -m penstock.service.asyncapi > infra/asyncapi.yaml

lock: ## Write the versions of a fresh install to infra/constraints.txt.
	@rm -rf $(VENV)/lock && $(PYTHON) -m venv $(VENV)/lock
	@$(VENV)/lock/bin/python -m pip install --quiet --disable-pip-version-check '.[dev]'
	@{ echo '# Versions that are tested together; `make lock` writes this file.'; \
	  $(VENV)/lock/bin/python -m pip freeze --exclude penstock; } > infra/constraints.txt
	@rm -rf $(VENV)/lock && grep -c == infra/constraints.txt | sed 's/$$/ versions pinned/'

clean: ## Remove what was installed and what tools left behind; the data in .penstock stays.
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo 'Penstock needs Python 3.11 or newer. Name one: make $(MAKECMDGOALS) PYTHON=python3.12' >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
	  { rm -rf $(VENV); echo 'Python cannot make a venv. On Debian: apt-get install python3-venv' >&2; exit 1; }

$(VENV)/.for-running: pyproject.toml infra/constraints.txt | $(BIN)/python
	@echo 'Installing into $(VENV) (once) ...'
	@$(INSTALL) '.[pictures]'
	@touch $@

$(VENV)/.for-developing: pyproject.toml infra/constraints.txt | $(BIN)/python
	@echo 'Installing into $(VENV) (once) ...'
	@$(INSTALL) '.[dev]'
	@touch $@ $(VENV)/.for-running
