"""The commands that predict shards and merge them."""

import csv
import json

import pytest

from cnnzoo.inference import shards


@pytest.fixture(autouse=True)
def no_scheduler(monkeypatch):
    """An environment in which no scheduler has started this process."""
    for row in shards.SCHEDULERS:
        for name in (row.index, row.count):
            if name:
                monkeypatch.delenv(name, raising=False)


@pytest.fixture
def scans(tmp_path):
    import numpy as np
    from PIL import Image

    folder = tmp_path / "scans"
    folder.mkdir()
    for i in range(9):
        Image.fromarray(np.full((28, 28), 20 * i, "uint8")).save(folder / f"{i}.png")
    (folder / "9.png").write_bytes(b"torn")
    return folder


@pytest.mark.slow
def test_shards_are_predicted_and_merged(cli, scans, tmp_path, monkeypatch):
    out = tmp_path / "answers.csv"
    answer = cli("predict", "lenet5:mnist", scans, "--out", out, "--shard", "1/2", "--json")
    first = json.loads(answer.out)
    assert answer.code == 0
    assert first["shard"] == "1/2"
    assert first["path"] == str(tmp_path / "answers.csv.shards" / "00001-of-00002.csv")

    failed = cli("merge", out)
    assert (failed.code, failed.out) == (2, "")
    assert "1 shard of 2 is missing: 2/2. Repeat the prediction with --shard 2/2" in failed.err

    monkeypatch.setenv("SLURM_PROCID", "1")
    monkeypatch.setenv("SLURM_NTASKS", "2")
    second = cli("predict", "lenet5:mnist", scans, "--out", out, "--shard", "auto")
    assert second.code == 0, "also of the shard with the torn file: a batch system would repeat it"
    assert "This process predicts shard 2/2, from SLURM_PROCID=1, SLURM_NTASKS=2" in second.err
    assert f"When all shards are complete: cnnzoo merge {out}\n" in second.err

    merged = cli("merge", out, "--json")
    assert merged.code == 2, "as predict has it, because of the torn file"
    assert json.loads(merged.out) == {"images": 10, "errors": 1, "unsure": 0, "path": str(out)}
    rows = list(csv.DictReader(out.read_text().splitlines()))
    assert [row["path"] for row in rows] == [str(scans / f"{i}.png") for i in range(10)]
    assert [bool(row["error"]) for row in rows] == [False] * 9 + [True]
    assert "already exists; --overwrite replaces it" in cli("merge", out).err
    again = cli("merge", f"{out}.shards", "--out", out, "--overwrite")
    assert again.out == f"10 images, 1 of them unreadable, each once; written to {out}\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--out", "a.csv", "--shard", "0/0"), "The number of shards must be from 1 to 1,000. Received: '0/0'"),
        (("--out", "a.csv", "--shard", "5/4"), "Shards are counted from 1: with 4 of them, from 1/4 to 4/4"),
        (("--out", "a.csv", "--shard", "one"), '--shard must be NUMBER/COUNT, counted from 1, as in "3/16"'),
        (("--out", "a.csv", "--shard", "auto"), "--shard auto takes the shard from the environment, and none of"),
        (("--shard", "1/4"), "--shard 1/4 needs --out, the file that `cnnzoo merge` writes in the end"),
        (("--out", "a.png", "--shard", "1/4"), "Unknown kind of file"),
    ],
)
def test_wrong_shards_are_refused_before_anything_slow(cli, words, message, scans, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    answer = cli("predict", "lenet5:mnist", scans, *words)
    assert (answer.code, answer.out) == (2, "")
    assert message in answer.err
    assert [entry.name for entry in tmp_path.iterdir()] == ["scans"]
