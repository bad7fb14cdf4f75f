# Bare `make` lists every command. Nothing is needed but make, git, bash and Python 3.11 or newer (make PYTHON=… names another).
SHELL := /usr/bin/env bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

BIN := .venv/bin
# The longest first, so that no worker is left with one of them at the end.
TESTS := tests/chaos tests/e2e tests/integration tests/rpc tests/contract tests/unit
TEST_WORKERS ?= 2
export PYTHON

.PHONY: help setup setup-dev run prove-rebuild test test-system check drift gen gen-typescript baseline bench fmt lock clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' Makefile

run: setup ## start all of Provost on this machine (Ctrl-C stops it; data under .provost/); VAULT=1: with an OpenBao, TLS=1: encrypted inside
	@$(if $(VAULT),export PROVOST_VAULT=$(VAULT);) $(if $(TLS),export PROVOST_TLS=$(TLS);) exec $(BIN)/python -m chassis.embedded

prove-rebuild: setup ## wipe store and ledger, rebuild both from the event log, prove that they are equal
	@$(BIN)/python -m chassis.embedded --amnesia

test: setup-dev ## every test that needs no system package, against real servers from wheels
	@failed=; \
	$(BIN)/python -m pytest -n $(TEST_WORKERS) --dist loadfile --no-loadscope-reorder --durations=25 --durations-min=5 -m "not alone" $(TESTS) || failed=$$?; \
	if [ "$$failed" = 1 ]; then \
	  printf '\n── those that failed, asked once more with nothing beside them: what passes only now is unsteady, and to be mended\n'; \
	  $(BIN)/python -m pytest --last-failed --last-failed-no-failures none -m "not alone" $(TESTS) && failed=; \
	fi; \
	printf '\n── those that hold a clock to a promise, with nothing beside them\n'; \
	$(BIN)/python -m pytest -m alone tests/chaos tests/integration || failed=1; \
	[ -z "$$failed" ]

test-system: setup-dev ## tests that need system packages (names what is missing); WITHOUT_CLUSTER=1: all but the compose cluster
	@cmp -s requirements/system.lock .venv-system/lock || { rm -rf .venv-system; \
	  $(BIN)/python -m pip install --disable-pip-version-check --quiet --target .venv-system --no-deps \
	  --require-hashes -r requirements/system.lock; cp requirements/system.lock .venv-system/lock; }
	@$(BIN)/python -m tests.system $(if $(WITHOUT_CLUSTER),--without-cluster)

check: setup-dev ## format, lint, types, walls between rooms, protos: exactly what CI checks
	@failed=; step() { \
	  local from=$$SECONDS; printf '\n── %s\n' "$$*"; \
	  "$$@" || failed+=$$'\n  '"$$*"; \
	  printf '   %s s\n' "$$((SECONDS - from))"; \
	}; \
	step $(BIN)/ruff format --check .; \
	step $(BIN)/ruff check .; \
	step $(BIN)/lint-imports --no-logo; \
	step $(BIN)/mypy; \
	step $(MAKE) drift; \
	step $(BIN)/buf lint; \
	step $(BIN)/buf format --diff --exit-code; \
	step $(BIN)/buf breaking --against protos/baseline.binpb; \
	if [ -n "$$failed" ]; then printf '\nNot good yet:%s\n' "$$failed"; exit 1; fi; \
	printf '\nAll checks passed.\n'

drift: setup-dev ## say whether gen/ is what protos/ render to (part of check)
	@fresh=$$(mktemp -d); trap 'rm -rf "$$fresh"' EXIT; \
	$(MAKE) -s render OUT="$$fresh" >/dev/null; \
	diff -rq --exclude=__pycache__ gen "$$fresh" || { echo "gen/ is not what protos/ render to: run make gen and commit."; exit 1; }; \
	$(BIN)/python -m services.ledger.asyncapi "$$fresh/asyncapi.yaml"; \
	diff -q docs/asyncapi.yaml "$$fresh/asyncapi.yaml" || { echo "docs/asyncapi.yaml is old: run make gen and commit."; exit 1; }

