"""Run examples/first_hour.ipynb and store what its cells show in it: `make notebook`.

The cells run from top to bottom in this process, in an empty folder, without Jupyter. Stored are
what they print, and what Jupyter would show of the last expression of each; progress goes to
stderr and is not stored. tests/docs/test_example_notebook.py checks that the outputs are current.
"""

import ast
import base64
import contextlib
import io
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

NOTEBOOK = Path(__file__).parents[1] / "examples" / "first_hour.ipynb"

Cell = dict[str, Any]


def run_cells(cells: list[Cell]) -> list[Cell]:
    """Return the cells with the outputs of the code cells, which share one namespace.

    Args:
        cells: the cells of a notebook, of nbformat 4.
    """
    namespace: dict[str, Any] = {"__name__": "__main__"}
    count, done = 0, []
    for cell in cells:
        if cell["cell_type"] == "code":
            count += 1
            outputs = run_code("".join(cell["source"]), namespace, count)
            cell = cell | {"execution_count": count, "outputs": outputs}
        done.append(cell)
    return done


def run_code(code: str, namespace: dict[str, Any], count: int) -> list[dict[str, Any]]:
    """Run the code of a cell; return what it prints, and the value of its last line."""
    body = ast.parse(code).body
    last = body.pop() if body and isinstance(body[-1], ast.Expr) else None
    is_shown = last is not None and not code.rstrip().endswith(";")
    printed, value = io.StringIO(), None
    with contextlib.redirect_stdout(printed):
        exec(compile(ast.Module(body, []), f"<cell {count}>", "exec"), namespace)
        if last is not None:
            value = eval(compile(ast.Expression(last.value), f"<cell {count}>", "eval"), namespace)
    outputs = []
    if text := printed.getvalue():
        outputs.append({"output_type": "stream", "name": "stdout", "text": to_lines(text)})
    if is_shown and value is not None:
        data = describe_value(value)
        result = {"output_type": "execute_result", "execution_count": count}
        outputs.append(result | {"data": data, "metadata": {}})
    return outputs


def describe_value(value: Any) -> dict[str, Any]:
    """Return a value as Jupyter stores it: as text, and as HTML or a picture if it has them."""
    data: dict[str, Any] = {"text/plain": to_lines(repr(value))}
    if hasattr(value, "_repr_html_"):
        data["text/html"] = to_lines(value._repr_html_())
    elif hasattr(value, "_repr_png_"):
        data["image/png"] = base64.b64encode(value._repr_png_()).decode()
    return data


def to_lines(text: str) -> list[str]:
    """Return a text as notebooks store it: a list of lines that keep their ends."""
    return text.splitlines(keepends=True)


def read_notebook(path: Path = NOTEBOOK) -> dict[str, Any]:
    """Return the content of a notebook."""
    return json.loads(path.read_text(encoding="utf-8"))


def run_notebook(notebook: dict[str, Any]) -> dict[str, Any]:
    """Return a notebook with the outputs of its cells, which run in an empty folder."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            return notebook | {"cells": run_cells(notebook["cells"])}
        finally:
            os.chdir(before)


if __name__ == "__main__":
    for path in map(Path, sys.argv[1:] or [NOTEBOOK]):
        finished = run_notebook(read_notebook(path))
        text = json.dumps(finished, indent=1, ensure_ascii=False) + "\n"
        path.write_text(text, encoding="utf-8")
        print(f"{path}: {path.stat().st_size:,} bytes")
