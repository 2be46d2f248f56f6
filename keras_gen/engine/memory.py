"""Keeps the memory that a step frees for the next step, where the C library gives it back."""

import ctypes
import functools
import os

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h


@functools.cache
def keep_freed_memory():
    """Let glibc's malloc keep freed memory, up to 2 GB, in this process: once, and for good.

    A step frees all it computed, and glibc hands large blocks back to the system; the next step
    gets them back a page fault at a time: 1.2 to 1.4 times a captured step on PyTorch. Where
    the C library is another one, or the user has set a `MALLOC_...` variable, nothing is done.
    """
    if any(name.startswith("MALLOC_") for name in os.environ):
        return
    library = ctypes.CDLL(None) if os.name == "posix" else None
    if hasattr(library, "gnu_get_libc_version"):
        library.mallopt(M_MMAP_THRESHOLD, 2**30)
        library.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
