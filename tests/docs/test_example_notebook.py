"""The notebook of the examples: its cells run, and its stored outputs are what they show."""

import re
import runpy
import warnings

import pytest
from helpers.notebooks import check_summary
from helpers.paths import ROOT

RUNNER = runpy.run_path(str(ROOT / "docs" / "run_notebook.py"))
NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))
NUMBER = re.compile(r"\d+(\.\d+)?")  # processors differ in the last digits of a training, and so in a mistake or two
MAX_BYTES = 500_000


def code_cells(notebook):
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def describe_outputs(cell, mask=True):
    """What a reader sees of the outputs of a cell; with `mask`, without what depends on the processor."""
    described = []
    for output in cell["outputs"]:
        data = output.get("data", {"text/plain": output.get("text", "")})
        html = "".join(data.get("text/html", ""))
        page = check_summary(html) if html else None
        texts = ["".join(data["text/plain"]), page.text[:40] if page and mask else page and page.text]
        texts = [NUMBER.sub("0", text) if text and mask else text for text in texts]
        described.append((output["output_type"], texts, page and len(page.all("img")), page and len(page.all("svg"))))
    return described


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_stored_outputs_are_what_the_cells_show(path):
    notebook = RUNNER["read_notebook"](path)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        again = RUNNER["run_notebook"](notebook)
    stored, shown = code_cells(notebook), code_cells(again)
    assert [cell["execution_count"] for cell in stored] == list(range(1, len(stored) + 1))
    is_trained = False
    for one, other in zip(stored, shown, strict=True):
        is_trained = is_trained or "fit_and_evaluate" in "".join(one["source"])
        now = describe_outputs(other, mask=is_trained)
        assert describe_outputs(one, mask=is_trained) == now, "make notebook stores the current outputs"
    assert is_trained


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_notebook_is_small_and_shows_pictures(path):
    assert path.stat().st_size < MAX_BYTES
    notebook = RUNNER["read_notebook"](path)
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    assert len({cell["id"] for cell in notebook["cells"]}) == len(notebook["cells"])
    assert all(cell["outputs"] for cell in code_cells(notebook))
    html = [
        "".join(output.get("data", {}).get("text/html", "")) for c in code_cells(notebook) for output in c["outputs"]
    ]
    assert sum("<img" in text for text in html) >= 3


def test_the_last_expression_is_shown_as_in_jupyter():
    def run(code):
        return RUNNER["run_code"](code, {}, 1)

    result = {"output_type": "execute_result", "execution_count": 1, "metadata": {}}
    assert run("x = 2\nx + 1") == [result | {"data": {"text/plain": ["3"]}}]
    assert run("print('a')\nprint('b')") == [{"output_type": "stream", "name": "stdout", "text": ["a\n", "b\n"]}]
    assert run("x = 1") == run("1;") == run("None") == run("") == []
    shown = run("class A:\n    def _repr_html_(self): return '<b>a</b>'\nA()")[0]["data"]
    assert shown["text/html"] == ["<b>a</b>"]
    assert "A object" in shown["text/plain"][0]
    picture = run("class A:\n    def _repr_png_(self): return b'png'\nA()")[0]["data"]
    assert picture["image/png"] == "cG5n"
    with pytest.raises(ZeroDivisionError):
        run("1 / 0")


def test_cells_share_their_names_and_keep_the_rest():
    cells = [
        {"cell_type": "markdown", "source": ["# a"], "id": "0"},
        {"cell_type": "code", "source": ["x = 2"], "id": "1", "outputs": ["old"], "execution_count": None},
        {"cell_type": "code", "source": ["x"], "id": "2", "outputs": [], "execution_count": None},
    ]
    text, first, second = RUNNER["run_cells"](cells)
    assert text == cells[0]
    assert (first["outputs"], first["execution_count"], first["id"]) == ([], 1, "1")
    assert second["outputs"][0]["data"] == {"text/plain": ["2"]}
