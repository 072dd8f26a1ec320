# One command each; CI calls the same targets. `make help` lists them.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
ARGS ?=
# One more than there are cores: tests wait for programs, servers and disks.
WORKERS ?= $(shell expr $$(nproc 2>/dev/null || echo 1) + 1)
TEMPLATES := $(wildcard workflows-templates/*.yml)
export PYTHONDONTWRITEBYTECODE =

.PHONY: help dev demo lint format test fuzz redteam bench soak mutate docs lock clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

dev: $(READY) ## make the development environment in .venv

$(READY): requirements/dev.txt requirements/bootstrap.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; set PYTHON=/path/to/python3.11")'
	@echo "Making $(VENV) (the first time takes about a minute) …"
	@$(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bootstrap.txt
	@VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/uv pip install --quiet --require-hashes -r requirements/dev.txt
	@echo "$(CURDIR)/src" > "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/coven_action.pth"
	@printf '#!/bin/sh\nexec "%s/python" -P -m coven_action "$$@"\n' "$(CURDIR)/$(BIN)" > $(BIN)/coven-action && chmod +x $(BIN)/coven-action
	@touch $@

demo: $(READY) ## the main job on this machine: a labelled issue becomes a draft pull request (ARGS=--once to end by itself)
	@$(BIN)/coven-action demo $(ARGS)

lint: $(READY) ## formatting, style, types, workflows, Dockerfile
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/zizmor --offline --quiet --persona=pedantic --config .github/zizmor.yml action.yml .github/workflows/*.yml $(TEMPLATES)
	$(BIN)/actionlint .github/workflows/*.yml $(TEMPLATES)
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-actions action.yml
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-workflows .github/workflows/*.yml $(TEMPLATES)
	$(BIN)/hadolint Dockerfile
	$(BIN)/python -P scripts/generate_docs.py --check

format: $(READY) ## rewrite the code in the project's style
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

test: $(READY) ## the whole suite but for what is marked slow, and core/ at 100 % branch coverage by its own tests
	@rm -f .coverage .coverage.*
	$(BIN)/python -P -m pytest -n $(WORKERS) --dist=worksteal -m "not slow" --cov --cov-report= tests/core $(ARGS)
	@$(BIN)/coverage report --include='src/coven_action/core/*' --fail-under=100
	$(BIN)/python -P -m pytest -n $(WORKERS) --dist=worksteal -m "not slow" --ignore=tests/core tests $(ARGS)

fuzz: $(READY) ## the property tests with ten times as many examples, never the same (ARGS="tests/core/redaction")
	COVEN_TESTS_FUZZ=10 $(BIN)/python -P -m pytest -n $(WORKERS) --dist=worksteal -m hypothesis --timeout=1800 $(ARGS)

redteam: $(READY) ## attack the action with an agent that obeys, guards on and disarmed, and print the table
	@$(BIN)/python -P -c 'import sys; sys.path.insert(0, "."); from tests.redteam.report import main; sys.exit(main(sys.argv[1:]))' -n $(WORKERS) $(ARGS)

bench: $(READY) ## measure (NAME=endpoint ARGS="--tenants 10"; ARGS=--help says more); without NAME, list what can be measured
ifdef NAME
	PYTHONPATH=. $(BIN)/python -P benchmarks/$(NAME).py $(ARGS)
else
	@grep -l __main__ benchmarks/*.py | xargs grep -m1 '^"""' | sed 's|^benchmarks/\(.*\)\.py:"""|\1: |'
endif

soak: $(READY) ## kill the serving endpoint two thousand times (about an hour), and time its restarts (ARGS="--cycles 100")
	@$(MAKE) --no-print-directory bench NAME=endpoint_soak ARGS="$(ARGS)"

mutate: $(READY) ## plant small faults into the rules of trust, memory and paths; every one must fail a test (ARGS="trust/trust.py")
	PYTHONPATH=scripts $(BIN)/python -P -m mutation $(ARGS)

docs: $(READY) ## write docs/schemas, docs/errors.md and docs/security-tests.md from the code
	$(BIN)/python -P scripts/generate_docs.py

lock: ## pin what the action installs and what development needs, with hashes
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -o requirements/bootstrap.txt requirements/bootstrap.in
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -o requirements/action.txt requirements/action.in
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --extra hosted -c requirements/action.txt --no-emit-package coven-action -o requirements/endpoint.txt pyproject.toml
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --extra dev --extra hosted -c requirements/action.txt --no-emit-package coven-action -o requirements/dev.txt pyproject.toml

clean: ## remove what the targets made
	rm -rf $(VENV) .cache .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage .coverage.* dist
