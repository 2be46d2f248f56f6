"""Each backend alone on a machine, in fresh processes in which the others cannot be found."""

import json
import os
import statistics
import subprocess
import sys

import pytest
from tiny_config import TINY

pytestmark = pytest.mark.parity
BACKENDS = ("jax", "tensorflow", "torch")
HEAVY = ("PIL", "matplotlib", "pydantic", "sklearn", "tensorflow_datasets")

# Python without some packages: its finder no longer finds them, so `import` and `find_spec` say
# what they say where they are not installed. (`sys.modules[name] = None`, the usual blocker,
# breaks SciPy, which looks there for tensors of torch.)
WITHOUT = """
import sys
from importlib.machinery import PathFinder

class Without(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        absent = name.split(".")[0] in {absent!r}
        return None if absent else super().find_spec(name, path, target)

sys.meta_path = [Without if finder is PathFinder else finder for finder in sys.meta_path]
"""

FIT_SAMPLE_SAVE_LOAD = """
import sys
import keras_gen
import keras
import numpy as np
from keras_gen import models, networks

backend, folder = sys.argv[1:]
assert keras.backend.backend() == backend
x = np.random.default_rng(0).uniform(size=(24, 4, 4, 1)).astype("float32")

def model_of(family, optimizer, **options):
    sockets = family.sockets((4, 4, 1), **options)
    built = {name: networks.mlp(*shapes, units=(4,)) for name, shapes in sockets.items()}
    model = family(**built, **options)
    model.compile(optimizer)
    return model

players = {"generator": "adam", "discriminator": "sgd"}
for model in (
    model_of(models.VAE, "adam", latent_dim=2),
    model_of(models.GAN, players, latent_dim=2, ema=0.9),
):
    history = model.fit(x, batch_size=16, verbose=0).history
    assert set(history) == set(model.terms) and np.isfinite(list(history.values())).all()
    file = f"{folder}/{model.name}.keras"
    model.save(file)
    before, after = model.sample(3, seed=1), keras.saving.load_model(file).sample(3, seed=1)
    before, after = (keras.ops.convert_to_numpy(sample) for sample in (before, after))
    assert before.shape == (3, 4, 4, 1)
    np.testing.assert_array_equal(before, after)
others = {"jax", "tensorflow", "torch", "tensorflow_datasets"} - {backend}
assert not others & set(sys.modules), others & set(sys.modules)
print("done")
"""


def python(code, *arguments, absent=(), home, backend=None, warnings_are_errors=False):
    """Run code in a fresh process: `(exit code, output, errors)`."""
    environment = {name: os.environ[name] for name in os.environ if name != "KERAS_BACKEND"}
    environment |= {"KERAS_HOME": str(home), "TF_CPP_MIN_LOG_LEVEL": "3"}
    if backend:
        environment["KERAS_BACKEND"] = backend
    options = []
    if warnings_are_errors:
        numpy_protocol = "__array__ implementation doesn't accept a copy keyword"
        options = ["-W", "error", "-W", f"ignore:{numpy_protocol}:DeprecationWarning"]
    preamble = WITHOUT.format(absent=set(absent)) if absent else ""
    done = subprocess.run(
        [sys.executable, *options, "-c", preamble + code, *map(str, arguments)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    return done.returncode, done.stdout.strip(), done.stderr.strip()


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_backend_alone_fits_samples_saves_and_loads(backend, tmp_path):
    """With no backend named, and the keras.json that Keras writes at its first import."""
    (tmp_path / "keras.json").write_text('{"backend": "tensorflow"}')
    absent = {*BACKENDS, *HEAVY} - {backend}
    options = {"absent": absent, "home": tmp_path, "warnings_are_errors": True}
    status, output, errors = python(FIT_SAMPLE_SAVE_LOAD, backend, tmp_path, **options)
    assert (status, output) == (0, "done"), errors


CHOSEN = "import keras_gen, os; print(os.environ.get('KERAS_BACKEND'))"


@pytest.mark.parametrize(
    "absent, chosen",
    [((), "jax"), (("jax",), "tensorflow"), (("jax", "tensorflow"), "torch"), (BACKENDS, "None")],
)
def test_the_first_backend_installed_is_chosen_where_none_is_named(absent, chosen, tmp_path):
    assert python(CHOSEN, absent=absent, home=tmp_path) == (0, chosen, "")


def test_keras_json_chooses_among_the_backends_installed(tmp_path):
    (tmp_path / "keras.json").write_text('{"backend": "torch"}')
    # Left to Keras, which reads the file itself.
    assert python(CHOSEN, home=tmp_path) == (0, "None", "")
    assert python(CHOSEN, absent=["torch"], home=tmp_path) == (0, "jax", "")
    assert python(CHOSEN, home=tmp_path, backend="tensorflow") == (0, "tensorflow", "")


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_backend_that_is_not_installed_is_one_line_that_says_how_to_get_it(backend, tmp_path):
    installed = ", ".join(name for name in BACKENDS if name != backend)
    line = (
        f"ImportError: backend '{backend}' is not installed (found: {installed}): "
        f"pip install 'keras-gen[{backend}]'."
    )
    code = "import keras_gen; keras_gen.GenerativeModel"
    status, _, errors = python(code, absent=[backend], home=tmp_path, backend=backend)
    assert status == 1 and errors.splitlines()[-1] == line


def test_no_backend_at_all_is_one_line_that_names_the_extras(tmp_path):
    status, _, errors = python("from keras_gen import models", absent=BACKENDS, home=tmp_path)
    assert status == 1
    assert errors.splitlines()[-1].startswith("ImportError: keras-gen needs a backend: pip install")


@pytest.mark.slow
def test_importing_keras_gen_needs_nothing_heavy_and_300_ms_more_than_keras(tmp_path):
    code = (
        "import keras, time; start = time.perf_counter()\n"
        "import keras_gen; keras_gen.GenerativeModel, keras_gen.models, keras_gen.networks\n"
        "print(time.perf_counter() - start)"
    )
    seconds = []
    for _ in range(3):
        status, output, errors = python(code, absent=HEAVY, home=tmp_path, backend="jax")
        assert status == 0, errors
        seconds.append(float(output))
    assert statistics.median(seconds) < 0.3


def test_importing_keras_gen_alone_imports_none_of_it(tmp_path):
    heavy = ("keras", *HEAVY, *BACKENDS)
    code = f"import keras_gen, sys; print([name for name in {heavy} if name in sys.modules])"
    assert python(code, home=tmp_path) == (0, "[]", "")


@pytest.mark.slow
def test_where_keras_is_loaded_already_the_families_are_registered(tmp_path):
    code = (
        "import keras, keras_gen\n"
        "print(keras.saving.get_registered_object('keras_gen>VAE') is keras_gen.models.VAE)\n"
    )
    status, output, errors = python(code, home=tmp_path, backend="jax")
    assert (status, output) == (0, "True"), errors


@pytest.mark.slow
def test_the_console_script_chooses_the_backend_before_keras_is_imported(tmp_path):
    (tmp_path / "tiny.toml").write_text(TINY)
    code = "from keras_gen.cli import main; main()"
    arguments = ["train", tmp_path / "tiny.toml", "--backend", "torch", "--out", tmp_path / "run"]
    status, output, errors = python(code, *arguments, "--json", home=tmp_path, backend="jax")
    assert status == 0, errors
    assert json.loads(output)["backend"] == "torch"
    assert json.loads((tmp_path / "run" / "versions.json").read_text())["backend"] == "torch"
