PYTHON ?= python3
VENV := .venv/bin

.PHONY: env lint test demo

env: ## .venv/ with the tested stack and this project
	@$(PYTHON) requirements/make_env.py

lint: env
	$(VENV)/ruff check .
	$(VENV)/ruff format --check .

test: env ## all tests; TESTS="tests/models -k ..." for some
	$(VENV)/python -m pytest $(TESTS)

demo: env ## train, evaluate and draw on data that ships with scikit-learn
	PATH="$(CURDIR)/$(VENV):$$PATH" tools/demo.sh
