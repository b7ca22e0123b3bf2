# stagedml. `make demo` and `make test` are all that a first look needs; `make help` lists the rest.
#
#   PYTHON=python3.12   the Python to make .venv with; by default the first of 3.11, 3.12, 3.13 on the PATH
#   ARGS='-k fetch -x'  more arguments for pytest
#   JOBS=4              how many tests run at once; by default one a core
#
# All paths are relative and quoted, so that the checkout may lie anywhere, blanks in its name included.

PYTHON ?=
ARGS ?=
JOBS ?= auto
BIN = .venv/bin
PARITY = .venv-parity/bin

.DEFAULT_GOAL := help
.PHONY: help demo test venv lint format types layers parity reports torture bench bench-gpu lock clean distclean

help: ## lists the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12
	@echo 'image, shell  in a container: docs/docker.md'

demo: venv ## runs the main job end to end on a small corpus, to a report (DATA=folder: on real data)
	@$(MAKE) --no-print-directory -C run/demo PYTHON=../../$(BIN)/python

test: venv ## runs the tests
	$(BIN)/python -m pytest -q -n $(JOBS) $(ARGS)

venv: ## makes .venv, or brings it up to date with requirements/lock.txt
	@PYTHON='$(PYTHON)' sh requirements/venv.sh .venv requirements/lock.txt

lint: venv ## checks format, lint, strict types and layers
	$(BIN)/python -m ruff format --check
	$(BIN)/python -m ruff check
	@$(MAKE) --no-print-directory types layers

types: venv
	$(BIN)/python -m mypy

layers: venv
	@$(BIN)/python -c 'import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports())'

format: venv ## formats the code and repairs what can be repaired
	$(BIN)/python -m ruff check --fix --exit-zero --quiet
	$(BIN)/python -m ruff format

parity: ## compares with the reference implementations, in an environment of their own (.venv-parity, 4.5 GB)
	@PYTHON='$(PYTHON)' sh requirements/venv.sh .venv-parity requirements/lock-parity.txt
	$(PARITY)/python -m pytest -q -m parity $(ARGS)

reports: venv ## trains and renders the reports at their smallest, and runs the reference documents' code
	$(BIN)/python -m pytest -q -m report $(ARGS)

torture: venv ## injects faults for minutes: kills, full disks, races
	$(BIN)/python -m pytest -q -m torture $(ARGS)

bench: venv ## measures, and prints tables (NAME=engine: one of them)
	@for main in benchmarks/$(or $(NAME),*)/__main__.py; do \
	  $(BIN)/python -m "$$(dirname "$$main" | tr / .)" $(ARGS) || exit; \
	done

bench-gpu: ## measures training on an NVIDIA GPU (ARGS=--tiny: tries it on a CPU; PYTHON=: has JAX and PyTorch)
	@[ -n '$(PYTHON)' ] || [ -x .venv-gpu/bin/python ] || { python3 -m venv .venv-gpu && .venv-gpu/bin/pip install -qr requirements/gpu.txt; }
	PYTHONPATH=src:. $(or $(PYTHON),.venv-gpu/bin/python) -m benchmarks.training --gpu $(ARGS)

lock: venv ## resolves the pinned versions anew, for all supported Pythons
	@[ -x .venv-uv/bin/uv ] || { $(BIN)/python -m venv .venv-uv && .venv-uv/bin/pip install --quiet uv; }
	sh requirements/lock.sh .venv-uv/bin/uv

clean: ## removes caches and build products; stores, reports and environments stay
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache src/*.egg-info
	find src stages tests run benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean ## removes the environments too
	rm -rf .venv .venv-*

include docker.mk
