# `make demo` shows the whole thing on rendered images; `make test` proves it; `make torture` breaks
# it over and over. All make .venv first.

PYTHON ?= python3
ENVIRONMENT := .venv
IN := $(ENVIRONMENT)/bin
DEMO := --config configs/demo.yaml --overwrite

RENDERED := .cache/phantom-covid-normal-pneumonia-160/test

FOLDS ?= 5

.PHONY: demo test check docs-check crossval torture clean

demo: $(ENVIRONMENT)/installed
	$(IN)/accelerate launch --quiet --config_file accelerate_config.yaml train.py $(DEMO)
	$(IN)/python evaluate.py runs/demo
	$(IN)/python export.py runs/demo
	$(IN)/python predict.py runs/demo/export/model.int8.onnx \
		$$(for label in covid normal pneumonia; do ls $(RENDERED)/$$label/*.png | head -n 1; done)

# make crossval CONFIG=configs/… FOLDS=5 SET="data.root=data/mine epochs=2"; goes on where it ended.
crossval: $(ENVIRONMENT)/installed
	$(IN)/python -m covid.training.crossval --config $(CONFIG) --folds $(FOLDS) \
		$(foreach change,$(SET),--set $(change))

# A file's tests stay in one process, which makes once what they share; each process computes on
# one thread, so that the processes do not fight for cores.
test: $(ENVIRONMENT)/installed
	OMP_NUM_THREADS=1 $(IN)/python -m pytest --numprocesses logical --maxprocesses 4 \
		--dist loadfile --durations 10

torture: $(ENVIRONMENT)/installed
	$(IN)/python benchmarks/torture.py

check: $(ENVIRONMENT)/installed
	$(IN)/ruff check .
	$(IN)/mypy

docs-check: $(ENVIRONMENT)/installed
	$(IN)/python -m pytest tests/test_docs.py

$(ENVIRONMENT)/installed: requirements-dev.txt requirements.txt
	$(PYTHON) -m venv $(ENVIRONMENT)
	$(IN)/python -m pip install --quiet --requirement requirements-dev.txt
	touch $@

clean:
	rm -rf $(ENVIRONMENT) build dist covid.egg-info .cache .mypy_cache .pytest_cache .ruff_cache .hypothesis
