"""The examples in the docstrings run, and every public name documents its arguments, result, errors and an example."""

import ast
import doctest
import importlib
import inspect
import operator
import re
import textwrap
from pathlib import Path

import numpy as np
import pytest
from helpers.quick_speeds import use_quick_speeds

import cnnzoo
from cnnzoo import registry

PACKAGE = Path(cnnzoo.__file__).parent
OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
SERVE_NAMES = [f"serve.{name}" for name in cnnzoo.serve.__all__]  # of the only module among the public names
PUBLIC_NAMES = sorted({*cnnzoo.__all__, *SERVE_NAMES} - {"serve"})
TRAINING_NAMES = {"Board", "fine_tune", "lr_find"}  # whose examples train on all digits
LAST_NAMES = {name.rpartition(".")[2] for name in PUBLIC_NAMES}


def has_internal_example(path):
    """Return whether a file has an example outside the docstrings of public names."""
    source = path.read_text(encoding="utf-8")
    if ">>> " not in source:
        return False
    lines = source.splitlines()
    internal = [node for node in ast.parse(source).body if getattr(node, "name", None) not in LAST_NAMES]
    return any(">>> " in line for node in internal for line in lines[node.lineno - 1 : node.end_lineno])


MODULES = sorted(
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
    for path in PACKAGE.rglob("*.py")
    if has_internal_example(path)
)


@pytest.fixture
def run_examples(tmp_path, monkeypatch):
    """A function that runs the examples of an object in an empty folder; what they register is forgotten."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(registry, "_registered", dict(registry._registered))

    def run(thing, name, skip=()):
        """Run the examples of `thing` and its members, without those whose name is in `skip`; return their number."""
        finder, runner = doctest.DocTestFinder(), doctest.DocTestRunner(optionflags=OPTIONS, verbose=False)
        names = vars(thing) if inspect.ismodule(thing) else {}
        report = []
        for test in finder.find(thing, name, globs=names | {"cnnzoo": cnnzoo, "np": np}):
            member = test.name.removeprefix(name).lstrip(".").split(".")[0]
            if member not in skip:
                runner.run(test, out=report.append)
        assert not runner.failures, "".join(report)
        return runner.tries

    return run


@pytest.mark.parametrize("name", PUBLIC_NAMES)
def test_examples_of_public_names_run(name, run_examples, request):
    if name in TRAINING_NAMES:
        request.getfixturevalue("few_digits")
    with use_quick_speeds():
        run_examples(operator.attrgetter(name)(cnnzoo), name)


@pytest.mark.parametrize("module", MODULES)
def test_examples_of_internal_names_run(module, run_examples):
    assert run_examples(importlib.import_module(module), module, skip=LAST_NAMES)


def raises(function):
    """Return whether a function raises by itself: it has a `raise` statement or calls a check."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    calls = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    called = [getattr(call, "attr", getattr(call, "id", "")) for call in calls]
    return any(isinstance(node, ast.Raise) for node in ast.walk(tree)) or any(
        name.startswith("check_") for name in called
    )


def missing_sections(thing):
    """The sections that a docstring should have and has not."""
    if inspect.isclass(thing) and issubclass(thing, BaseException):
        return set()
    needed = {"Example"}
    if inspect.isclass(thing):
        needed.add("Attributes")
    else:
        signature = inspect.signature(thing)
        needed |= {"Args"} if signature.parameters else set()
        needed |= {"Returns"} if signature.return_annotation not in (None, "None") else set()
        needed |= {"Raises"} if raises(thing) else set()
    docstring = inspect.getdoc(thing) or ""
    return {name for name in needed if not re.search(rf"^{name}s?:$", docstring, re.M)}


@pytest.mark.parametrize("name", PUBLIC_NAMES)
def test_docstrings_of_public_names_are_complete(name):
    missing = missing_sections(operator.attrgetter(name)(cnnzoo))
    assert not missing, f"cnnzoo.{name} lacks {', '.join(sorted(missing))}"
