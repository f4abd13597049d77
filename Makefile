# make demo   a LeNet learns handwritten digits; pictures and snapshots in demo/
# make test   the tests pass
# make test-clone   they pass in a clean clone of the last commit, too, with nothing beside it
# make check  formatting, lint, types and the layout of imports
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PYTEST_ARGS ?= -n 2
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: demo test test-clone check clean

demo: $(VENV)/.demo
	$(BIN)/python examples/demo.py --out demo

test: $(VENV)/.test
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(PYTEST_ARGS)

test-clone: $(VENV)/.test
	folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && git clone -q . "$$folder/clone" && cd "$$folder/clone" && \
	CAFFE_TEST_ASSETS= CAFFE_TEST_REQUIRE= PYTHONPATH=src OMP_NUM_THREADS=1 $(CURDIR)/$(BIN)/python -m pytest $(PYTEST_ARGS)

check: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_architecture.py

$(VENV)/.venv:
	$(PYTHON) -m venv $(VENV)
	@touch $@

# torch first and alone: its CPU build satisfies the range that the package asks for
$(VENV)/.torch: $(VENV)/.venv constraints.txt
	$(PIP) torch
	@touch $@

$(VENV)/.demo: $(VENV)/.torch pyproject.toml
	$(PIP) -e '.[demo]'
	@touch $@

$(VENV)/.test: $(VENV)/.torch pyproject.toml
	$(PIP) -e '.[test]'
	@touch $@

$(VENV)/.dev: $(VENV)/.torch pyproject.toml
	$(PIP) -e '.[dev]'
	@touch $@

clean:
	rm -rf $(VENV) demo build dist .pytest_cache .mypy_cache .ruff_cache
