"""Rows as a run writes them, for tests: few numbers given, the rest filled in."""


def row(backend, contestant, mode, step_ms, round_=0, case="vae_conv", **more):
    """One row of JSON lines.

    Args:
        backend: name.
        contestant: name.
        mode: name.
        step_ms: ms a step.
        round_: number of the round.
        case: name.
        **more: in place of what is filled in.

    Returns:
        A dict.
    """
    return {
        "case": case,
        "scaling": None,
        "backend": backend,
        "contestant": contestant,
        "mode": mode,
        "steps_per_call": 1,
        "batch": 128,
        "side": None,
        "width": None,
        "round": round_,
        "device": "cpu",
        "device_name": "cpu",
        "threads": 2,
        "precision": "float32",
        "shape": [28, 28, 1],
        "processor": "a processor",
        "cores": 2,
        "memory_gb": 8.0,
        "platform": "a system",
        "date": "2026-01-01T00:00:00+00:00",
        "commit": "abc",
        "versions": {"python": "3.11"},
        "default": contestant == "keras_gen",
        "built_mb": 400.0,
        "peak_mb": 500.0,
        "start_seconds": 9.0 if round_ == 0 else 1.0,
        "loss": 200.0,
        "loss_term": "loss",
        "loss_steps": 50,
        "step_ms": step_ms,
        **more,
    }


def rounds(backend, contestant, mode, times, **more):
    """Rows of one contestant: one for each time, in ms a step, round by round."""
    return [row(backend, contestant, mode, ms, i, **more) for i, ms in enumerate(times)]
