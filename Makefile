# Bootstrap only: everything else is an invoke task (see tasks.py).
PYTHON ?= python3
VENV := .venv
RUNS := $(VENV)/.runs
STAMP := $(VENV)/.ready

.PHONY: demo test test-all run check setup

setup: $(STAMP)

# What the service needs; the demo and the service itself need no more.
$(RUNS): requirements.lock pyproject.toml requirements.in client/pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Assembler needs Python 3.11 or newer; name one with make PYTHON=python3.11 …")'
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements.lock
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps -e client -e .
	$(VENV)/bin/python -m pip --quiet --disable-pip-version-check check
	@touch $(RUNS)

$(STAMP): $(RUNS) requirements-dev.lock
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements-dev.lock
	$(VENV)/bin/python -m pip --quiet --disable-pip-version-check check
	@touch $(STAMP)

demo: $(RUNS)
	@$(VENV)/bin/python examples/demo.py $(if $(STAY),--stay)

run: $(RUNS)
	@$(VENV)/bin/assembler serve

test: $(STAMP)
	@$(VENV)/bin/python -m invoke test

test-all: test
	@$(VENV)/bin/python -m invoke test --slow

check: $(STAMP)
	@$(VENV)/bin/python -m invoke check
