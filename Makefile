# The two commands: `make serve` and `make test`. Everything is installed into $(VENV).
VENV ?= .venv
PYTHON ?= python3
PIP = $(VENV)/bin/pip --disable-pip-version-check --quiet install --constraint constraints.txt
# Where real MNIST and Fashion-MNIST lie, for the tests that measure the bundles on them.
export LATENTD_DATA ?= $(firstword $(wildcard data ../shared/data) data)

.DEFAULT_GOAL := help
.PHONY: help serve test test-fast check docs unit train import image-check image lock audit soak fuzz reliability scale bench clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

# TorchScript is an extra: torch is installed only where it will be used.
ifneq (,$(findstring torchscript,$(LATENTD_BACKEND)$(LATENTD_MODEL_BACKENDS)))
serve_install = $(VENV)/.torchscript
else
serve_install = $(VENV)/.serve
endif
serve: export LATENTD_HOST := $(or $(HOST),$(LATENTD_HOST))
serve: export LATENTD_PORT := $(or $(PORT),$(LATENTD_PORT))
serve: $(serve_install) ## serve the bundles in models_store/ (HOST, PORT, LATENTD_*)
	@echo "Serving on http://$(or $(LATENTD_HOST),127.0.0.1):$(or $(LATENTD_PORT),8000)" \
	    "(documentation: /docs; stop: Ctrl-C)"
	@exec $(VENV)/bin/latentd serve

test: check docs unit ## install what tests need; check style, types and imports; run every test

check: $(VENV)/.dev
	@echo "Checking style, types and import contracts"
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/mypy
	@$(VENV)/bin/lint-imports

docs: $(VENV)/.dev ## build the documentation as a site in build/site
	@echo "Building the documentation"
	@NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --quiet --strict

unit: $(VENV)/.dev
	@echo "Running the tests"
	@$(VENV)/bin/pytest --numprocesses auto --maxprocesses 4 --dist loadfile

test-fast: $(VENV)/.dev ## run the tests that need no training, browser or real command (under 90 s)
	@$(VENV)/bin/pytest -m "not browser and not slow and not training" \
	    --numprocesses auto --maxprocesses 4 --dist loadfile

train: $(VENV)/.dev ## train and publish a bundle: make train ARGS=my_images
	@$(VENV)/bin/latentd train $(ARGS)

import: $(VENV)/.dev ## serve your own networks: make import ARGS="NAME --encoder e.onnx --decoder d.onnx --data images"
	@$(VENV)/bin/latentd import $(ARGS)

image-check: $(VENV)/bin/python $(if $(SBOM),$(VENV)/.dev) ## run the image's build steps and its start, without Docker (SBOM=file lists its packages)
	@SBOM="$(SBOM)" VENV="$(abspath $(VENV))" sh deploy/check.sh

image: $(VENV)/bin/python ## build the image with buildah as root, and call every operation (ARGS=--write)
	@VENV="$(abspath $(VENV))" sh deploy/image.sh $(ARGS)

lock: ## write deploy/requirements.lock: the packages of the image with hashes
	@sh deploy/lock.sh

audit: $(VENV)/.dev ## look up known vulnerabilities of the pinned packages (DATABASE=all.zip of osv.dev)
	@VENV="$(VENV)" DATABASE="$(DATABASE)" sh deploy/audit.sh

soak: $(VENV)/.dev ## half of the capacity for ten minutes (SECONDS=600); writes docs/reliability/soak.json
	@$(VENV)/bin/python -m benchmarks.reliability.soak --seconds $(or $(SECONDS),600)

fuzz: $(VENV)/.fuzz ## coverage-guided fuzzing of all decoders (SECONDS=120 for each)
	@$(VENV)/bin/python -m benchmarks.reliability.fuzz --seconds $(or $(SECONDS),120)

reliability: $(VENV)/.dev ## write docs/reliability.md from the records in docs/reliability
	@$(VENV)/bin/python -m benchmarks.page_writer reliability

scale: $(VENV)/.dev ## write docs/scale.md from the records in docs/scale
	@$(VENV)/bin/python -m benchmarks.page_writer scale

bench: $(VENV)/.dev ## measure speed, also of other servers; writes docs/performance.md (ARGS="classify --rounds 5")
	@$(VENV)/bin/python -m benchmarks.bench $(ARGS)

$(VENV)/bin/python:
	@command -v $(PYTHON) >/dev/null || { echo "latentd needs Python 3.11 or later: no '$(PYTHON)' found (set PYTHON=...)" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "latentd needs Python 3.11 or later; '$(PYTHON)' is $$($(PYTHON) -V) (set PYTHON=...)" >&2; exit 1; }
	@echo "Making a virtual environment in $(VENV)"
	@$(PYTHON) -m venv $(VENV) || { echo "'$(PYTHON) -m venv' failed; on Debian: apt install python3-venv" >&2; rm -rf $(VENV); exit 1; }

$(VENV)/.serve: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "Installing what serving needs"
	@$(PIP) --editable .
	@touch $@

$(VENV)/.torchscript: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "Installing what serving needs, with torch for the TorchScript backend"
	@$(PIP) --editable '.[torchscript]'
	@touch $@ $(VENV)/.serve

$(VENV)/.dev: pyproject.toml client/pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "Installing what training and tests need"
	@$(PIP) --editable '.[dev]' --editable ./client
	@touch $@ $(VENV)/.serve $(VENV)/.torchscript

$(VENV)/.fuzz: $(VENV)/.dev
	@echo "Installing what fuzzing needs"
	@$(PIP) --editable '.[dev,fuzz]'
	@touch $@

clean: ## remove what was installed and built
	rm -rf $(VENV) build *.egg-info client/build client/*.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
