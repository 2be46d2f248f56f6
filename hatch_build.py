"""Ships `benchmarks/` as `keras_gen/benchmarks`, the results of its runs left out."""

from pathlib import Path

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SHIPPED = (".py", ".toml")


class Benchmarks(BuildHookInterface):
    """`force-include` takes whole folders, and results are megabytes."""

    def initialize(self, version, build_data):
        """Adds the files to a wheel; a checkout that is installed editable has them already."""
        root = Path(self.root)
        if version == "editable":
            return
        for path in (root / "benchmarks").rglob("*"):
            if path.suffix in SHIPPED:
                place = Path("keras_gen") / path.relative_to(root)
                build_data["force_include"][str(path)] = str(place)
