# Every verb does its own set-up and skips what is done. `make` alone prints the verbs.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help install lake demo demo-run demo-plane test test-fast test-spark4 bench lint format lock clean

PYTHON ?= python3.11
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
# The package and its tests beside the newest Spark.
SPARK4 := .venv-spark4
COMPILE := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header
# Spark and its Python workers use this environment, wherever the caller stands.
export PYSPARK_PYTHON := $(CURDIR)/$(BIN)/python
export PYSPARK_DRIVER_PYTHON := $(CURDIR)/$(BIN)/python

help:       ## Print these verbs
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-11s %s\n", $$1, $$2}'

$(READY): LOCK := requirements.lock
$(READY): requirements.lock pyproject.toml
$(SPARK4)/.ready: LOCK := requirements-spark4.lock
$(SPARK4)/.ready: requirements-spark4.lock pyproject.toml

%/.ready:
	@echo "installing into $(@D) (once)"
	@command -v $(PYTHON) >/dev/null || { echo "error: $(PYTHON) is not on the PATH; install Python 3.11, or say make PYTHON=/path/to/python3.11"; exit 2; }
	@$(PYTHON) -m venv $(@D)
	@$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r $(LOCK)
	@$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@$(@D)/bin/python -m penstock.java >/dev/null
	@touch $@

install: $(READY) ## Make .venv from requirements.lock, with the package editable
	@echo "ready: $(BIN)/penstock, Java in $$($(BIN)/python -m penstock.java)"

lake: $(READY) ## Write the raw lake of the flights example
	@$(BIN)/python examples/flights/make_lake.py --root .

demo: demo-run demo-plane ## Raw flights to models and a report; then through AWS's own calls, on the local plane

demo-run: lake ## Raw flights to trained, evaluated models and a report, on this machine
	@$(BIN)/penstock run examples/flights/pipeline.yaml --root .
	@echo "report: $(CURDIR)/reports/flights/index.html"

demo-plane: lake ## The same data by crawler, SQL, EMR steps and a training job, on the local plane
	@$(BIN)/python examples/flights/on_plane.py --root .

test: $(READY) ## All tests that run on one machine
	@$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

test-fast: $(READY) ## The tests that need no Java
	@$(BIN)/python -m pytest -m "not spark"

test-spark4: export PYSPARK_PYTHON := $(CURDIR)/$(SPARK4)/bin/python
test-spark4: export PYSPARK_DRIVER_PYTHON := $(CURDIR)/$(SPARK4)/bin/python
test-spark4: $(SPARK4)/.ready ## The tests that need a JVM, on Spark 4.1 in an environment of its own
	@$(SPARK4)/bin/python -m pytest -m spark -n 2 --dist loadfile --no-loadscope-reorder

bench: $(READY) ## Our way and the peers', checked and timed: bench/RESULTS.md (BENCH=plan: that one)
	@$(BIN)/python bench/run.py $(addprefix --only ,$(BENCH))

lint: $(READY) ## Format, rules, types, import directions
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: $(READY) ## Put the code in its format
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix .

lock:       ## Compile requirements.in to both locks, for Spark 3.5 and 4.1 (needs uv on the PATH)
	$(COMPILE) requirements.in requirements-aws.in --override requirements-overrides.in --override requirements-spark3.in -o requirements.lock
	@# What an output file has already is kept, so the two differ in what Spark asks for alone.
	@cp requirements.lock requirements-spark4.lock
	$(COMPILE) requirements.in --override requirements-overrides.in --override requirements-spark4.in -o requirements-spark4.lock

clean:      ## Remove what runs have made; raw/ and .venv stay
	rm -rf curated datasets models plans quarantine reports runs bench/.data
