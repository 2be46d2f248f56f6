"""What families and networks take, read from their source: a config is checked before Keras loads.

The constructors are the one place that declares options; this file reads their signatures as
text, so that nothing is written twice and a misspelt key is told in a tenth of a second.
"""

import ast
import functools
import typing
from dataclasses import dataclass
from pathlib import Path

from pydantic import FiniteFloat, PositiveInt

PACKAGE = Path(__file__).parent.parent
REQUIRED = object()  # the default of an option that has none

# Every whole number of a model is a size or a count, so at least 1.
TYPES = {
    "int": PositiveInt,
    "float": FiniteFloat,
    "str": str,
    "bool": bool,
    "dict": dict,
    "Sequence": list,
    "Literal": typing.Literal,
}
SET_ELSEWHERE = ("name", "seed", "dtype")  # by the family's name and the section [train]


@dataclass(frozen=True)
class Signature:
    """What a constructor or a builder takes.

    Args:
        sockets: names before the `*`: a family's networks.
        options: name -> (type, default or `REQUIRED`), after the `*`.
        players: names whose optimizers a family's own train step looks up; empty for one optimizer.
    """

    sockets: tuple
    options: dict
    players: tuple


@functools.cache
def families():
    """The signatures of `models.FAMILIES`: name -> `Signature`."""
    return _read_registry("models", "FAMILIES")


@functools.cache
def networks():
    """The signatures of `networks.BUILDERS`: name -> `Signature`."""
    return _read_registry("networks", "BUILDERS")


def _read_registry(room, table):
    tree = _parse(PACKAGE / room / "__init__.py")
    modules = {
        alias.asname or alias.name: node.module
        for node in tree.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    entries = next(
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and node.targets[0].id == table
    )
    return {
        key.value: _read_signature(modules[value.id], value.id)
        for key, value in zip(entries.keys, entries.values, strict=True)
    }


def _read_signature(module, name):
    tree = _parse(PACKAGE.parent / Path(*module.split(".")).with_suffix(".py"))
    definition = next(node for node in tree.body if getattr(node, "name", None) == name)
    function = definition
    if isinstance(definition, ast.ClassDef):
        methods = {node.name: node for node in definition.body if hasattr(node, "name")}
        function = methods["__init__"]
    arguments = function.args
    options = {
        argument.arg: (_type_of(argument.annotation), _default_of(default))
        for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
        if argument.arg not in SET_ELSEWHERE
    }
    sockets = tuple(argument.arg for argument in arguments.args if argument.arg != "self")
    return Signature(sockets, options, _players_of(definition))


def _type_of(annotation):
    if annotation is None:
        return typing.Any
    return eval(ast.unparse(annotation), {"__builtins__": {}, **TYPES})  # our own source


def _default_of(node):
    return REQUIRED if node is None else ast.literal_eval(node)


def _players_of(definition):
    """The names in `self.optimizer["name"]`."""
    found = [
        node
        for node in ast.walk(definition)
        if isinstance(node, ast.Subscript)
        and isinstance(node.value, ast.Attribute)
        and node.value.attr == "optimizer"
        and isinstance(node.slice, ast.Constant)
    ]
    found.sort(key=lambda node: node.lineno)
    return tuple(dict.fromkeys(node.slice.value for node in found))


def _parse(path):
    return ast.parse(path.read_text(encoding="utf-8"))
