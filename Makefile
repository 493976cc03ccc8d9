# The two commands: `make demo` and `make test`. Both set everything up first, in .venv.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed

.PHONY: install demo test test-slow check bench clean

install: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "HAT needs Python 3.11 or newer: make PYTHON=/path/to/python3.11 …"; exit 2; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[train,dev]'
	touch $(INSTALLED)

demo: install
	$(BIN)/hat run demo

test: check
	$(BIN)/pytest --numprocesses 2 --durations 10

test-slow: install
	$(BIN)/pytest -m slow --durations 0

check: install
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

bench: install
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[train,dev,bench]'
	$(BIN)/python benchmarks/training_precision.py
	$(BIN)/python benchmarks/corpus_difficulty.py
	$(BIN)/python benchmarks/prepare_memory.py

clean:
	rm -rf .venv dist .mypy_cache .pytest_cache .ruff_cache
