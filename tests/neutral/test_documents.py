"""What README promises that needs no Keras to be checked."""

import re
from pathlib import Path

README = Path(__file__).parents[2] / "README.md"


def test_the_readme_shows_both_commands():
    assert {"make demo", "make test"} <= set(re.findall(r"make \w+", README.read_text()))
