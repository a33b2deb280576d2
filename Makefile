# Every target installs what it needs in .venv; `make` alone lists the targets.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SERVING := $(VENV)/serving
READY := $(VENV)/ready
COMPILED := build/compiled.stamp
SOURCES := hatch_build.py pyproject.toml $(shell find src -name '*.py')
ADDRESS ?= :8000
SECTION ?=
TESTS ?=
SECONDS ?= 60
SEED ?=
SEEDS ?= 10000

# Both names: pip before 25.3 reads the first for builds, later ones the second.
PIP := SYNCNET_COMPILED=0 PIP_CONSTRAINT=constraints.txt PIP_BUILD_CONSTRAINT=constraints.txt \
  $(BIN)/python -m pip --quiet --disable-pip-version-check
WHEEL := -m pip --quiet --disable-pip-version-check wheel --no-deps --no-build-isolation --wheel-dir dist

.DEFAULT_GOAL := help
.PHONY: help serve test test-compiled check fix compiled pure fresh wheels bench sim fuzz worst soak clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

serve: $(SERVING) fresh ## serve on :8000 (or ADDRESS=host:port)
	$(BIN)/syncnet $(ADDRESS)

test: $(READY) pure ## run the tests on pure Python (or some: TESTS=tests/core)
	SYNCNET_EXPECT_BUILD=pure $(BIN)/pytest $(TESTS)

test-compiled: compiled ## run the tests on the compiled modules (or some: TESTS=tests/core)
	SYNCNET_EXPECT_BUILD=compiled $(BIN)/pytest $(TESTS)

check: $(READY) ## ruff, strict mypy, the generated clients, and the tests of the structure
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python scripts/unasync.py --check
	$(BIN)/pytest -q tests/test_structure.py

fix: $(READY) ## format, and fix what ruff can fix
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/python scripts/unasync.py

compiled: $(COMPILED) ## compile the core with mypyc; from then on .venv runs the compiled modules

pure: ## remove the compiled modules; from then on .venv runs pure Python
	@find src -name '*.so' -delete
	@rm -f $(COMPILED)

wheels: $(READY) ## build the wheels into dist: pure, compiled for this platform, and the client alone
	SYNCNET_COMPILED=0 $(BIN)/python $(WHEEL) .
	SYNCNET_COMPILED=1 $(BIN)/python $(WHEEL) .
	$(BIN)/python $(WHEEL) packages/client

bench: $(READY) fresh ## measure, side by side in one run (or one section: SECTION=http)
	$(BIN)/python -m benchmarks $(SECTION)

sim: $(READY) fresh ## compare matchers, and simulate 10,000 clusters (some ten minutes each); or replay one: SEED=n
	@if [ -n "$(SEED)" ]; then $(BIN)/python -m syncnet.testing.simulator $(SEED); else \
	  SYNCNET_WORLDS=5000 SYNCNET_EXAMPLES=4000 $(BIN)/pytest -q tests/core/test_matching_against_a_plain_scan.py \
	    tests/core/test_machine_against_brute_force.py && \
	  $(BIN)/python -m syncnet.testing.simulator --seeds $(SEEDS); \
	fi

fuzz: $(READY) fresh ## random requests and bytes at a real server, and `make worst`, nightly size (some ten minutes)
	SYNCNET_FUZZ_EXAMPLES=1500 $(BIN)/pytest -q tests/end_to_end/test_openapi.py tests/end_to_end/test_raw_bytes.py
	$(BIN)/python -m tests.core.worst_case --seconds $(SECONDS)

worst: $(READY) fresh ## search for the offers that take the most processor time (a minute, or SECONDS=...)
	$(BIN)/python -m tests.core.worst_case --seconds $(SECONDS)

soak: SECONDS = 600
soak: $(READY) fresh ## a million offers, 300 kills of servers, and faults of a cluster (SECONDS=600); as root, an hour
	SYNCNET_SOAK_OFFERS=1000000 $(BIN)/pytest -q tests/core/test_soak.py tests/end_to_end/test_soak.py
	SYNCNET_KILLS=$${SYNCNET_KILLS:-200} $(BIN)/pytest -q -s tests/crash
	SYNCNET_CLUSTER_LINKS=1 SYNCNET_CLUSTER_SOAK_S=$(SECONDS) $(BIN)/pytest -q -s tests/cluster/test_soak.py

clean: pure ## remove what the other targets made
	rm -rf $(VENV) build dist .bench .mypy_cache .ruff_cache .pytest_cache .hypothesis

# Python prefers a compiled module to its source, so that an edited source would have no effect. Refuse that.
fresh:
	@if [ -n "$$(find src -name '*.so')" ]; then \
	  if [ -e $(COMPILED) ] && [ -z "$$(find $(SOURCES) -newer $(COMPILED))" ]; then \
	    echo "This runs the compiled modules; make pure removes them." >&2; \
	  else \
	    echo "The compiled modules are older than their sources: make compiled, or make pure." >&2; exit 1; \
	  fi; \
	fi

$(COMPILED): $(SOURCES) | $(READY)
	@command -v "$${CC:-cc}" >/dev/null && \
	  test -e "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("include"))')/Python.h" || \
	  { echo "Compiling needs a C compiler and Python's headers; on Debian: apt-get install gcc python3-dev" >&2; exit 1; }
	$(BIN)/python hatch_build.py
	@touch $@

$(READY): $(SERVING)
	$(PIP) install --editable '.[dev]'
	@touch $@

$(SERVING): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "syncnet needs Python 3.11 or newer; name one with: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
	  { echo "python3 -m venv failed; on Debian: apt-get install python3-venv" >&2; exit 1; }
	$(PIP) install --editable .
	@touch $@
