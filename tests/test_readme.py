"""README's Python is run as it stands, block after block, in one process a backend."""

import os
import re
import subprocess
import sys
from pathlib import Path

import keras
import pytest

README = Path(__file__).parents[1] / "README.md"


@pytest.mark.slow
def test_the_readme_runs(tmp_path):
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert len(blocks) >= 3
    script = tmp_path / "readme.py"
    script.write_text("\n\n".join(blocks))
    environment = {**os.environ, "KERAS_BACKEND": keras.backend.backend()}
    if keras.backend.backend() == "torch":  # the captured graph as it is: no 30 s compile
        script.write_text(
            "import keras_gen.engine.torch as t\nt.compile_graph = lambda g, _: g\n"
            + script.read_text()
        )
    done = subprocess.run(
        [sys.executable, script], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert (tmp_path / "gan.keras").exists()


def test_the_readme_shows_both_commands():
    assert {"make demo", "make test"} <= set(re.findall(r"make \w+", README.read_text()))
