"""Where a PyTorch contestant's step spends its time, operation by operation."""

BACKENDS = ("torch",)  # the others' profilers write for a viewer, not for a table


def prepare():
    """Gives the kernels of a compiled step names of their own; before anything is compiled."""
    from torch._inductor import config

    config.cpp.enable_kernel_profile = True
    config.cpp.descriptive_names = "inductor_node"


def operations(contestant, calls, steps):
    """Time of each operation, without what it calls.

    Args:
        contestant: warmed up.
        calls: iterator of what its `call` takes, one step each.
        steps: how many are profiled.

    Returns:
        List of `[name, ms a step, calls a step]`, slowest first; what takes less than a
        thousandth of the step is left out.
    """
    import torch
    from torch.profiler import ProfilerActivity, profile

    on_device = torch.cuda.is_available()
    activities = [ProfilerActivity.CPU, *[ProfilerActivity.CUDA] * on_device]
    with profile(activities=activities) as profiled:
        for _ in range(steps):
            contestant.call(next(calls))
        contestant.wait()
    attribute = "self_device_time_total" if on_device else "self_cpu_time_total"
    rows = [
        [event.key, getattr(event, attribute) / 1e3 / steps, event.count / steps]
        for event in profiled.key_averages()
    ]
    rows.sort(key=lambda row: -row[1])
    least = sum(row[1] for row in rows) / 1000
    return [row for row in rows if row[1] >= least]


def table(row, longest=60):
    """A profiled row as a Markdown table.

    Args:
        row: of `worker`, with "operations".
        longest: characters of a name that are shown.
    """
    total = sum(ms for _, ms, _ in row["operations"])
    lines = [
        f"{row['case']}, {row['backend']} {row['contestant']} {row['mode']}, "
        f"{row['threads']} threads: {row['step_ms']:.3g} ms a step",
        "",
        "| operation | ms a step | share | calls a step |",
        "| --- | ---: | ---: | ---: |",
    ]
    for name, ms, count in row["operations"]:
        name = name if len(name) <= longest else name[: longest - 3] + "..."
        lines.append(f"| `{name}` | {ms:.3g} | {100 * ms / total:.1f} % | {count:g} |")
    return "\n".join(lines)
