"""On the JAX backend each step is compiled once, kept for the next process, and fed with uint8 without waiting."""

import json

import pytest
from helpers.jax_processes import jax_variables, run_module

pytest.importorskip("jax")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def counted(tmp_path_factory):
    """What `helpers/on_jax_programs.py` counted, in a first process and in a second one."""
    folder = tmp_path_factory.mktemp("programs")
    variables = jax_variables(folder) | {"CNNZOO_HOME": str(folder / "home"), "JAX_COMPILATION_CACHE_DIR": None}
    results = []
    for name in ("first.json", "second.json"):
        run_module("on_jax_programs", folder / name, folder=folder, variables=variables)
        results.append(json.loads((folder / name).read_text()))
    return results


def test_every_step_is_compiled_once(counted):
    sizes = counted[0]["images"]
    assert [sizes["train"] % 8, sizes["validation"] % 8] != [0, 0], "the batches do not divide the images"
    assert counted[0]["train"] == {"train_step": 1, "test_step": 1, "predict_step": 1}


def test_a_second_process_compiles_nothing(counted):
    first, second = (counts["cache"] for counts in counted)
    assert first["cache_misses"] >= 3
    assert second["cache_misses"] == 0
    assert second["cache_hits"] == first["cache_misses"] + first["cache_hits"]
    assert "/home/jax/" in counted[1]["folder"]
    assert counted[0]["loss"] == counted[1]["loss"]


def test_pixels_reach_the_device_as_uint8(counted):
    assert counted[0]["types"] == ["uint8"]


def test_a_step_reads_nothing_from_the_device(counted):
    steps = -(-counted[0]["images"]["train"] // 8)
    reads = counted[0]["reads"][: steps - 1]  # of the first epoch
    assert [step for step, count in enumerate(reads, 1) if count] == [10, 20]
    assert set(reads) == {0, 2}, "the loss and the accuracy"


def test_images_that_stay_on_the_device_give_the_same_numbers(counted):
    host, device = counted[0]["device losses"]
    assert host == device
    assert counted[0]["device types"] == ["uint8"]
    assert counted[0]["device programs"] == {"train_step": 1, "test_step": 1, "predict_step": 1}


def test_a_classifier_compiles_one_program_for_its_batches(counted):
    assert counted[0]["classify"] == {"classify": 1}, "the last batch, of two images, is completed"
    assert counted[0]["classifier"] == ["keras", "float32"]
    assert counted[0]["difference"] < 1e-6
    assert 0 < counted[0]["difference in bfloat16"] < 0.02


def test_padded_batches_give_the_figures_of_unpadded_ones(counted):
    loss, accuracy = counted[0]["validation at once"]
    assert counted[0]["validation"][0] == pytest.approx(loss, rel=1e-6)
    assert counted[0]["validation"][1] == accuracy
    assert counted[0]["test"][0] == counted[0]["test"][1]
