# `make demo` shows the whole thing on rendered images; `make test` proves it. Both make .venv first.

PYTHON ?= python3
ENVIRONMENT := .venv
IN := $(ENVIRONMENT)/bin
DEMO := --config configs/demo.yaml --overwrite

.PHONY: demo test check clean

demo: $(ENVIRONMENT)/installed
	$(IN)/accelerate launch --quiet --config_file accelerate_config.yaml train.py $(DEMO)
	$(IN)/python evaluate.py runs/demo

test: $(ENVIRONMENT)/installed
	$(IN)/python -m pytest

check: $(ENVIRONMENT)/installed
	$(IN)/ruff check .
	$(IN)/mypy

$(ENVIRONMENT)/installed: requirements-dev.txt requirements.txt
	$(PYTHON) -m venv $(ENVIRONMENT)
	$(IN)/python -m pip install --quiet --requirement requirements-dev.txt
	touch $@

clean:
	rm -rf $(ENVIRONMENT) .cache .mypy_cache .pytest_cache .ruff_cache .hypothesis
