"""What the numbers were measured on: processor, memory, system, commit; and a process's memory."""

import datetime
import os
import platform
import re
import resource
import subprocess
from pathlib import Path

STATUS, CLEAR_PEAK = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def describe():
    """The machine, the day and the commit, as plain values.

    Returns:
        A dict; a value that cannot be found out is None.
    """
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gb": _memory_gb(),
        "platform": platform.platform(),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "allocator": _allocator(),
    }


def name():
    """A short name of the machine, for a file: `"amd-epyc-2-cores"`."""
    words = re.findall(r"[a-z0-9]+", _processor().lower())
    return f"{'-'.join(words)}-{os.cpu_count()}-cores"


def memory_mb():
    """Memory this process holds now, and the most it held since `forget_peak`.

    Returns:
        `(resident, peak)` in MB (10^6 bytes), other processes that it started left out.
    """
    try:
        status = STATUS.read_text()
    except OSError:  # not Linux
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        peak *= 1 if platform.system() == "Darwin" else 1024
        return None, peak / 1e6
    kib = {key: int(re.search(rf"{key}:\s+(\d+)", status).group(1)) for key in ("VmRSS", "VmHWM")}
    return kib["VmRSS"] * 1.024e-3, kib["VmHWM"] * 1.024e-3


def forget_peak():
    """Starts the peak of `memory_mb` anew.

    Returns:
        Whether the system could do it.
    """
    try:
        CLEAR_PEAK.write_text("5")
    except OSError:
        return False
    return True


def load():
    """How many processes wanted to run in the last minute; None where nobody counts."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def _allocator():
    """What the environment says of the C library's malloc; empty where it says nothing."""
    told = {name: os.environ[name] for name in os.environ if name.startswith("MALLOC_")}
    told |= {n: os.environ[n] for n in ("GLIBC_TUNABLES", "LD_PRELOAD") if n in os.environ}
    return " ".join(f"{name}={value}" for name, value in sorted(told.items()))


def _processor():
    try:
        info = Path("/proc/cpuinfo").read_text()
    except OSError:
        info = ""
    found = re.search(r"model name\s*:\s*(.+)", info)
    return found.group(1).strip() if found else platform.processor() or platform.machine()


def _memory_gb():
    try:
        pages, size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None
    return round(pages * size / 1e9, 1)


def _commit():
    def git(*arguments):
        result = subprocess.run(
            ["git", *arguments],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
        )
        return result.stdout.strip()

    try:
        changed = git("status", "--porcelain", "--untracked-files=no", "--", ":/*.py")
        return git("rev-parse", "HEAD")[:12] + ("+changes" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return None  # installed, not checked out
