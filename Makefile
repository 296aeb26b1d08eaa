# Every command sets up what it needs by itself; all it takes is CPython >= 3.11, make and the package index.
# PYTHON=/path/to/python chooses the interpreter.

SHELL := /bin/bash
.DEFAULT_GOAL := help
BIN := .venv/bin
RUN := AIRFLOW_HOME=$(CURDIR)/.venv/home AIRFLOW__CORE__LOAD_EXAMPLES=False
PARALLEL := -n $(or $(JOBS),2) --dist loadfile --no-loadscope-reorder
# Many of the unit tests wait for something, so there is one process more than there are cores.
UNIT_PARALLEL := -n $(or $(JOBS),3) --dist loadfile --no-loadscope-reorder
UNIT_TESTS := $(or $(ONLY),tests --ignore=tests/e2e --ignore=tests/distributed $(UNIT_PARALLEL) --durations=30) $(ARGS)
TESTS_E2E := $(wildcard tests/e2e/test_*.py)

MKDOCS := NO_MKDOCS_2_WARNING=1 .envs/docs/bin/python -m mkdocs

# Whether `make lint` holds the architecture to the limits of scripts/architecture.py.
LIMITS :=

# Nothing of the caller's own Airflow or Python may reach ours; without byte code Airflow starts three times as slowly.
unexport $(filter AIRFLOW_%,$(.VARIABLES))
unexport PYTHONDONTWRITEBYTECODE PYTHONPATH PYTHONHOME VIRTUAL_ENV
export PYTHON

##@ Begin

.PHONY: help
help: ## show this list
	@awk -F ':.*## ' '/^##@ / { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z0-9-]+:.*## / { split($$2, said, " [|] "); printf "  make %-14s %s\n", $$1, said[1]; \
		if (said[2]) printf "  %-19s %s\n", "", said[2] }' Makefile
	@printf '\nARGS="..." is passed on to pytest; PYTHON=/path/to/python chooses the interpreter.\n'

.PHONY: env
env: ## set up the development environment in .venv
	@EDITABLE=1 scripts/bootstrap.sh env .venv requirements/dev.lock

.PHONY: demo
demo: env ## transcribe the samples in a real Airflow, with the emulator | KEEP=1 leaves it up, DISTRIBUTED=1 has workers and triggerers as on many machines
ifneq ($(DISTRIBUTED),)
	@EDITABLE=1 scripts/bootstrap.sh env .envs/distributed requirements/distributed.lock
	@.envs/distributed/bin/python scripts/demo.py --distributed $(if $(KEEP),--keep)
else
	@$(BIN)/python scripts/demo.py $(if $(KEEP),--keep)
endif

.PHONY: demo-stop
demo-stop: ## stop what `make demo KEEP=1` left up
	@[ ! -x $(BIN)/python ] || $(BIN)/python scripts/demo.py --stop

##@ Check a change

.PHONY: test
test: unit e2e ## run the unit tests and the end-to-end tests

.PHONY: unit
unit: env ## run the unit tests | ONLY=tests/api some files; WHOLE=1 adds what takes long, and coverage; JOBS=1 has one process
	@scripts/bootstrap.sh clean-db .venv
ifneq ($(WHOLE),)
	@rm -f .coverage .coverage.*
	$(RUN) $(BIN)/coverage run -m pytest --hypothesis-profile=nightly $(UNIT_TESTS)
	@$(BIN)/coverage combine --quiet
	$(BIN)/coverage report --fail-under=95
	$(BIN)/coverage report --fail-under=100 --include='airflow_provider_nanostt/api/*'
else
	$(RUN) $(BIN)/python -m pytest -m "not long" $(UNIT_TESTS)
endif

.PHONY: e2e
e2e: env ## run the end-to-end tests, with real Airflow processes
ifneq ($(TESTS_E2E),)
	@scripts/bootstrap.sh clean-db .venv
	$(RUN) $(BIN)/python -m pytest tests/e2e -m "not long" $(PARALLEL) --durations=15 $(ARGS)
else
	@echo "no end-to-end tests"
endif

