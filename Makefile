# Every target installs what it needs first. `make help` lists them.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:

#: The interpreter that the virtual environment is made from: 3.11 or newer.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
#: More arguments for pytest, for example: make test TESTS="tests/unit -k tag"
TESTS ?=
#: How many processes run tests; 0 is this one alone, for example: make test PROCESSES=0 TESTS="tests/unit --pdb"
PROCESSES ?= auto
#: Arguments for the benchmark, for example: make bench BENCH="--quick --only shield"
BENCH ?=
#: Arguments for the soak, for example: make soak SOAK="--minutes 5 --services 8"
SOAK ?=
#: Where the demonstration puts what it decrypts.
OUTPUT ?= demo-output

PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet --quiet
COMPILE := $(BIN)/pip-compile --quiet --no-config --strip-extras --allow-unsafe --generate-hashes --no-header \
	--no-emit-index-url --no-emit-trusted-host --no-emit-find-links
LISTED := scripts/listed-dependencies.py
RUNTIME := $(VENV)/.runtime-installed
DEVELOPMENT := $(VENV)/.development-installed

.PHONY: help
help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 24

.PHONY: demo
demo: $(RUNTIME) ## run the main job on this machine, attack it, and report
	@$(BIN)/bannock demo --output $(OUTPUT)

.PHONY: install
install: $(DEVELOPMENT) ## make .venv with the locked dependencies

.PHONY: test
test: $(DEVELOPMENT) ## run every test
	@scripts/prepare-tests.sh
	@$(BIN)/python -m pytest -n $(PROCESSES) --maxprocesses=4 $(TESTS)

.PHONY: test-toolchains
test-toolchains: $(DEVELOPMENT) ## make services in Java, Rust and Go, whose compilers take minutes to be fetched
	@scripts/prepare-tests.sh
	@TOOLCHAINS=1 $(BIN)/python -m pytest -n 0 tests/e2e/test_mesh_toolchains.py $(TESTS)

.PHONY: check
check: $(DEVELOPMENT) ## lint, format, types, and the rules of the house
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/python -m pytest -q -p no:randomly tests/unit/test_architecture.py

.PHONY: docs
docs: $(DEVELOPMENT) ## build the documentation as a site: site/index.html
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet --strict

.PHONY: screenshots
screenshots: $(DEVELOPMENT) ## take the pictures of docs/console.md anew
	@scripts/prepare-tests.sh
	@BANNOCK_SCREENSHOTS=$(CURDIR)/docs/console $(BIN)/python -m pytest -q tests/integration/console/test_in_browser.py

.PHONY: bench
bench: $(DEVELOPMENT) ## measure everything beside its peers, and renew bench/ and docs/performance.md
	@scripts/prepare-tests.sh
	@scripts/prepare-benchmarks.sh
	@$(BIN)/python -m benchmarks run $(BENCH)

.PHONY: bench-report
bench-report: $(DEVELOPMENT) ## print, draw and publish what is in bench/results
	@$(BIN)/python -m benchmarks report

.PHONY: bench-shield
bench-shield: $(RUNTIME) ## measure the file shield beside gocryptfs, bindfs and the plain directory
	@scripts/prepare-benchmarks.sh
	@$(BIN)/python -m benchmarks.shield run $(BENCH)

.PHONY: bench-cas
bench-cas: $(DEVELOPMENT) ## measure a CAS: attestations, sessions and tag updates a second
	@scripts/prepare-tests.sh
	@$(BIN)/python -m benchmarks.cas run $(BENCH)

.PHONY: bench-appraisal
bench-appraisal: $(DEVELOPMENT) ## measure how long evidence takes to appraise, beside dcap-qvl
	@$(BIN)/python -m benchmarks.appraisal run $(BENCH)

.PHONY: bench-remote
bench-remote: $(DEVELOPMENT) ## measure encrypted runs on another machine, beside doing the same by hand
	@scripts/prepare-tests.sh
	@scripts/prepare-benchmarks.sh
	@$(BIN)/python -m benchmarks.remote run $(BENCH)

.PHONY: bench-images
bench-images: $(DEVELOPMENT) ## measure how containers start and how images are protected, beside native ones
	@scripts/prepare-tests.sh
	@scripts/prepare-benchmarks.sh
	@$(BIN)/python -m benchmarks.images run $(BENCH)

.PHONY: bench-mesh
bench-mesh: $(DEVELOPMENT) ## measure how long a changed service takes to be made, beside docker build
	@scripts/prepare-tests.sh
	@scripts/prepare-benchmarks.sh
	@$(BIN)/python -m benchmarks.mesh run $(BENCH)

.PHONY: soak
soak: $(DEVELOPMENT) ## run CAS, LAS and twenty services for half an hour, with faults, and see that nothing grows
	@scripts/prepare-tests.sh
	@$(BIN)/python -m benchmarks.soak $(SOAK)

.PHONY: crash-matrix
crash-matrix: $(DEVELOPMENT) ## write docs/crash-matrix.md anew: cut the power, change the storage, and look
	@$(BIN)/python -m tests.unit.shield.crash_page

.PHONY: format
format: $(DEVELOPMENT) ## bring the code into form
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

.PHONY: lock
lock: $(DEVELOPMENT) ## resolve pyproject.toml into the lock files anew
	@$(COMPILE) --upgrade -o requirements.lock pyproject.toml
	@$(BIN)/python $(LISTED) build | $(COMPILE) --upgrade -c requirements.lock -o requirements-build.lock -
	@$(BIN)/python $(LISTED) dev | $(COMPILE) --upgrade -c requirements.lock -o requirements-dev.lock -

.PHONY: clean
clean: ## remove what the targets made
	@rm -rf $(VENV) $(OUTPUT) build dist site .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage src/*.egg-info
	@find src tests scripts benchmarks -name __pycache__ -prune -exec rm -rf {} +

# --no-build-isolation: what builds this package is locked too, so nothing is taken unhashed.
$(RUNTIME): requirements.lock requirements-build.lock pyproject.toml scripts/prepare-machine.sh
	@PYTHON="$(PYTHON)" scripts/prepare-machine.sh
	@"$(PYTHON)" -m venv --clear $(VENV)
	@$(PIP) install --require-hashes -r requirements.lock -r requirements-build.lock
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

$(DEVELOPMENT): $(RUNTIME) requirements-dev.lock
	@$(PIP) install --require-hashes -r requirements.lock -r requirements-dev.lock
	@touch $@
