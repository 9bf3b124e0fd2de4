# The errands. `make demo` and `make test` work on a fresh machine with Python >= 3.11 (venv, pip) and make.
PYTHON ?= python3
AWS ?=
WORKERS ?= 2
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: setup demo up test test-slow test-long check format bench clean lock
setup: $(STAMP)

# Locked and hashed; uv when it is there, pip otherwise. The project itself is installed in place.
$(STAMP): setup.cfg pyproject.toml requirements-dev.lock
	@PYTHON="$(PYTHON)" VENV="$(VENV)" sh scripts/install.sh
	@touch $(STAMP)

demo: setup
	$(BIN)/headrace demo --aws $(or $(AWS),auto)

up: setup
	$(BIN)/headrace up --aws $(or $(AWS),auto)

# Unit, contract, integration, acceptance and drills on one backend: MiniStack unless AWS=localstack. In three parts for the time they take.
# Two files at a time, each side with servers of its own; WORKERS=0 is one after the other.
test: setup
	AWS=$(or $(AWS),ministack) $(BIN)/python -m pytest -m "not slow" -n $(WORKERS) --dist loadfile

test-slow: setup
	AWS=$(or $(AWS),ministack) $(BIN)/python -m pytest -m "slow and not long"

# What proves the whole under faults, minutes each: before a release.
test-long: setup
	AWS=$(or $(AWS),ministack) $(BIN)/python -m pytest -m long

# Side by side with peers, interleaved; about ten minutes. Narrower: `.venv/bin/headrace bench --only headrace,per-call --rounds 1`.
bench: setup
	$(BIN)/headrace bench --aws $(or $(AWS),ministack)

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/python -m mypy
	$(BIN)/lint-imports --config setup.cfg

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lock:
	sh scripts/lock.sh

clean:
	@if [ -x $(BIN)/python ]; then $(BIN)/python -m headrace.local.clean; fi
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