.PHONY: lint
lint: env ## ruff, mypy, and which module may import which | LIMITS=1 adds the limits of the architecture
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(if $(LIMITS),$(BIN)/python scripts/architecture.py --check)

.PHONY: format
format: env ## let ruff put the code in order
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

##@ Check the whole

.PHONY: chaos
chaos: env ## kill, lose and repeat everything, on newest and oldest Airflow: is each recording paid once?
	@scripts/bootstrap.sh clean-db .venv
	E2E_WHOLE=1 $(RUN) $(BIN)/python -m pytest tests/e2e/test_paid_once.py tests/e2e/test_race.py \
		tests/e2e/test_batch.py tests/e2e/test_chaos.py tests/e2e/test_three_triggerers.py tests/e2e/test_one_key.py \
		tests/e2e/test_killed_submitting.py $(ARGS)
	AT_ONCE=50 $(RUN) $(BIN)/python -m pytest tests/workflow/test_at_once.py tests/common/test_conditional_writes.py \
		-k "instant or wins"

.PHONY: distributed
distributed: ## the same with Celery workers, triggerers, PgBouncer and an object store that die or are cut off | MINUTES=1.5 is shorter
	@EDITABLE=1 scripts/bootstrap.sh env .envs/distributed requirements/distributed.lock
	@scripts/bootstrap.sh clean-db .envs/distributed
	AIRFLOW_HOME=$(CURDIR)/.envs/distributed/home AIRFLOW__CORE__LOAD_EXAMPLES=False \
		.envs/distributed/bin/python -m pytest tests/distributed -s $(ARGS)

.PHONY: inside
inside: env ## in real Airflows: the tab in a browser, approvals, watched buckets, day limits, backfills | TAB_SCREENSHOTS=/folder keeps pictures
	@scripts/bootstrap.sh clean-db .venv
	E2E_AIRFLOW="3.1.8 3.3.2 3.4.0b2" $(RUN) $(BIN)/python -m pytest tests/e2e/test_transcript_tab.py \
		tests/e2e/test_watched_bucket.py tests/e2e/test_approval.py tests/e2e/test_day_limit.py tests/e2e/test_backfill.py $(ARGS)

.PHONY: fuzz
fuzz: env ## mutated containers, answers, records, addresses: nothing may crash, hang or grow | COUNT=200 tries fewer of each
	@scripts/bootstrap.sh clean-db .venv
	$(RUN) $(BIN)/python -m tests.security.fuzz $(if $(COUNT),--count $(COUNT)) $(ARGS)

.PHONY: matrix
matrix: env ## test the wheel on every other supported Airflow | ONLY="2.11.2" some, ONLY=newest a pre-release, ENDS=1 oldest and newest, WHOLE=1 every test
	@$(BIN)/python scripts/matrix.py $(if $(WHOLE),--whole) $(if $(ENDS),--ends) $(ONLY)

.PHONY: clouds
clouds: ## run the real-store tests on a disk, S3, Google Cloud Storage and Azure | ONLY="gs abfs" some
	@EDITABLE=1 scripts/bootstrap.sh env .envs/clouds requirements/clouds.lock
	@scripts/bootstrap.sh npm .envs/clouds .envs/azurite requirements/azurite
	@for store in $(or $(ONLY),file s3 gs abfs); do \
		echo "=== $$store ==="; scripts/bootstrap.sh clean-db .envs/clouds; \
		STORE=$$store AIRFLOW_HOME=$(CURDIR)/.envs/clouds/home AIRFLOW__CORE__LOAD_EXAMPLES=False \
			.envs/clouds/bin/python -m pytest tests --ignore=tests/e2e --ignore=tests/distributed -m store -rs $(ARGS) || exit 1; \
	done

.PHONY: readers
readers: ## read our formats with loaders and types of Airflow, LangChain, LlamaIndex, OpenAI
	@EDITABLE=1 scripts/bootstrap.sh env .envs/readers requirements/readers.lock
	@scripts/bootstrap.sh clean-db .envs/readers
	READERS=1 AIRFLOW_HOME=$(CURDIR)/.envs/readers/home AIRFLOW__CORE__LOAD_EXAMPLES=False \
		.envs/readers/bin/python -m pytest tests/readers -rs $(ARGS)

