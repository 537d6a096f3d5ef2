PYTHON ?= python3
VENV := .venv/bin
DOCS := .venv/docs
JOBS ?= $(shell nproc 2>/dev/null || echo 2)

.PHONY: help env lint test fuzz soak demo docs docs-env docs-serve dist
.DEFAULT_GOAL := help

help: ## this list
	@echo 'make TARGET'
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

env: ## make .venv/ with the tested stack and this project
	@$(PYTHON) requirements/make_env.py

demo: env ## train, evaluate and draw a detector and a classifier on handwritten digits
	PATH="$(CURDIR)/$(VENV):$$PATH" tools/demo.sh

test: env ## run all tests, one process for each core; TESTS="tests/spartan -k golden" for some of them
	$(VENV)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder $(TESTS)

lint: env ## check style and formatting by ruff, types by mypy
	$(VENV)/ruff check .
	$(VENV)/ruff format --check .
	$(VENV)/mypy

docs: $(DOCS)/complete ## build this documentation into build/docs/
	NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/mkdocs build --strict --quiet

docs-serve: $(DOCS)/complete ## show the documentation at http://127.0.0.1:8000, rebuilt when a page changes
	NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/mkdocs serve --strict

dist: env $(DOCS)/complete ## build sdist and wheel into dist/, check both, install each in an empty environment
	.ci/dist

fuzz: env ## run 2,000 damaged or contradictory inputs, half an hour on one core; ARGS="--count 200 --seed 1" for others
	$(VENV)/python -m tests.robustness.campaign $(ARGS)

soak: env ## kill 100 trainings, then run 5,000 training steps and 5,000 inferences, about 25 minutes
	OMP_NUM_THREADS=1 $(VENV)/python -m tests.soak $(ARGS)

docs-env: $(DOCS)/complete

$(DOCS)/complete: requirements/docs.txt
	$(PYTHON) -m venv --clear $(DOCS)
	$(DOCS)/bin/python -m pip install --quiet --disable-pip-version-check --requirement requirements/docs.txt
	$(DOCS)/bin/python -m pip check
	@touch $@
