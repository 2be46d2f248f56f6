"""Commands of keras-gen run in this process, and what a refused one has to look like."""

from typer.testing import CliRunner

from keras_gen import cli


def run(*arguments):
    """The result of a command: `exit_code`, `stdout`, `stderr`, `exception`."""
    return CliRunner().invoke(cli.app, [str(argument) for argument in arguments])


def ran(*arguments, code=0):
    """The result of a command that ends with `code`."""
    result = run(*arguments)
    assert result.exit_code == code, (result.output, result.exception)
    return result


def everything_in(folder):
    return {path: path.is_file() and path.read_bytes() for path in folder.rglob("*")}


def refused(*arguments, code=2, leaves=None):
    """Runs a command that must be refused in one line, and gives the line."""
    before = everything_in(leaves) if leaves else None
    result = ran(*arguments, code=code)
    assert isinstance(result.exception, SystemExit)  # no traceback
    lines = result.stderr.strip().splitlines()
    assert len([line for line in lines if line.startswith("keras-gen: ")]) == 1, result.stderr
    assert lines[-1].startswith("keras-gen: ")
    assert result.stdout == ""
    if leaves:
        assert everything_in(leaves) == before
    return lines[-1]


def tells(line, *words):
    missing = [word for word in words if word not in line]
    assert not missing, f"{missing} not in: {line}"
