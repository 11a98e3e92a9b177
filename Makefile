# DynConv Lab. `make` alone lists the targets.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help demo test lint format report screenshots bench speed space

help: ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 22

$(VENV)/demo.stamp: requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "Python 3.10 or newer is needed, such as: make demo PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

$(VENV)/dev.stamp: requirements-dev.txt $(VENV)/demo.stamp
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@

demo: $(VENV)/demo.stamp ## serve the demo on http://127.0.0.1:7860
	$(BIN)/python app.py

test: $(VENV)/dev.stamp ## run the tests
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile

lint: $(VENV)/dev.stamp ## check style and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/dev.stamp ## rewrite the code in the project's format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

report: $(VENV)/dev.stamp ## README tables, figures and the app's summary from results/*.json
	$(BIN)/python -m train.report

screenshots: $(VENV)/dev.stamp ## the README's pictures of the app (needs Chromium)
	$(BIN)/python -m tests.screenshots

bench: $(VENV)/dev.stamp ## latency of the running app
	$(BIN)/python benchmarks/app_latency.py

speed: $(VENV)/dev.stamp ## what dynamic convolution costs over plain convolution
	$(BIN)/python -m benchmarks.dynamic_conv

space: $(VENV)/dev.stamp ## create or update a Hugging Face Space: make space SPACE=USER/NAME [FROM_HUB=USER]
	@test -n "$(SPACE)" || { echo "usage: make space SPACE=USER/NAME [FROM_HUB=USER]"; exit 2; }
	$(BIN)/python -m train.space --repo-id $(SPACE) $(if $(FROM_HUB),--from-hub $(FROM_HUB))
