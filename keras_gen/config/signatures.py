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

# Terms that are logged only where an option asks for them, in whichever family has it.
OPTIONAL_TERMS = {
    "codebook": lambda options: options.get("update") == "loss",
    "regularization": lambda options: options.get("regularizer"),
    "categorical_information": lambda options: options.get("categories"),
    "continuous_information": lambda options: options.get("continuous"),
    "penalty": lambda options: options.get("penalty"),
    "path_penalty": lambda options: options.get("path_length_weight"),
    "path_length": lambda options: options.get("path_length_weight"),
    "augmentation_p": lambda options: "ada" in str(options.get("augmentation")),
}


@dataclass(frozen=True)
class Signature:
    """What a constructor or a builder takes.

    Args:
        sockets: names before the `*`: a family's networks.
        options: name -> (type, default or `REQUIRED`), after the `*`.
        players: names whose optimizers a family's own train step looks up; empty for one optimizer.
        terms: of a family's loss, those that it logs whatever its options.
    """

    sockets: tuple
    options: dict
    players: tuple
    terms: tuple


@functools.cache
def families():
    """The signatures of `models.FAMILIES`: name -> `Signature`."""
    return _read_registry("models", "FAMILIES")


@functools.cache
def networks():
    """The signatures of `networks.BUILDERS`: name -> `Signature`."""
    return _read_registry("networks", "BUILDERS")


def terms_of(family, options):
    """The terms of a family's loss under some options: what its `terms` will be once it is built.

    Args:
        family: a name in `models.FAMILIES`.
        options: `{name: value}`, of its constructor.

    Returns:
        A tuple of names, without an order.
    """
    optional = [term for term, wanted in OPTIONAL_TERMS.items() if wanted(options)]
    return (*families()[family].terms, *optional)


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
    function, terms = definition, ()
    if isinstance(definition, ast.ClassDef):
        terms = tuple(_terms_of(definition))
        methods = {node.name: node for node in definition.body if hasattr(node, "name")}
        function = methods["__init__"]
    arguments = function.args
    options = {
        argument.arg: (_type_of(argument.annotation), _default_of(default))
        for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
        if argument.arg not in SET_ELSEWHERE
    }
    sockets = tuple(argument.arg for argument in arguments.args if argument.arg != "self")
    return Signature(sockets, options, _players_of(definition), terms)


def _terms_of(definition):
    """What the class calls its `terms`, and what its constructor adds on any account."""
    constructor = next(node for node in definition.body if getattr(node, "name", "") == "__init__")
    for node in definition.body:
        if isinstance(node, ast.Assign) and node.targets[0].id == "terms":
            yield from ast.literal_eval(node.value)
    for node in constructor.body:
        call = getattr(node, "value", None)
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "self.add_term":
            yield ast.literal_eval(call.args[0])


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
