# Everything a developer types. `make help` lists it.

VENV := .venv
PYTHON := $(VENV)/bin/python
STAMP := $(VENV)/.installed
LOCK := $(wildcard requirements.lock)

# Arguments for pytest: make test ARGS="-k phones -x"
ARGS ?=

.DEFAULT_GOAL := help
.NOTPARALLEL:
MAKEFLAGS += --no-print-directory

.PHONY: help run try test sure lint fix bench drill backup restore secrets compose-test setup

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: setup ## Run the whole product here until Ctrl-C (PORT, FLOWER_PORT, STATE_DIR)
	@exec $(PYTHON) -m local.stack

try: ## Register a number at the stack of `make run`, and trace it to the stores
	@exec $(PYTHON) -m local.try_it

test: setup ## Run every test, with servers and a browser of its own (ARGS="-k phones")
	@local/install_test_tools.sh
	@$(PYTHON) deploy/helm/breakwater/ci/get_tools.py
	@$(PYTHON) -m systemtests.axe
	@exec $(PYTHON) -m local.run_tests $(ARGS)

sure: lint test ## Everything that must hold before a commit: lint, then test

# No setting that these commands need reaches further than them.
lint fix: export SECRET_KEY := for-checks-only-and-for-nothing-that-anybody-can-reach

lint: setup ## Check format, style, types, import rules, migrations and the OpenAPI file
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/ruff check
	$(VENV)/bin/mypy .
	$(VENV)/bin/lint-imports
	$(PYTHON) manage.py makemigrations --check --dry-run
	$(PYTHON) manage.py spectacular --validate --fail-on-warn --file .openapi.tmp
	@diff -u docs/openapi.yaml .openapi.tmp; same=$$?; rm -f .openapi.tmp; \
	[ $$same = 0 ] || { echo 'docs/openapi.yaml is out of date: make fix' >&2; exit 1; }

fix: setup ## Format, repair style, write the generated files again
	$(VENV)/bin/ruff format
	$(VENV)/bin/ruff check --fix
	$(PYTHON) manage.py settings_reference --write
	$(PYTHON) manage.py spectacular --validate --fail-on-warn --file docs/openapi.yaml

bench: setup ## Measure Breakwater beside others, about twenty minutes (ARGS="--quick")
	@exec $(PYTHON) -m tools.bench $(ARGS)

drill: setup ## Break things under load and prove that nothing is lost (ARGS="--seed 7 --minutes 10")
	@exec $(PYTHON) -m tools.drills $(ARGS)

backup: setup ## Write PostgreSQL and the request log into one file (STATE_DIR/backups)
	@exec $(PYTHON) -m local.backup

restore: setup ## Bring a backup back: make restore FILE=… (FORCE=1 replaces what is there)
	@exec $(PYTHON) -m local.backup restore "$(FILE)" $(if $(FORCE),--force)

secrets: ## Make the passwords of the container stack, once (secrets/)
	@docker/make_secrets.sh

compose-test: setup ## Try the container stack: needs a Docker engine
	@COMPOSE=1 exec $(PYTHON) -m pytest systemtests/test_compose.py $(ARGS)

setup: $(STAMP) ## Install what is missing (the other targets do it themselves)
	@local/install_rabbitmq.sh

$(STAMP): pyproject.toml $(LOCK)
	@local/install_venv.sh $(VENV) $(LOCK)
	@touch $@
