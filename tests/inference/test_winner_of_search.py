"""The folder of a finished search stands for the run of its best recipe."""

import json
import shutil

import pytest

import cnnzoo
from cnnzoo.inference.runs import find_run_model, find_winner


@pytest.fixture
def search(trained, tmp_path):
    """A finished search whose best trial is number 3."""
    folder = tmp_path / "search"
    for trial in (0, 3):
        shutil.copytree(trained.folder, folder / "final" / str(trial) / "1" / "run")
    (folder / "trials").mkdir()
    (folder / "run.json").write_text(json.dumps({"status": "done", "plan": {}, "winner": "final/3/1/run"}))
    return folder


def test_a_finished_search_gives_its_winner(search, trained):
    assert find_run_model(search, False) == search / "final/3/1/run/model.keras"
    assert cnnzoo.load(search, "keras").identity() == cnnzoo.load(trained.folder, "keras").identity()


def test_searches_of_earlier_versions_name_it_in_best_toml(search):
    (search / "run.json").write_text(json.dumps({"status": "done", "plan": {}}))
    assert find_winner(search) is None
    (search / "best.toml").write_text("# trial 0 of 9: accuracy 0.9 on validation\n")
    assert find_winner(search) == search / "final/0/1/run"


def test_an_unfinished_search_has_none(search):
    (search / "run.json").write_text(json.dumps({"status": "interrupted", "plan": {}}))
    with pytest.raises(cnnzoo.InputError, match="The search in .* is not finished, .* repeat its command"):
        cnnzoo.load(search)
    (search / "run.json").write_text(json.dumps({"status": "done", "plan": {}, "winner": "final/7/1/run"}))
    assert find_winner(search) is None, "deleted"


def test_commands_say_which_run_is_used(search, cli, tmp_path, data):
    from PIL import Image

    Image.fromarray(data.test.images[0][..., 0]).save(tmp_path / "a.png")
    answer = cli("predict", search, tmp_path / "a.png", "--runtime", "keras")
    assert answer.code == 0, answer.err
    assert f"the best model of it is used: {search}/final/3/1/run" in answer.err
