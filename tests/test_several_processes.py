"""Two processes train one model on the JAX backend, and get the numbers of one."""

import json
import os
import sys

import numpy as np
import pytest
from helpers.commands import run_command
from helpers.jax_processes import free_port, jax_variables

pytest.importorskip("jax")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.name != "posix", reason="signals")]


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """What `helpers/several_processes.py` found out, by name."""
    folder = tmp_path_factory.mktemp("processes")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in jax_variables(folder).items():
            patch.setenv(name, value)
        patch.chdir(folder)
        program = [sys.executable, "-m", "helpers.several_processes"]
        result = run_command("launch", "-n", "2", "--address", f"127.0.0.1:{free_port()}", "--", *program)
    assert result.code == 0, result.err
    return json.loads((folder / "answers.json").read_text())


def test_both_processes_have_the_same_numbers_and_weights(answers):
    first, second = answers["two"]
    assert first == second


def test_two_processes_have_the_numbers_of_one(answers):
    two, one = answers["two"][0], answers["one"]
    for name in ("accuracy", "best_epoch", "validation"):
        assert two[name] == one[name], name
    np.testing.assert_allclose(two["losses"], one["losses"], rtol=1e-5)
    np.testing.assert_allclose(two["probe"], one["probe"], rtol=1e-4)
    np.testing.assert_allclose(two["tuned"], one["tuned"], rtol=1e-3)
    np.testing.assert_allclose(two["evaluated"], one["evaluated"], rtol=1e-3)


def test_an_interrupted_training_ends_with_the_same_report(answers):
    assert answers["reports are equal"]


def test_only_the_first_process_writes(answers):
    assert answers["folders"] == ["blocked", "compiled", "one", "two-0"]


def test_arrays_and_messages_are_exchanged_bit_by_bit(answers):
    first, second = answers["exchanged"]
    assert first["arrays"]
    assert second["arrays"]
    assert first["rows"] == second["rows"] == [[0.1] * 3] * 2 + [[1.1] * 3] * 2
    assert first["share"] == second["share"] == "from 0"
    assert first["on main"] == second["on main"] == 0


def test_an_error_of_the_first_process_is_one_of_all(answers):
    for exchanged in answers["exchanged"]:
        assert exchanged["failure"] == "the disk is full"
        assert "differ in version: 0 and 1. All processes need the same" in exchanged["differ"]


def test_what_processes_cannot_share_is_refused(answers):
    odd, named, seeds = answers["errors"]
    assert "2 devices cannot share batches of 7 images equally. Use batch_size=6" in odd
    assert "Several processes train on all of their devices together. Received: devices=['CPU:0']" in named
    assert "differ in seed: 0 and 1" in seeds
