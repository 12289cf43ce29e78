# `make demo` and `make test` do all their own set-up in .venv; nothing else needs to be installed but Python >= 3.11.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.PHONY: demo test test-all test-isa fuzz lint types check browser clean

demo: $(READY)          ## train, evaluate and predict on generated images, offline; opens nothing, prints where the report is
	$(BIN)/samtune demo --out demo-run

test: $(READY)          ## the test suite but for what is marked slow, two workers of one thread each
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow"

test-all: $(READY)      ## the whole test suite
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

test-isa: $(READY)      ## nightly: the whole suite with fewer vector instructions and with 1, 2 and 3 threads; logs in isa-check/
	$(BIN)/python -m tests.isa -n 2 --dist loadfile

fuzz: $(READY)          ## an hour of damaged files and drawn settings with new seeds; `make test` has 2,000 cases, always the same
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.fuzz --minutes 60

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/mypy

check: lint types test  ## what CI runs

browser: $(READY)       ## look at the pages in an installed Chromium: pictures in browser-check/, installs nothing
	$(BIN)/python -m tests.browser.check --out browser-check

# Not compiled at once: of the many files of torch and transformers few are ever imported, and those compile then.
# torch first and alone, at its pinned version: any other request would fetch a build with gigabytes of CUDA packages.
$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt --editable '.[dev]'
	touch $(READY)

clean:
	rm -rf .venv build dist demo-run browser-check isa-check .mypy_cache .ruff_cache .pytest_cache
