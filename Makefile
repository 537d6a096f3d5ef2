PYTHON ?= python3
VENV := .venv/bin
JOBS ?= $(shell nproc 2>/dev/null || echo 2)

.PHONY: env lint test demo

env: ## .venv/ with the tested stack and this project
	@$(PYTHON) requirements/make_env.py

lint: env
	$(VENV)/ruff check .
	$(VENV)/ruff format --check .

test: env ## all tests, a process a core; TESTS="tests/models -k ..." for some
	$(VENV)/python -m pytest -n $(JOBS) --dist loadfile $(TESTS)

demo: env ## train, evaluate and draw on data that ships with scikit-learn
	PATH="$(CURDIR)/$(VENV):$$PATH" tools/demo.sh
