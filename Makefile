# Every target sets up what it needs in .venv; `make` alone lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready
ADDRESS ?= :8000
SECTION ?=

.DEFAULT_GOAL := help
.PHONY: help serve test check fix bench sim fuzz soak clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

serve: $(READY) ## serve on :8000 (or ADDRESS=host:port)
	$(BIN)/syncnet $(ADDRESS)

test: $(READY) ## run the tests
	$(BIN)/pytest

check: $(READY) ## ruff, strict mypy, the generated clients, and the tests of the structure
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python scripts/unasync.py --check
	$(BIN)/pytest -q tests/test_structure.py

fix: $(READY) ## format, and mend what ruff can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/python scripts/unasync.py

bench: $(READY) ## measure, side by side in one run (or one section: SECTION=http)
	$(BIN)/python -m benchmarks $(SECTION)

sim: $(READY) ## the random comparisons of matchers, nightly size (some minutes)
	SYNCNET_WORLDS=5000 SYNCNET_EXAMPLES=4000 $(BIN)/pytest -q tests/core/test_matching_against_a_plain_scan.py \
	  tests/core/test_machine_against_brute_force.py

fuzz: $(READY) ## random requests and random bytes at a real server, nightly size (some ten minutes)
	SYNCNET_FUZZ_EXAMPLES=1500 $(BIN)/pytest -q tests/end_to_end/test_openapi.py tests/end_to_end/test_raw_bytes.py

soak: $(READY) ## a million offers of every kind of end, and 300 kills of servers (some forty minutes)
	SYNCNET_SOAK_OFFERS=1000000 $(BIN)/pytest -q tests/core/test_soak.py tests/end_to_end/test_soak.py
	SYNCNET_KILLS=$${SYNCNET_KILLS:-200} $(BIN)/pytest -q -s tests/crash

clean: ## remove what the other targets made
	rm -rf $(VENV) .bench .mypy_cache .ruff_cache .pytest_cache .hypothesis

# Both names: pip before 25.3 reads the first for builds, later ones the second.
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "syncnet needs Python 3.11 or newer; name one with: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
	  { echo "python3 -m venv failed; on Debian: apt-get install python3-venv" >&2; exit 1; }
	PIP_CONSTRAINT=constraints.txt PIP_BUILD_CONSTRAINT=constraints.txt \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@