gen: setup-dev ## render protos/ into gen/ (python and type stubs) and docs/asyncapi.yaml, and for TypeScript where its packages are installed
	@fresh=$$(mktemp -d); trap 'rm -rf "$$fresh"' EXIT; \
	$(MAKE) -s render OUT="$$fresh"; \
	mkdir -p gen; cp -r "$$fresh"/. gen/; \
	{ diff -rq --exclude=__pycache__ gen "$$fresh" || true; } | awk '/^Only in gen/ { sub(/:$$/, "", $$3); print $$3 "/" $$4 }' | xargs -r rm -rv; \
	echo "gen/ holds $$(find gen -name '*_pb2.py' | wc -l) rendered protos."
	@$(BIN)/python -m services.ledger.asyncapi
	@[ ! -x sdk/typescript/node_modules/.bin/protoc-gen-es ] || exec $(MAKE) gen-typescript

# Not for people: `make gen` and `make drift` render with it. OUT is where to.
.PHONY: render
render:
	@export PATH="$(CURDIR)/$(BIN):$$PATH"; \
	all=$$(find protos -name '*.proto' | LC_ALL=C sort); services=$$(grep -l '^service ' $$all); \
	python -m grpc_tools.protoc -I protos --python_out=$(OUT) --mypy_out=quiet:$(OUT) $$all; \
	python -m grpc_tools.protoc -I protos --grpc_python_out=$(OUT) --mypy_grpc_out=quiet:$(OUT) $$services; \
	touch $(OUT)/provost/py.typed

gen-typescript: setup-dev ## render protos/ into sdk/typescript/src/gen (needs node and npm)
	@[ -d sdk/typescript/node_modules ] || npm --prefix sdk/typescript ci --ignore-scripts --silent; \
	fresh=$$(mktemp -d); trap 'rm -rf "$$fresh"' EXIT; \
	$(MAKE) -s render-typescript OUT="$$fresh"; \
	rm -rf sdk/typescript/src/gen; cp -r "$$fresh" sdk/typescript/src/gen; chmod 755 sdk/typescript/src/gen

# Not for people: `make gen-typescript` and its test render with it. OUT is where to.
.PHONY: render-typescript
render-typescript:
	@mkdir -p "$(OUT)"; \
	google=$$($(BIN)/python -c 'import pathlib, google.rpc; print(pathlib.Path(google.rpc.__path__[0]).parents[1])'); \
	$(BIN)/python -m grpc_tools.protoc -I protos -I "$$google" --es_out="$(OUT)" \
	  --plugin=protoc-gen-es=sdk/typescript/node_modules/.bin/protoc-gen-es --es_opt=target=ts,import_extension=js \
	  $$(cd protos; find . -name '*.proto' | sed 's|^\./||' | LC_ALL=C sort) google/rpc/error_details.proto

baseline: setup-dev ## accept the protos as they are as what buf breaking compares with
	@$(BIN)/buf build -o protos/baseline.binpb && echo "protos/baseline.binpb renewed: commit it, and say why in the commit."

bench: setup-dev ## measure, each bench against its goals (prints tables, writes JSON)
	@requirements/install.sh bench .venv-drain3 || echo "drain3 does not install here: it is left out of the comparison."
	@$(BIN)/python -m tests.bench

fmt: setup-dev ## format the code and repair what ruff can
	@$(BIN)/ruff check --fix-only --quiet .; $(BIN)/ruff format .; $(BIN)/buf format -w

lock: ## compile requirements/*.lock anew from *.in (needs a network)
	@requirements/lock.sh

clean: ## remove environments and caches (never .provost/, which holds data)
	@rm -rf .venv .venv-drain3 .venv-lock .venv-system .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage htmlcov bench-results sdk/typescript/node_modules sdk/typescript/dist
	@find . -name __pycache__ -type d -not -path './.provost/*' -prune -exec rm -rf {} +

# What `make run` needs, and what working on Provost needs. Both return at once when the lock has not changed.
setup:
	@requirements/install.sh run
setup-dev:
	@requirements/install.sh dev
