#!/usr/bin/env bash
# scipy 1.17.1 (numpy 2.4.6), no torch installed.
#
# Python's documented way to make a module absent for a test of an optional backend is
# `sys.modules["torch"] = None`: `import torch` then raises ModuleNotFoundError, and libraries that
# guard that import go on without it.
# Expected: SciPy, which does not need PyTorch, imports as if it were not installed.
# Seen: `import scipy.stats` raises AttributeError: 'NoneType' object has no attribute 'Tensor'. SciPy
# looks for the name in sys.modules, finds it, and takes the None for the module. `import scipy` and
# `scipy.ndimage` still work; so does scipy.stats where the module is blocked by a finder instead.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/python" -m pip install --quiet --disable-pip-version-check scipy==1.17.1 numpy==2.4.6 2>/dev/null
"$place/venv/bin/python" - <<'PY'
import subprocess
import sys

BY_NONE = "import sys; sys.modules['torch'] = None\n"
BY_FINDER = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name == 'torch':
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Blocked())
"""

def said(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    return (done.stderr.strip().splitlines() or [""])[-1]

assert said(BY_NONE + "import scipy.ndimage") == ""
assert said(BY_FINDER + "import scipy.stats") == ""
error = said(BY_NONE + "import scipy.stats")
print("import scipy.stats:", error)
assert error == "AttributeError: 'NoneType' object has no attribute 'Tensor'", error
PY
