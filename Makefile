# One machine, two commands: `make up` runs the main job, `make test` runs the tests.

VENV ?= .venv
PYTHON ?= $(shell command -v python3.11 || command -v python3)
# Address of PyTorch's own package index for a CPU or CUDA build; empty takes the default build.
TORCH_INDEX ?=
# What `make up` passes on, for example UP_ARGS="--duration 20".
UP_ARGS ?=
# Tests at the same time: most of them wait for servers to start.
TEST_JOBS ?= 3
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: env up test check proof generate docs audit sbom clean

env: $(VENV)/.runtime

up: $(VENV)/.runtime
	$(BIN)/lightmeter up $(UP_ARGS)

test: $(VENV)/.development
	$(BIN)/python -m pytest -m "not proof" --ignore tests/proof -n $(TEST_JOBS) --dist loadfile $(TEST_ARGS)

check: $(VENV)/.development
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python docs/generate.py --check
	$(BIN)/python -m mkdocs build --quiet --strict

proof: $(VENV)/.development
	$(BIN)/python -m pytest -m proof --timeout 900 $(TEST_ARGS)

generate: $(VENV)/.development
	$(BIN)/python docs/generate.py

docs: $(VENV)/.development
	$(BIN)/python -m mkdocs build --quiet --strict

audit: $(VENV)/.development
	$(BIN)/python deploy/audit.py

sbom: $(VENV)/.development
	$(BIN)/python deploy/sbom.py dist/sbom.cdx.json

clean:
	rm -rf $(VENV) dist build lightmeter-data

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "Python's venv is missing: apt-get install python3-venv" >&2; exit 1; }

$(VENV)/.runtime: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "Making the environment in $(VENV); once: 500 MB to download, several GB where PyTorch brings CUDA along (TORCH_INDEX=... chooses)."
	$(PIP) --upgrade pip
	$(PIP) $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) torch
	$(PIP) --editable .
	@touch $@

$(VENV)/.development: $(VENV)/.runtime
	$(PIP) --group dev
	@touch $@
