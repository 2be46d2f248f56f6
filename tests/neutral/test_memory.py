"""Memory that a step freed and the next one needs, in processes of their own: malloc's is global.

The file is run by its path: through `keras_gen.engine` it would bring Keras and a backend.
"""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

import keras_gen

MEMORY = """
import ctypes, resource, runpy, sys
how, file = sys.argv[1:]
if how == "kept":
    runpy.run_path(file)["keep_freed_memory"]()
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
libc.memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
def step():
    blocks = [libc.malloc(2**26) for _ in range(2)]
    for block in blocks:
        libc.memset(block, 1, 2**26)
    for block in blocks:
        libc.free(block)
step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(how, **environment):
    plain = {name: v for name, v in os.environ.items() if not name.startswith("MALLOC_")}
    file = Path(keras_gen.__file__).parent / "engine" / "memory.py"
    result = subprocess.run(
        [sys.executable, "-c", MEMORY, how, file],
        env=plain | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return int(result.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library's malloc")
def test_memory_that_a_step_freed_is_there_for_the_next():
    given_back = page_faults("plain")
    assert given_back > 1000
    assert page_faults("kept") < given_back / 100
    assert page_faults("kept", MALLOC_ARENA_MAX="2") > 1000  # the user's choice stands
