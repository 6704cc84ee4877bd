# Everything a developer types. `make help` lists it.

VENV := .venv
PYTHON := $(VENV)/bin/python
MESSAGES := locale/fa/LC_MESSAGES/django.mo

# Arguments for pytest: make test ARGS="-k phones -x"
ARGS ?=

.DEFAULT_GOAL := help
.NOTPARALLEL:
MAKEFLAGS += --no-print-directory

.PHONY: help run try test coverage sure lint fix bench drill docs audit lock release-check registry-login publish secrets \
	compose-test setup setup-run

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: setup-run ## Run the whole product here until Ctrl-C (PORT, FLOWER_PORT, STATE_DIR)
	@exec $(PYTHON) -m local.stack

try: ## Register a number at the stack of `make run`, and trace it to the stores
	@exec $(PYTHON) -m local.try_it

test: setup ## Run every test, with servers and a browser of its own (ARGS="-k phones")
	@local/install_test_tools.sh
	@$(PYTHON) deploy/helm/breakwater/ci/get_tools.py
	@$(PYTHON) -m systemtests.axe
	@exec $(PYTHON) -m local.run_tests $(ARGS)

coverage: setup ## Run every test and say which lines none of them runs (at least 95 % must be run)
	@local/install_test_tools.sh
	@rm -f .coverage .coverage.*
	@$(PYTHON) -m coverage run -m local.run_tests $(ARGS)
	@$(VENV)/bin/coverage combine --quiet && $(VENV)/bin/coverage report

sure: lint test ## Everything that must hold before a commit: lint, then test

# No setting that these commands need reaches further than them.
lint fix: export SECRET_KEY := for-checks-only-and-for-nothing-that-anybody-can-reach

lint: setup ## Check format, style, types, import rules, migrations and the OpenAPI file
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/ruff check
	$(VENV)/bin/mypy .
	$(VENV)/bin/lint-imports
	$(VENV)/bin/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(VENV)/bin/check-jsonschema --builtin-schema vendor.dependabot .github/dependabot.yml
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

docs: $(VENV)/.tools ## Build the documents' site into build/site/
	@rm -rf build/docs && mkdir -p build/docs
	@git ls-files '*.md' docs deploy docker landing LICENSE | grep -v '^[.]github' | tar -cf - -T - | tar -xf - -C build/docs
	@NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --strict --quiet && echo build/site/index.html

audit: $(VENV)/.tools ## Ask PyPI's advisory service for known holes in what we install
	@for lock in dev tools; do $(VENV)/bin/pip-audit --disable-pip --require-hashes -r locks/$$lock.txt; done

lock: $(VENV)/.tools ## Write locks/ again from pyproject.toml (UPGRADE=1: the newest versions)
	@local/write_locks.sh $(VENV)/bin/uv

release-check:
	@docker/publish.sh check "$(TAG)"

registry-login publish:
	@docker/publish.sh $(subst registry-,,$@)

secrets: ## Make the passwords of the container stack, once (secrets/)
	@docker/make_secrets.sh

compose-test: setup ## Try the container stack: needs a Docker engine
	@COMPOSE=1 exec $(PYTHON) -m pytest -p no:randomly systemtests/test_compose.py systemtests/test_three_machines.py $(ARGS) # one stack, in the order of the file

setup: $(VENV)/.dev $(MESSAGES) ## Install what is missing (the other targets do it themselves)
	@local/install_rabbitmq.sh

# What running needs, without what tests and the benchmark need.
setup-run: $(VENV)/.run $(MESSAGES)
	@local/install_rabbitmq.sh

$(VENV)/.%: locks/%.txt
	@local/install_venv.sh $(VENV) $<
	@touch $@

$(MESSAGES): $(MESSAGES:.mo=.po) $(VENV)/.run
	@$(PYTHON) locale/compile.py

# What the tests need contains what running needs.
$(VENV)/.dev: locks/dev.txt
	@local/install_venv.sh $(VENV) $<
	@touch $@ $(VENV)/.run
