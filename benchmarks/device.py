"""One device, one number of threads and one precision for every contestant."""

import importlib
import sys
from importlib.machinery import PathFinder

from . import registry

DEVICES = ("cpu", "gpu")
PRECISION = "float32, no TF32"


def environment(backend, device, threads):
    """What must be set before a backend is imported.

    Args:
        backend: "jax", "tensorflow" or "torch".
        device: "cpu" or "gpu".
        threads: how many a step may use.

    Returns:
        A dict of environment variables.
    """
    count = str(threads)
    variables = {
        "KERAS_BACKEND": backend,
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "OMP_NUM_THREADS": count,
        "MKL_NUM_THREADS": count,
        "OPENBLAS_NUM_THREADS": count,
        "TF_NUM_INTRAOP_THREADS": count,
        "TF_NUM_INTEROP_THREADS": count,
        "NPROC": count,  # where XLA's client on a CPU reads the size of its pool
        # Natives read it too: a user on an NVIDIA machine leaves TF32 to the library.
        "NVIDIA_TF32_OVERRIDE": "0",
    }
    if device == "cpu":
        variables |= {"JAX_PLATFORMS": "cpu", "CUDA_VISIBLE_DEVICES": "-1"}
    else:
        # The whole memory taken at the start would be every JAX contestant's peak.
        variables |= {"XLA_PYTHON_CLIENT_PREALLOCATE": "false", "TF_FORCE_GPU_ALLOW_GROWTH": "true"}
    return variables


def hide_other_backends(backend):
    """Lets nothing in this process find the other backends, as where they are not installed.

    Keras imports JAX on every backend where it can: some 100 MB that a user of one backend, who
    installs one, does not pay.

    Args:
        backend: the one to leave.
    """
    absent = set(registry.BACKENDS) - {backend}

    class Without(PathFinder):
        @classmethod
        def find_spec(cls, name, path=None, target=None):
            hidden = name.split(".")[0] in absent
            return None if hidden else super().find_spec(name, path, target)

    sys.meta_path = [Without if finder is PathFinder else finder for finder in sys.meta_path]


def settle(backend, device, threads):
    """Sets precision and threads of an imported backend, and checks the device.

    Args:
        backend: "jax", "tensorflow" or "torch".
        device: "cpu" or "gpu".
        threads: how many a step may use.

    Returns:
        Name of the device.

    Raises:
        RuntimeError: the backend sees no such device.
    """
    module = importlib.import_module(backend)
    if backend == "jax":
        module.config.update("jax_default_matmul_precision", "highest")
        found = module.devices()[0]
        kind, name = found.platform, found.device_kind
        kind = "gpu" if kind in ("gpu", "cuda", "rocm") else kind
    elif backend == "tensorflow":
        module.config.experimental.enable_tensor_float_32_execution(False)
        module.config.threading.set_intra_op_parallelism_threads(threads)
        module.config.threading.set_inter_op_parallelism_threads(threads)
        gpus = module.config.list_physical_devices("GPU")
        kind, name = ("gpu", gpus[0].name) if gpus else ("cpu", "cpu")
    else:
        module.set_float32_matmul_precision("highest")
        module.backends.cudnn.allow_tf32 = False
        module.set_num_threads(threads)
        there = module.cuda.is_available()
        kind, name = ("gpu", module.cuda.get_device_name()) if there else ("cpu", "cpu")
    if kind != device:
        raise RuntimeError(f"{backend} sees no {device} here: its device is {name}")
    return name


def peak_mb(backend):
    """The most memory that a GPU held for this process.

    Args:
        backend: "jax", "tensorflow" or "torch".

    Returns:
        MB (10^6 bytes).
    """
    module = importlib.import_module(backend)
    if backend == "jax":
        peak = module.devices()[0].memory_stats()["peak_bytes_in_use"]
    elif backend == "tensorflow":
        peak = module.config.experimental.get_memory_info("GPU:0")["peak"]
    else:
        peak = module.cuda.max_memory_allocated()
    return peak / 1e6
