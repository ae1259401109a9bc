"""The generated tables of the README and the docs are those of the registry and the recipes."""

import re
import runpy
import tomllib

import pytest
from helpers.paths import ROOT

import cnnzoo
from cnnzoo.data.findings import FINDING_KINDS
from cnnzoo.data.policies import POLICIES
from cnnzoo.evaluation.report import HEADLINE_METRICS
from cnnzoo.training.recipe import SETTABLE_FIELDS

SCRIPT = runpy.run_path(str(ROOT / "docs" / "make_tables.py"))


@pytest.mark.parametrize("page", SCRIPT["PAGES"])
def test_tables_are_current(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    assert "<!-- /" in text
    assert SCRIPT["update_tables"](text) == text, "make tables brings them up to date"


def test_tables_name_every_model_once():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    overview = re.search(r"<!-- overview -->(.*)<!-- /overview -->", readme, re.S)[1]
    assert sorted(re.findall(r"`(\w+)`", overview)) == sorted(cnnzoo.list_models())
    models = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `(\w+)` \| [\d,]+ \|", models, re.M) == cnnzoo.list_models()


def test_dependency_table_has_the_minimum_versions_of_the_package():
    decisions = (ROOT / "docs" / "decisions.md").read_text(encoding="utf-8")
    table = re.search(r"<!-- dependencies -->(.*)<!-- /dependencies -->", decisions, re.S)[1]
    rows = [re.split(r"\s*\|\s*", line.strip("| "))[:2] for line in table.strip().splitlines()[2:]]
    stated = {}
    for names, versions in rows:
        stated |= dict(zip(names.split(", "), versions.split(", "), strict=True))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert stated == dict(re.match(r"([\w-]+)>=([\d.]+)", each).groups() for each in project["dependencies"])


def test_imports_table_is_what_the_architecture_test_enforces():
    decisions = (ROOT / "docs" / "decisions.md").read_text(encoding="utf-8")
    table = re.search(r"<!-- imports -->(.*)<!-- /imports -->", decisions, re.S)[1]
    rows = re.findall(r"^\| (\d+) \| `(\w+)` \| (.*) \|$", table, re.M)
    stated = {component: set(re.findall(r"`(\w+)`", imports)) for _, component, imports in rows}
    enforced = runpy.run_path(str(ROOT / "tests" / "test_architecture.py"))["MAY_IMPORT"]
    assert stated == {
        component: set(imports) for component, imports in enforced.items() if not component.startswith("__")
    }

    levels = {component: int(level) for level, component, _ in rows}
    assert all(levels[other] < levels[component] for component, imports in stated.items() for other in imports)


def first_column(page):
    """The words in the first cells of all tables of a page, without backticks."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    cells = re.findall(r"^\| ([^|]*) \|", text, re.M)
    return {word for cell in cells for word in cell.replace("`", "").split(", ")}


def test_tables_written_by_hand_are_complete():
    assert set(SETTABLE_FIELDS) <= first_column("training.md")
    assert set(FINDING_KINDS) <= first_column("data.md")
    assert set(POLICIES) <= first_column("augmentation.md")
    assert {title.split(",")[0] for title in HEADLINE_METRICS.values()} <= first_column("evaluation.md")
