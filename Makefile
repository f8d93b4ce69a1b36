# The same words locally and in CI. Everything is installed from requirements/, pinned and hashed, into .venv.

PYTHON ?= python3
VENV := .venv
# the aws command line, which takes part in a benchmark, pins what we depend on otherwise
BENCH_VENV := .venv-bench
LOWEST_VENV := .venv-lowest
# it builds the site and needs nothing of ours installed: docstrings are read, not imported
DOCS_VENV := .venv-docs
SITE_SOURCE := build/site-source
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
SOURCES := batch_upload tests benchmarks manifests
# two workers a core (tests/conftest.py); one that is done early takes tests from another, since they differ in length by a
# factor of a thousand. Bytecode is kept, whatever the environment says: each worker reads all tests, which takes half the
# time then, and tests start a thousand interpreters. A test that hangs for ten minutes ends its worker and is named
HANGS := -o faulthandler_timeout=600 -o faulthandler_exit_on_timeout=true
TEST := PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest --numprocesses auto --dist worksteal $(HANGS)

.PHONY: demo demo-fleet docs test pythons check lint audit lowest dist sbom format soak bench clean

# the first two commands of the README

demo: $(VENV)/.runtime
	$(BIN)/batch-upload upload manifests/demo.yaml --local

# PostgreSQL, two workers and the emulator, all of its own; one worker is killed

demo-fleet: $(VENV)/.fleet
	$(BIN)/python manifests/demo_fleet.py

# the documentation as a site, in site/: a warning fails it. What the theme says of its own future: docs/decisions/site.md

docs: $(DOCS_VENV)/.docs
	$(DOCS_VENV)/bin/python -m tests.support.site_source $(SITE_SOURCE)
	NO_MKDOCS_2_WARNING=1 $(DOCS_VENV)/bin/mkdocs build --strict --clean --quiet
	@echo "site/index.html is the first page"

# all but those that take more than two seconds each (tests/slow.txt), or those of `TESTS`
test: $(VENV)/.dev
	$(TEST) $(if $(TESTS),$(TESTS),-m "not soak and not slow")

# on each other Python that is there, in an environment of its own: the tests that may differ with the Python
pythons: $(VENV)/.dev
	@$(BIN)/python -m tests.support.pythons $(if $(NEWEST),--newest) $(TESTS)

# what CI runs, with all tests; `TIMES=FILE` keeps how long each took (tests/support/slow.py)

check: lint audit
	$(TEST) $(if $(TIMES),--junit-xml=$(TIMES))

lint: $(VENV)/.dev
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/mypy

# known vulnerabilities of what is pinned; left out, with the reason, where the package index does not tell them
audit: $(VENV)/.dev
	@$(BIN)/python -m tests.support.audit

# the lowest versions that pyproject.toml admits

lowest: $(LOWEST_VENV)/.lowest
	$(LOWEST_VENV)/bin/python -m pytest --numprocesses auto --dist worksteal tests/unit tests/contract

# a release: the wheel, the sdist, and the bill of materials beside them

dist: sbom
	$(BIN)/python -m hatchling build

sbom: $(VENV)/.dev
	$(BIN)/python -m tests.support.sbom -o dist/batch-upload.cdx.json

# for development

format: $(VENV)/.dev
	$(BIN)/ruff format $(SOURCES)
	$(BIN)/ruff check --fix $(SOURCES)

# the long proofs, in parts of less than two hours that go on where they were stopped: `make soak PART=kills`
soak: $(VENV)/.dev
	$(BIN)/python -m tests.support.soak $(PART)

# `make bench PLOTS=docs` draws the plots of docs/ anew
plot = $(if $(PLOTS),--svg $(PLOTS)/$(1).svg)

bench: $(VENV)/.dev $(BENCH_VENV)/.bench
	$(BIN)/python -m benchmarks.startup
	$(BIN)/python -m benchmarks.manifest
	$(BIN)/python -m benchmarks.tables
	$(BIN)/python -m benchmarks.rerun --items 20000
	$(BIN)/python -m benchmarks.ledger
	$(BIN)/python -m benchmarks.growth $(call plot,growth)
	$(BIN)/python -m benchmarks.pacing $(call plot,pacing)
	$(BIN)/python -m benchmarks.finish
	$(BIN)/python -m benchmarks.call
	$(BIN)/python -m benchmarks.memory
	$(BIN)/python -m benchmarks.lanes
	$(BIN)/python -m benchmarks.fleet

clean:
	rm -rf $(VENV) $(BENCH_VENV) $(LOWEST_VENV) $(DOCS_VENV) .venv-3.* build dist site .mypy_cache .ruff_cache .pytest_cache .hypothesis .soak

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "error: Python 3.11 or newer is needed; name one with: make PYTHON=python3.12 …" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.runtime: $(VENV)/bin/python requirements/runtime.txt requirements/build.txt pyproject.toml
	$(PIP) install --quiet --require-hashes -r requirements/build.txt -r requirements/runtime.txt
	$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.fleet: $(VENV)/.runtime requirements/fleet.txt
	$(PIP) install --quiet --require-hashes -r requirements/fleet.txt
	@touch $@

$(VENV)/.dev: $(VENV)/.runtime requirements/dev.txt
	$(PIP) install --quiet --require-hashes -r requirements/dev.txt
	@touch $@

$(BENCH_VENV)/.bench: requirements/bench.txt
	$(PYTHON) -m venv $(BENCH_VENV)
	$(BENCH_VENV)/bin/python -m pip --disable-pip-version-check install --quiet --require-hashes -r requirements/bench.txt
	@touch $@

$(DOCS_VENV)/.docs: requirements/docs.txt
	$(PYTHON) -m venv $(DOCS_VENV)
	$(DOCS_VENV)/bin/python -m pip --disable-pip-version-check install --quiet --require-hashes -r requirements/docs.txt
	@touch $@

# the pins of development first, for pytest and its like; then what is lower, which some tools of development would not have
$(LOWEST_VENV)/.lowest: requirements/dev.txt requirements/lowest.txt requirements/build.txt pyproject.toml
	$(PYTHON) -m venv $(LOWEST_VENV)
	$(LOWEST_VENV)/bin/python -m pip --disable-pip-version-check install --quiet --require-hashes -r requirements/build.txt -r requirements/dev.txt
	$(LOWEST_VENV)/bin/python -m pip --disable-pip-version-check install --quiet --require-hashes --no-deps -r requirements/lowest.txt
	$(LOWEST_VENV)/bin/python -m pip --disable-pip-version-check install --quiet --no-deps --no-build-isolation --editable .
	@touch $@
