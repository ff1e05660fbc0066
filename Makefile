# One verb each. Every target makes the virtual environment by itself; nothing else is needed first.
#
#   make demo    the problem and the remedy, on this machine, with no Java and no database server
#   make test    everything: installs what the tests need, checks, runs them all
#   make check   format, lint, types, layers: no servers needed
#   make golden  how many recorded behaviours of the JVM software hold
#   make bench   measure, side by side with the JVM worker where Java is there

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=

.PHONY: demo test check golden bench clean

demo: $(VENV)/.runtime
	@$(BIN)/syncline demo $(ARGS)

test: check
	@CI="$(CI)" bash tests/system-packages
	$(BIN)/pytest --ignore=tests/golden $(ARGS)
	$(BIN)/python -m tests.golden.report

check: $(VENV)/.dev
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/mypy
	$(BIN)/pytest -q tests/test_architecture.py

golden: $(VENV)/.dev
	@bash tests/system-packages
	$(BIN)/python -m tests.golden.report $(ARGS)

bench: $(VENV)/.dev
	@bash tests/system-packages
	$(BIN)/python -m benchmarks $(ARGS)

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Syncline needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) -V 2>&1). Try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { \
	  echo "Python's venv module is missing; on Debian and Ubuntu: apt-get install python3-venv"; rm -rf $(VENV); exit 1; }

$(VENV)/.runtime: requirements/runtime.txt pyproject.toml | $(BIN)/python
	@echo "Installing Syncline into $(VENV) ..."
	@$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements/runtime.txt
	@$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps -e .
	@touch $@

$(VENV)/.dev: requirements/dev.txt pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements/dev.txt
	$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps -e .
	@touch $(VENV)/.runtime $@

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
