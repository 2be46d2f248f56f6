# Each command does all its own set-up on a fresh machine: Python >= 3.11, make, nothing else.
PYTHON ?= python3
PIP_INSTALL = -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
BACKENDS = jax tensorflow torch
# One thread a test process: two processes share the two cores of a small machine.
TEST_ENV = OMP_NUM_THREADS=1 TF_CPP_MIN_LOG_LEVEL=3 TF_NUM_INTRAOP_THREADS=1 TF_NUM_INTEROP_THREADS=1
PYTEST = -m pytest -n 2 --dist worksteal -q

.PHONY: demo test lint clean

demo: .venv/installed
	.venv/bin/keras-gen train vae_digits --backend jax --out runs/vae_digits --overwrite

test: .venv-test/installed lint
	@set -e; for backend in $(BACKENDS); do \
	  echo "== the suite on $$backend"; \
	  KERAS_BACKEND=$$backend $(TEST_ENV) .venv-test/bin/python $(PYTEST) -m "not parity"; \
	done
	@echo "== parity and resumption between the backends"
	KERAS_BACKEND=jax $(TEST_ENV) .venv-test/bin/python -m pytest -q -m parity

lint: .venv-test/installed
	.venv-test/bin/ruff check .
	.venv-test/bin/ruff format --check .

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	.venv/bin/python $(PIP_INSTALL) --editable ".[jax]"
	touch $@

.venv-test/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv-test
	.venv-test/bin/python $(PIP_INSTALL) --editable ".[dev]"
	touch $@

clean:
	rm -rf .venv .venv-test runs
