"""Imports run one way: the table of docs/decisions.md, enforced."""

import ast
from pathlib import Path

import pytest

import cnnzoo

PACKAGE = Path(cnnzoo.__file__).parent
GROUND = {"cards", "errors", "files", "lazy", "tables"}
FIRST = {"layers", "preprocessing", "augmentation", "checkpoints", "evaluation", "features"}
SECOND = {"models": {"layers"}, "data": {"preprocessing", "augmentation"}}
THIRD = {
    "registry": {"models", "checkpoints", "preprocessing", "assembly"},
    "assembly": {"models", "checkpoints"},
    "training": {"data", "evaluation", "preprocessing", "augmentation", "features"},
    "export": {"data", "evaluation", "preprocessing", "layers"},
}
FOURTH = {"tuning"}
CLI = {"cli", "cli_models", "cli_data", "cli_training", "cli_tuning", "cli_export"}
BELOW = GROUND | FIRST | SECOND.keys() | THIRD.keys() | {"cnnzoo"}
ALLOWED = (
    dict.fromkeys(GROUND | FIRST, GROUND)
    | {name: GROUND | below for name, below in (SECOND | THIRD).items()}
    | dict.fromkeys(FOURTH | {"demo", "diff"}, BELOW)
    | {name: BELOW | FOURTH | CLI | {"demo", "diff"} for name in CLI}
    | {"__init__": set(), "__main__": {"cli"}}
)


def imports(path):
    """The rooms of cnnzoo that a file imports, at once or by Lazy("...")."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == "cnnzoo":
            names = [f"cnnzoo.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Lazy":
            names = [node.args[0].value]
        else:
            continue
        yield from (name.split(".")[:2][-1] for name in names if name.split(".")[0] == "cnnzoo")


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_run_one_way(path):
    room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    strangers = set(imports(path)) - ALLOWED[room] - {room}
    assert not strangers, f"{room} may not import {strangers}"


def test_graphs_use_keras_only():
    for path in [*PACKAGE.glob("models/*.py"), PACKAGE / "layers.py"]:
        assert "tensorflow" not in path.read_text()
