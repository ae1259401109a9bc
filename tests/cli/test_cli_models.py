"""list, info, diff, fetch and convert."""

import hashlib
import re
from dataclasses import replace

import numpy as np
from safetensors.numpy import save_file

import cnnzoo
from cnnzoo.checkpoints import manifest, tensors


def test_list_shows_names_sizes_and_accuracies(cli):
    lines = cli("list").out.splitlines()
    assert [line.split()[0] for line in lines] == ["name", *cnnzoo.list_models()]
    assert re.fullmatch(r"resnet50 +resnet +224x224x3 +25\.56 M +4\.089 G +80\.86 %  imagenet +\d+", lines[19])
    assert max(map(len, lines)) <= 120


def test_list_can_be_restricted_to_models_with_weights(cli):
    names = cli("list", "lenet*", "--weights").out
    assert "lenet5_1998" in names
    assert "relu" not in names


def test_info_marks_the_default_weights(cli):
    assert cli("info", "resnet20").out.strip() == str(cnnzoo.info("resnet20"))
    text = cli("info", "resnet50").out
    assert re.findall(r"^\*  (\S+)", text, re.M) == ["imagenet.tv_v2"]
    assert re.search(r"imagenet\.tv_v1 +76\.13 % +92\.86 % +224 +BSD-3-Clause +sha256-prefix", text)
    assert "no head" in cli("info", "vgg16").out
    assert "none published" in cli("info", "vgg16_c").out


def test_diff_describes_what_differs(cli):
    assert "the convolution of a bottleneck that has the stride" in cli("diff", "resnet50", "resnet50_v1").out


def test_fetch_reports_what_it_cannot_download(cli, tmp_path, monkeypatch):
    """One file is in the cache, and the network is off for the other."""
    row = manifest.find_weights("resnet20", "cifar10")
    monkeypatch.setenv("CNNZOO_HOME", str(tmp_path))
    monkeypatch.setenv("CNNZOO_OFFLINE", "1")
    (tmp_path / "weights").mkdir()
    content = b"weights"
    (tmp_path / "weights" / row.file).write_bytes(content)
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    rows = [replace(w, hash=w.hash and digest) for w in manifest.load_published_weights()]
    monkeypatch.setattr(manifest, "load_published_weights", lambda: rows)
    answer = cli("fetch", "resnet20", "vgg16:imagenet.tv_v1", "lenet5:mnist")
    assert answer.code == 2
    assert f"resnet20:cifar10.akamaster: {tmp_path / 'weights' / row.file}, 7 bytes, sha256" in answer.out
    assert "lenet5:mnist: comes with the package" in answer.out
    assert "CNNZOO_OFFLINE is set" in answer.err
    assert "Traceback" not in answer.err
    lines = cli("fetch", "--all", "lenet5").out.splitlines()
    assert lines == ["lenet5:digits: comes with the package", "lenet5:mnist: comes with the package"]


def test_convert_preserves_the_logits(cli, tmp_path):
    """A checkpoint in the layout of torchvision becomes one of ours that gives the same logits."""
    model = cnnzoo.get("resnet20")
    torch_names = {"kernel": "weight", "gamma": "weight", "beta": "bias"}
    torch_names |= {"moving_mean": "running_mean", "moving_variance": "running_var"}
    torch_tensors = {}
    for name, value in tensors.named_variables(model).items():
        value = np.asarray(value)
        layer, _, variable = re.sub(r"^layer(\d)_(\d)_", r"layer\1.\2.", name).rpartition(".")
        name = f"{layer}.{torch_names.get(variable, variable)}"
        torch_tensors[name] = value.transpose(3, 2, 0, 1).copy() if value.ndim == 4 else value.T.copy()
    source, target = tmp_path / "torch.safetensors", tmp_path / "ours.safetensors"
    save_file(torch_tensors, source)
    names = ",".join(f"class {i}" for i in range(10))
    answer = cli("convert", source, "resnet20", target, "--classes", names)
    assert f"{len(torch_tensors)} loaded" in answer.out
    converted = cnnzoo.get("resnet20", weights=target)
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3))
    np.testing.assert_array_equal(converted.predict(images, verbose=0), model.predict(images, verbose=0))
    assert cnnzoo.card(converted).classes[0] == "class 0"
    two_names = cli("convert", source, "resnet20", tmp_path / "two.safetensors", "--classes", "a,b")
    assert "--classes must name the 10 outputs" in two_names.err
