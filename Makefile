# Each command does all its own set-up on a fresh machine: Python >= 3.11, make, nothing else.
PYTHON ?= python3
PIP_INSTALL = -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
BACKENDS = jax tensorflow torch
# One thread a test process: two processes share the two cores of a small machine.
TEST_ENV = OMP_NUM_THREADS=1 TF_CPP_MIN_LOG_LEVEL=3 TF_NUM_INTRAOP_THREADS=1 TF_NUM_INTEROP_THREADS=1
PYTEST = -m pytest -n 2 --dist worksteal -q

# pytest for tests of one backend, or of none.
ON = KERAS_BACKEND=$(1) $(TEST_ENV) .venv-test/bin/python
COSTS = runs/costs.jsonl

.PHONY: demo test check test-all costs lint clean

demo: .venv/installed
	.venv/bin/keras-gen train vae_digits --backend jax --out runs/vae_digits --overwrite

# The gate.
test: .venv-test/installed lint
	@echo "== what touches no backend"
	$(TEST_ENV) .venv-test/bin/python $(PYTEST) $(PYTEST_OPTIONS) tests/neutral
	@set -e; for backend in $(BACKENDS); do \
	  echo "== the suite on $$backend"; \
	  of_one=; [ $$backend = torch ] || of_one=" and not one_backend"; \
	  $(call ON,$$backend) $(PYTEST) $(PYTEST_OPTIONS) --ignore=tests/neutral \
	    -m "not parity$$of_one" tests; \
	done
	@echo "== parity and resumption between the backends"
	$(call ON,jax) -m pytest -n 2 --dist loadfile -q -m parity --ignore=tests/neutral tests

# While you work: what touches no backend, and a small case of each wing on PyTorch.
check: .venv-test/installed lint
	$(TEST_ENV) .venv-test/bin/python $(PYTEST) tests/neutral
	$(call ON,torch) $(PYTEST) tests/conformance.py -k "vqvae_loss or cgan_hinge_two_steps"

# By hand, before a release: compilers as users have them, kills, the ends of the version ranges.
test-all: test
	@set -e; for backend in jax tensorflow; do \
	  $(call ON,$$backend) $(PYTEST) --ignore=tests/neutral -m one_backend tests; \
	done
	@set -e; for backend in $(BACKENDS); do \
	  KERAS_GEN_TEST_ALL=1 $(call ON,$$backend) $(PYTEST) tests/benchmarks tests/test_verify.py; \
	done
	KERAS_GEN_TEST_ALL=1 $(call ON,jax) $(PYTEST) tests/conformance.py -k test_mixed_precision
	KERAS_GEN_TEST_COMPILERS=users $(call ON,torch) $(PYTEST) tests/conformance.py
	KERAS_GEN_TEST_COMPILERS=users $(call ON,jax) -m pytest -q -m parity tests/test_parity.py
	@set -e; for backend in $(BACKENDS); do \
	  .venv-test/bin/python tests/kill_and_resume.py --backend $$backend --kills 20; \
	done
	$(MAKE) test-floors test-newest

# Where the gate's time goes, by backend, file and test.
costs: .venv-test/installed
	@mkdir -p runs; rm -f $(COSTS)
	PYTHONPATH=tests $(MAKE) test PYTEST_OPTIONS="-p costs --costs $(COSTS)"
	.venv-test/bin/python tests/costs.py $(COSTS)

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
	rm -rf .venv .venv-test .venv-floors-* .venv-newest-* runs

# -- By hand: the ends of the version ranges, and a GPU -------------------------------------------

# The engine, random numbers, users' models; of the suite a family a wing; and a whole run.
RANGE_TESTS = tests/engine tests/test_random.py tests/test_user_model.py
RANGE_CASES = tests/conformance.py -k "cvae or wgan_gp"
RANGE_INSTALL = -m pip install --quiet --disable-pip-version-check pytest pytest-xdist

.PHONY: test-floors test-newest gpu-check

# One backend an environment: the oldest TensorFlow and the oldest JAX cannot share one.
test-floors test-newest: test-%:
	@set -e; for backend in $(BACKENDS); do \
	  $(MAKE) --no-print-directory .venv-$*-$$backend/installed; \
	  for tests in '$(RANGE_TESTS)' '$(RANGE_CASES)'; do \
	    echo "== $$backend at the end of its range ($*.txt): $$tests"; \
	    KERAS_BACKEND=$$backend $(TEST_ENV) sh -c \
	      ".venv-$*-$$backend/bin/python $(PYTEST) $$tests"; \
	  done; \
	  .venv-$*-$$backend/bin/keras-gen train vae_digits --backend $$backend \
	    --set train.epochs=1 --out .venv-$*-$$backend/run --overwrite; \
	done

.venv-floors-%/installed: pyproject.toml floors.txt
	$(PYTHON) -m venv .venv-floors-$*
	.venv-floors-$*/bin/python $(RANGE_INSTALL) --constraint floors.txt --editable ".[$*]"
	touch $@

.venv-newest-%/installed: pyproject.toml newest.txt
	$(PYTHON) -m venv .venv-newest-$*
	.venv-newest-$*/bin/python $(RANGE_INSTALL) --constraint newest.txt --editable ".[$*]"
	touch $@

# On a machine with a GPU, PyTorch and JAX: what else that needs, and how to bring it, it says.
gpu-check:
	$(PYTHON) tests/gpu_check.py $(GPU_CHECK)
