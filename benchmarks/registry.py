"""Who races: the contestants of each backend, their files and their modes.

A plain table, so that the process that starts the races imports no backend.
"""

from dataclasses import dataclass

BACKENDS = ("jax", "tensorflow", "torch")

# (backend, contestant): (module of this package, class, modes)
CONTESTANTS = {
    ("jax", "keras_gen"): ("keras_gen_model", "KerasGen", ("jit",)),
    ("jax", "keras"): ("stock_keras.jax", "StockKeras", ("jit",)),
    ("jax", "native"): ("native.jax", "Native", ("jit", "scan")),
    ("tensorflow", "keras_gen"): ("keras_gen_model", "KerasGen", ("function", "xla")),
    ("tensorflow", "keras"): ("stock_keras.tensorflow", "StockKeras", ("function", "xla")),
    ("tensorflow", "native"): ("native.tensorflow", "Native", ("function", "xla")),
    ("torch", "keras_gen"): ("keras_gen_model", "KerasGen", ("eager", "jit")),
    ("torch", "keras"): ("stock_keras.torch", "StockKeras", ("eager", "jit")),
    ("torch", "native"): (
        "native.torch",
        "Native",
        ("eager", "compiled_modules", "compiled_step"),
    ),
    # The same with what keras-gen sets for itself: memory that is kept, options of inductor.
    ("torch", "tuned"): (
        "native.torch",
        "Tuned",
        ("eager", "compiled_modules", "compiled_step"),
    ),
}
RIVALS = ("native", "tuned", "keras")
# Of a contestant's processes: glibc reads it when they start. As `keras_gen/engine/memory.py`.
ENVIRONMENT = {
    ("torch", "tuned"): {
        "MALLOC_MMAP_THRESHOLD_": str(2**30),
        "MALLOC_TRIM_THRESHOLD_": str(2**31 - 1),
    }
}
# Modes that are another way to take several steps a call, and nothing else.
OF_SEVERAL_STEPS = ("scan",)


@dataclass(frozen=True)
class Entry:
    """One contestant of one race.

    Args:
        backend: "jax", "tensorflow" or "torch".
        contestant: "keras_gen", "native", "tuned" or "keras".
        mode: one of the contestant's modes.
        steps_per_call: train steps a call takes.
    """

    backend: str
    contestant: str
    mode: str
    steps_per_call: int = 1

    def __str__(self):
        return f"{self.backend} {self.contestant} {self.mode}"


def entries(backends=BACKENDS, rivals=RIVALS, steps_per_call=1):
    """All contestants of a race.

    Args:
        backends: names of backends.
        rivals: whom keras-gen is held against, of `RIVALS`.
        steps_per_call: train steps a call takes.

    Returns:
        A list of `Entry`.
    """
    return [
        Entry(backend, contestant, mode, steps_per_call)
        for (backend, contestant), (_, _, modes) in CONTESTANTS.items()
        for mode in modes
        if backend in backends
        and contestant in ("keras_gen", *rivals)
        and (steps_per_call > 1 or mode not in OF_SEVERAL_STEPS)
    ]
