"""README's Python is run as it stands, block after block, as one program."""

import re
from pathlib import Path

import pytest

README = Path(__file__).parents[1] / "README.md"


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_the_readme_runs(tmp_path, monkeypatch):
    """In this process: that a fresh one finds its backend is `test_alone.py`'s to hold."""
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert len(blocks) >= 3
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "__main__"}
    for number, block in enumerate(blocks, 1):
        exec(compile(block, f"README.md, block {number}", "exec"), names)
    assert (tmp_path / "gan.keras").exists()
