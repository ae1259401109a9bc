# `make demo` and `make test` do all the set-up they need, and skip it the second time.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALL = $(BIN)/python .ci/install.py
# Three workers, together of up to 15 GB; tests/conftest.py says which tests stay together and in which order they run.
# pytest-xdist may wait forever after it has replaced a worker (its issues 1327 and 1378): the run ends with the first
# one that is lost. One is ended if a test takes a quarter of an hour, and shows where it waits.
PYTEST := -m pytest -n 3 --dist loadgroup --no-loadscope-reorder --max-worker-restart 0 \
	-o faulthandler_timeout=900 -o faulthandler_exit_on_timeout=true
# The newest Python that is supported: on the path, or one of pyenv's.
NEWEST ?= $(shell python3.13 -c 'import sys; print(sys.executable)' 2>/dev/null || ls -d $(HOME)/.pyenv/versions/3.13*/bin/python3.13 2>/dev/null | tail -n 1)

# Workers share the cores, so the libraries of linear algebra start no threads of their own, which would wait for each other.
check test test-floors test-newest test-backends: export OMP_NUM_THREADS := 1

.PHONY: demo check test lint types examples docs fuzz tables pictures notebook wheel floors newest test-floors test-newest test-backends test-beam test-track clients test-clients clean

demo: $(VENV)/installed  ## Train, evaluate and export LeNet-5 on handwritten digits
	$(BIN)/cnnzoo demo

check: lint types  ## For daily work: lint, types and the fast tests
	$(BIN)/python $(PYTEST) -m "not slow"

test: $(VENV)/installed-dev  ## Every test, the slow ones too
	$(BIN)/python $(PYTEST)

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/installed-dev
	$(BIN)/mypy

fuzz: $(VENV)/installed-dev  ## Mutated checkpoints, states, cards, exports, images, packed data and shards for two minutes; MINUTES=30 SEED=7 for more
	PYTHONPATH=tests $(BIN)/python -m fuzz --minutes $(or $(MINUTES),2) --seed $(or $(SEED),0)

examples: $(VENV)/installed-dev
	for script in examples/*.py; do echo "== $$script"; $(BIN)/python $$script || exit 1; done

docs: $(VENV)/installed-dev  ## Build the documentation site, with warnings as errors
	@echo "Building docs/_build (about 20 seconds)"
	@rm -f docs/_build/complete
	$(BIN)/python -m sphinx -W --keep-going -b html docs docs/_build
	@touch docs/_build/complete  # tests/docs/test_site.py looks at these pages if nothing has changed since
	@echo "Open $(CURDIR)/docs/_build/index.html"

tables: $(VENV)/installed-dev  ## Update the tables of the README and of the docs from the registry and the recipes
	$(BIN)/python docs/make_tables.py

pictures: $(VENV)/installed-dev  ## Draw docs/images again, with small trainings: some minutes
	$(BIN)/python docs/make_pictures.py

notebook: $(VENV)/installed-dev  ## Run examples/first_hour.ipynb, and store what its cells show
	$(BIN)/python docs/run_notebook.py

wheel: $(VENV)/installed-dev  ## The wheel alone, in an environment of its own, runs the demo
	rm -rf build dist .venv-wheel
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .
	$(BIN)/python -m venv .venv-wheel
	.venv-wheel/bin/python .ci/install.py dist/cnnzoo-*.whl
	cd dist && ../.venv-wheel/bin/cnnzoo demo && ../.venv-wheel/bin/python -c "import cnnzoo; cnnzoo.get('lenet5', weights='mnist')"
	rm -rf build dist .venv-wheel

floors:
	$(MAKE) VENV=.venv-floors PIP_CONSTRAINT=$(CURDIR)/.venv-floors.txt .venv-floors.txt .venv-floors/installed-dev

newest:
	@test -n "$(NEWEST)" || { echo "Python 3.13 is not installed; name it with NEWEST=..."; exit 1; }
	$(MAKE) VENV=.venv-newest PYTHON=$(NEWEST) .venv-newest/installed-dev

test-floors: floors  ## The fast tests on the oldest versions that pyproject.toml allows
	.venv-floors/bin/python $(PYTEST) -m "not slow" -W default  # old releases warn about their own age

test-newest: newest  ## The fast tests on the newest Python
	.venv-newest/bin/python $(PYTEST) -m "not slow"

test-backends:  ## Golden logits, and what every row promises, on JAX and torch: over an hour, for nights
	$(MAKE) VENV=.venv-backends .venv-backends/installed-dev
	.venv-backends/bin/python .ci/install.py jax torch
	for backend in jax torch; do KERAS_BACKEND=$$backend .venv-backends/bin/python $(PYTEST) -o tmp_path_retention_policy=none \
		tests/test_golden.py tests/test_build.py tests/surgery/test_features.py tests/checkpoints/test_translate.py || exit 1; done

test-beam:  ## The transform for Apache Beam, which needs an older protobuf than the other extras
	$(MAKE) VENV=.venv-beam .venv-beam/installed
	.venv-beam/bin/python .ci/install.py -e '.[beam]' pytest
	.venv-beam/bin/python -m pytest tests/inference/test_beam.py -W default

test-track:  ## Trainings tracked with the real MLflow and Weights & Biases
	$(MAKE) VENV=.venv-track .venv-track/installed
	.venv-track/bin/python .ci/install.py -e '.[tensorboard]' mlflow wandb pytest
	.venv-track/bin/python -m pytest tests/training/test_installed_trackers.py tests/training/test_tracking.py -W default

clients: .venv-clients/installed

test-clients: clients  ## The server, asked by the real clients of Triton and of Hugging Face
	.venv-clients/bin/python -m pytest tests/serve/test_real_clients.py -W default

# The clients alone, which see the packages of $(VENV) as well
.venv-clients/installed: $(VENV)/installed-dev
	$(PYTHON) -m venv .venv-clients
	@$(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' \
		> "$$(.venv-clients/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/packages.pth"
	@.venv-clients/bin/python .ci/install.py 'tritonclient[http]>=2.60' 'huggingface_hub>=1'
	@touch $@

.venv-floors.txt: pyproject.toml
	$(PYTHON) -c 'import tomllib; p = tomllib.load(open("pyproject.toml", "rb"))["project"]; print("\n".join(d.replace(">=", "==") for d in p["dependencies"] + p["optional-dependencies"]["export"] + p["optional-dependencies"]["serve"]))' > $@

$(VENV)/installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("cnnzoo needs Python 3.11 or newer, this is " + sys.version.split()[0] + "; name another with PYTHON=..." if sys.version_info < (3, 11) else 0)'
	@echo "Setting up $(VENV) (once; about two minutes, 55 packages, 2.4 GB on disk)"
	@echo "Creating the environment (up to ten seconds), then its packages"
	$(PYTHON) -m venv $(VENV)
	@$(INSTALL) -e .
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed
	@echo "Adding what development needs to $(VENV) (once; about two minutes, 75 more packages, 1.2 GB on disk)"
	@$(INSTALL) -e '.[dev]'
	@touch $@

clean:
	rm -rf .venv .venv-* build dist docs/_build *.egg-info .pytest_cache .mypy_cache .ruff_cache
