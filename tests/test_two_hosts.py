"""Two hosts with a network between them train one model on the JAX backend, also after the link was cut."""

import json
import os
import re
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from helpers.images import make_blobs
from helpers.jax_processes import jax_variables
from helpers.training import read_report
from helpers.two_hosts import ADDRESSES, LINK_UP, make_hosts

pytest.importorskip("jax")
pytestmark = pytest.mark.slow

# What process 0 and process 1 print
LINES = (
    r"^Error: Process 1 of 2 \(beta\) does not answer for 20 ",
    r"^Error: Process 1 of 2 \(beta\) does not reach process 0 for 20 ",
)


@pytest.fixture(scope="module")
def outcome(tmp_path_factory):
    """The folder of the trainings, and how both parts of `helpers/two_hosts_program.py` have ended on each host."""
    folder = tmp_path_factory.mktemp("hosts")
    images, labels = make_blobs(66)
    np.savez(folder / "images.npz", x=images, y=labels)
    environment = {**os.environ, **jax_variables(folder)}
    launch = [sys.executable, "-m", "cnnzoo", "launch", "--hosts", ",".join(ADDRESSES), "--", sys.executable, "-m"]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}

    def run(part):
        words = [*launch, "helpers.two_hosts_program", part]
        processes = [host.start(words, cwd=folder, env=environment, **streams) for host in hosts]
        texts = [process.communicate(timeout=400) for process in processes]
        return [SimpleNamespace(code=p.returncode, out=t[0], err=t[1]) for p, t in zip(processes, texts, strict=True)]

    with make_hosts() as hosts:
        if hosts is None:
            pytest.skip("needs Linux, and the right to make network namespaces")
        cut = run("cut")
        hosts[1].run(*LINK_UP)
        yield SimpleNamespace(folder=folder, cut=cut, continued=run("continue"))


def test_both_hosts_have_the_same_weights(outcome):
    first, second = json.loads((outcome.folder / "hashes.json").read_text())
    assert first == second


@pytest.mark.parametrize("rank", [0, 1])
def test_a_cut_link_ends_each_host_with_one_line(outcome, rank):
    end = outcome.cut[rank]
    assert end.code == 1
    *progress, line = end.err.splitlines()
    assert re.search(LINES[rank], line), end.err
    assert line.endswith("seconds. The same command continues the run from its last state")
    assert all(re.match(r"\w+ lenet5: ", text) for text in progress)


def test_the_same_command_continues_to_the_undisturbed_report(outcome):
    assert [end.code for end in outcome.continued] == [0, 0], outcome.continued
    assert "Resuming after 1 epoch and 2 steps" in outcome.continued[0].err
    assert read_report(outcome.folder / "torn") == read_report(outcome.folder / "whole")


def test_two_hosts_have_the_numbers_of_one(outcome):
    one, two = (json.loads(read_report(outcome.folder / name)) for name in ("one", "whole"))
    assert two["best_epoch"] == one["best_epoch"]
    assert two["metrics"]["accuracy"] == one["metrics"]["accuracy"]
    assert two["history"]["val_accuracy"] == one["history"]["val_accuracy"]
    for name in ("loss", "val_loss"):
        np.testing.assert_allclose(two["history"][name], one["history"][name], rtol=1e-5)
    np.testing.assert_allclose(two["metrics"]["log_loss"], one["metrics"]["log_loss"], rtol=1e-5)
