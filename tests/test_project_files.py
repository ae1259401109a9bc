"""Project files at the top of the repository: they agree on the version, and they can be parsed."""

import re
import tomllib
from datetime import date
from pathlib import Path

import pytest

import cnnzoo

ROOT = Path(__file__).parents[1]
YAML_FILES = sorted([*ROOT.glob(".github/**/*.yml"), ROOT / ".pre-commit-config.yaml", ROOT / "CITATION.cff"])


def changelog_headings():
    return re.findall(r"^## (.*)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), flags=re.M)


def test_every_changelog_entry_has_one_version_and_an_iso_date():
    entries = [re.fullmatch(r"(\d+)\.(\d+)\.(\d+) - (\d{4}-\d\d-\d\d)", heading) for heading in changelog_headings()]
    versions = [tuple(int(number) for number in entry.groups()[:3]) for entry in entries]
    dates = [date.fromisoformat(entry[4]) for entry in entries]
    assert versions == sorted(set(versions), reverse=True)
    assert dates == sorted(dates, reverse=True)


def test_package_changelog_and_citation_state_the_same_version():
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert changelog_headings()[0].split()[0] == cnnzoo.__version__
    assert f"\nversion: {cnnzoo.__version__}\n" in citation


def test_security_policy_supports_the_current_version():
    minor = cnnzoo.__version__.rpartition(".")[0]
    assert f"| {minor}.x | yes |" in (ROOT / "SECURITY.md").read_text(encoding="utf-8")


def test_a_wheel_has_every_folder_and_every_file_of_the_package():
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    folders = [path.parent for path in (ROOT / "cnnzoo").rglob("__init__.py")]
    names = [".".join(folder.relative_to(ROOT).parts) for folder in folders]
    assert sorted(setuptools["packages"]) == sorted([*names, "cnnzoo.weights"])
    for folder, name in zip(folders, names, strict=True):
        patterns = ["*.py", "*.pyc", *setuptools["package-data"].get(name, [])]
        files = [path for path in folder.iterdir() if path.is_file()]
        assert [path for path in files if not any(path.match(pattern) for pattern in patterns)] == [], name


@pytest.mark.parametrize("path", YAML_FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_yaml_files_can_be_parsed(path):
    yaml = pytest.importorskip("yaml")
    assert yaml.safe_load(path.read_text(encoding="utf-8"))


def test_pre_commit_hooks_use_the_tools_of_the_environment():
    yaml = pytest.importorskip("yaml")
    (repository,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]
    assert repository["repo"] == "local", "other repositories need a network"
    for hook in repository["hooks"]:
        assert hook["language"] == "system"
        assert hook["entry"].startswith(".venv/bin/")


def test_workflows_call_existing_targets_on_the_stated_python_versions():
    yaml = pytest.importorskip("yaml")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    jobs = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8"))["jobs"]
    commands = [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]
    assert commands == ["make check PYTHON=python", ".ci/run"]
    assert re.search(r"^check:", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.M)

    prefix = "Programming Language :: Python :: "
    stated = [line.removeprefix(prefix) for line in project["classifiers"] if line.startswith(f"{prefix}3.")]
    assert stated[0] == project["requires-python"].removeprefix(">=")
    assert jobs["check"]["strategy"]["matrix"]["python"] == [stated[0], stated[-1]]


def test_links_between_pages_at_the_top_lead_somewhere():
    for path in ROOT.glob("*.md"):
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", path.read_text(encoding="utf-8")):
            assert (ROOT / target).exists(), f"{path.name} links to {target}"


def test_every_test_file_has_a_name_of_its_own():
    """pytest imports them all by their names alone."""
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert {name for name in names if names.count(name) > 1} == set()
