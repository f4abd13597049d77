# make demo   a LeNet learns handwritten digits; pictures and snapshots in demo/
# make test   the tests pass
# make test-clone   they pass in a clean clone of the last commit, too, with nothing beside it
# make check  formatting, lint, types and the layout of imports
# make test-types   mypy and pyright find what they should in a user's script
# make dist   wheel and sdist in dist/, built twice and compared
# make test-wheel   the tests pass with the wheel of dist/ in a fresh environment
# make test-gpu     the tests in GPU mode, and those of tests/gpu (PYTHON=… with a torch that finds the device)
# make test-lowest  run them with the oldest versions that the package asks for (PYTHON=python3.10); a few of
#                   exporting and importing fail there
# make docs   the documentation as a site, in site/
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/$(if $(filter Windows_NT,$(OS)),Scripts,bin)
PYTEST_ARGS ?= -n 2
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: demo test test-clone test-types test-wheel test-gpu test-lowest dist docs check clean

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

test-types: $(VENV)/.dev
	$(PIP) pyright
	$(BIN)/mypy --strict --config-file= --cache-dir=$(VENV)/mypy tests/types/script.py
	$(BIN)/pyright --pythonpath $(BIN)/python -p tests/types

# the time of the last commit stands in the archives
dist: $(VENV)/.venv
	$(PIP) build
	rm -rf dist build && export SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) && \
	$(BIN)/python -m build --outdir dist . && $(BIN)/python -m build --outdir build/again . && diff -r dist build/again

test-wheel:
	rm -rf $(VENV)-wheel && $(PYTHON) -m venv $(VENV)-wheel
	$(VENV)-wheel/$(notdir $(BIN))/python -m pip install -q -c constraints.txt torch
	$(VENV)-wheel/$(notdir $(BIN))/python -m pip install -q -c constraints.txt "$$(echo dist/*.whl)[test]"
	folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && git clone -q . "$$folder/clone" && cd "$$folder/clone" && \
	rm -r src tests/test_architecture.py tests/docs && CAFFE_TEST_ASSETS= CAFFE_TEST_REQUIRE= OMP_NUM_THREADS=1 \
	$(CURDIR)/$(VENV)-wheel/$(notdir $(BIN))/python -m pytest $(PYTEST_ARGS)

test-gpu: $(VENV)/.test
	CAFFE_TEST_DEVICE=gpu OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(PYTEST_ARGS) tests/layers tests/net tests/solvers \
	tests/pycaffe tests/data tests/predict tests/parallel tests/models tests/gpu tests/test_memory.py tests/test_deferred.py

test-lowest:
	rm -rf $(VENV)-lowest && $(PYTHON) -m venv $(VENV)-lowest
	$(VENV)-lowest/$(notdir $(BIN))/python -m pip install -q uv
	$(VENV)-lowest/$(notdir $(BIN))/python -m uv pip install -q --python $(VENV)-lowest --resolution lowest-direct -e '.[test]'
	OMP_NUM_THREADS=1 $(VENV)-lowest/$(notdir $(BIN))/python -m pytest $(PYTEST_ARGS)

docs: $(VENV)/.docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet

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

$(VENV)/.docs: $(VENV)/.torch pyproject.toml
	$(PIP) -e '.[docs]'
	@touch $@

clean:
	rm -rf $(VENV) $(VENV)-wheel $(VENV)-lowest demo site build dist .pytest_cache .mypy_cache .ruff_cache
