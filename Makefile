PYTHON ?= python3
STACK ?= frozen
export STACK
VENV := $(if $(filter frozen,$(STACK)),.venv,.venv-$(STACK))/bin
DOCS := .venv/docs
# nproc takes OMP_NUM_THREADS for the number of cores
JOBS ?= $(shell env -u OMP_NUM_THREADS nproc 2>/dev/null || echo 2)
# torch 2.1 has no wheels for later ones
CLASSIC_PYTHONS := python3.10 python3.11
CLASSIC_PYTHON ?= $(firstword $(foreach p,$(CLASSIC_PYTHONS),$(shell $(p) -c '' 2>/dev/null && echo $(p))) $(PYTHON))

# What another stack is most likely to break.
SMOKE := tests/test_package.py tests/test_stack.py tests/test_guest.py tests/toolboxes tests/ops \
	tests/checkpoints/test_checkpoint.py tests/runs/test_optimizers.py tests/checkpoints/test_weights_only.py \
	tests/spartan/test_golden.py tests/spartan/test_modes.py tests/rtdetr/test_golden.py \
	tests/rtdetr/test_deformable_attention.py tests/deploy/test_onnx.py tests/tools/test_stack_tools.py

.PHONY: help env lint test test-stacks fuzz soak demo docs docs-env docs-serve dist
.DEFAULT_GOAL := help

help: ## this list
	@echo 'make TARGET'
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

env: ## make .venv/ with the tested stack and this project; STACK=onedl or classic for another, in .venv-STACK/
	@$(PYTHON) requirements/make_env.py

demo: env ## train, evaluate and draw a detector and a classifier on handwritten digits
	PATH="$(CURDIR)/$(VENV):$$PATH" tools/demo.sh

test: env ## run all tests, one process for each core; TESTS="tests/spartan -k golden" for some of them
	$(VENV)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder $(TESTS)

test-stacks: ## set up the three stacks and run the most telling tests in each; CLASSIC_PYTHON=... for the last
	$(MAKE) test STACK=frozen TESTS="$(SMOKE)"
	$(MAKE) test STACK=onedl TESTS="$(SMOKE)"
	$(MAKE) test STACK=classic PYTHON="$(CLASSIC_PYTHON)" TESTS="$(SMOKE)"

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

fuzz: env ## run 3,000 damaged or contradictory inputs, 50 minutes on one core; ARGS="--count 200 --seed 1" for others
	$(VENV)/python -m tests.robustness.campaign $(ARGS)

soak: env ## kill 100 trainings, then run 5,000 training steps and 5,000 inferences, about 25 minutes
	OMP_NUM_THREADS=1 $(VENV)/python -m tests.soak $(ARGS)

docs-env: $(DOCS)/complete

$(DOCS)/complete: requirements/docs.txt
	$(PYTHON) -m venv --clear $(DOCS)
	$(DOCS)/bin/python -m pip install --quiet --disable-pip-version-check --requirement requirements/docs.txt
	$(DOCS)/bin/python -m pip check
	@touch $@
