PYTHON ?= python3
VENV := .venv/bin
JOBS ?= $(shell nproc 2>/dev/null || echo 2)

.PHONY: env lint test fuzz soak demo

env: ## .venv/ with the tested stack and this project
	@$(PYTHON) requirements/make_env.py

lint: env
	$(VENV)/ruff check .
	$(VENV)/ruff format --check .

test: env ## all tests, a process a core; TESTS="tests/models -k ..." for some
	$(VENV)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder $(TESTS)

fuzz: env ## 2,000 damaged or contradictory inputs: half an hour on one core; ARGS="--count 200 --seed 1" for others
	$(VENV)/python -m tests.robustness.campaign $(ARGS)

soak: env ## 100 kills of trainings, 5,000 training steps, 5,000 inferences: about 25 minutes
	OMP_NUM_THREADS=1 $(VENV)/python -m tests.soak $(ARGS)

demo: env ## train, evaluate and draw on data that ships with scikit-learn
	PATH="$(CURDIR)/$(VENV):$$PATH" tools/demo.sh