.PHONY: nightly
nightly: ## all that .ci/run has no time for: everything whole, the fuzzer, every benchmark in its quick form
	@$(MAKE) --no-print-directory unit WHOLE=1
	@$(MAKE) --no-print-directory chaos
	@$(MAKE) --no-print-directory distributed
	@$(MAKE) --no-print-directory inside
	@$(MAKE) --no-print-directory fuzz
	@$(MAKE) --no-print-directory matrix WHOLE=1
	@$(MAKE) --no-print-directory clouds
	@$(MAKE) --no-print-directory readers
	@$(MAKE) --no-print-directory release-check
	@$(MAKE) --no-print-directory workflows
	@$(MAKE) --no-print-directory bench QUICK=1

##@ Publish

.PHONY: build
build: ## build wheel and source distribution into dist/; the same tree gives the same bytes
	@scripts/bootstrap.sh env .envs/release requirements/release.lock
	@rm -rf dist
	@.envs/release/bin/python -m hatchling build -d dist

.PHONY: release-check
release-check: ## build, install on every Python that is here, check types and metadata, write the SBOM into dist/
	@scripts/bootstrap.sh env .envs/release requirements/release.lock
	@.envs/release/bin/python scripts/release_check.py

.PHONY: workflows
workflows: ## check .github/ and CITATION.cff: published schemas, actionlint, zizmor
	@scripts/bootstrap.sh env .envs/release requirements/release.lock
	@.envs/release/bin/python scripts/check_workflows.py

##@ Documentation

.PHONY: docs-env
docs-env:
	@scripts/bootstrap.sh env .envs/docs requirements/docs.lock

# Neither Airflow nor another host is needed: the reference is read from the code, fonts and scripts lie in the site.
.PHONY: docs
docs: docs-env ## build the documentation's site into .site; a warning fails
	@SECONDS=0; $(MKDOCS) build --strict && echo "the site is in .site, built in $$SECONDS s, no warnings"

.PHONY: docs-serve
docs-serve: docs-env ## show the site on this machine, and again after each change; PORT=8000
	@$(MKDOCS) serve --strict --dev-addr 127.0.0.1:$(or $(PORT),8000)

.PHONY: screenshots
screenshots: env ## take the pictures of the documentation anew, in a running Airflow
	@$(BIN)/python scripts/screenshots.py

.PHONY: docs-version
docs-version: docs-env ## add a version's site to the branch gh-pages; VERSION=0.1, LATEST=1 for the newest
	@PATH=$(CURDIR)/.envs/docs/bin:$$PATH PYTHONPATH=$(CURDIR) NO_MKDOCS_2_WARNING=1 mike deploy --update-aliases \
		$(or $(VERSION),$(error say which VERSION)) $(if $(LATEST),latest)

##@ Measure and look after

.PHONY: bench
bench: env ## measure what benchmarks/RESULTS.md says about speed | ONLY="cpu_per_poll" some, QUICK=1 only to see that it works
	@EDITABLE=1 scripts/bootstrap.sh env .envs/bench requirements/bench.lock
	@AIRFLOW_HOME=$(CURDIR)/.envs/bench/home AIRFLOW__CORE__LOAD_EXAMPLES=False \
		.envs/bench/bin/python benchmarks/run.py $(if $(QUICK),--quick) $(ONLY) $(ARGS)

.PHONY: architecture
architecture: env ## count rooms, arrows, circles, lines and functions | BEFORE=/path/to/checkout puts another one beside it, WAY=1 names the functions
	@$(BIN)/python scripts/architecture.py $(BEFORE) $(CURDIR) $(if $(WAY),--way)

.PHONY: lock
lock: ## resolve all dependencies anew and write requirements/*.lock | ONLY="dev.lock" some
	@"$$(scripts/bootstrap.sh python)" scripts/lock.py "$$(scripts/bootstrap.sh uv)" $(ONLY)

.PHONY: clean
clean: demo-stop ## remove everything that can be made again
	rm -rf .venv .envs .demo .site .tools dist .coverage .coverage.* .mypy_cache .pytest_cache .ruff_cache .hypothesis \
		.import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
