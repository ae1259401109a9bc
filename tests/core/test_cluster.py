"""The place of a host among others: from options, or from the variables of Slurm, Open MPI and Kubernetes."""

import socket

import pytest

import cnnzoo
from cnnzoo.core.cluster import find_place, first_slurm_host

SLURM = {
    "SLURM_STEP_NODELIST": "node[07-09]",
    "SLURM_PROCID": "2",
    "SLURM_STEP_NUM_TASKS": "3",
    "SLURM_JOB_ID": "4097",
}
OPEN_MPI = {"OMPI_COMM_WORLD_SIZE": "4", "OMPI_COMM_WORLD_RANK": "3"}


@pytest.fixture(autouse=True)
def no_batch_system(monkeypatch):
    for name in (*SLURM, *OPEN_MPI, "SLURM_NTASKS", "OMPI_COMM_WORLD_LOCAL_SIZE", "JOB_COMPLETION_INDEX"):
        monkeypatch.delenv(name, raising=False)


def set_variables(monkeypatch, variables):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


def test_a_single_host_needs_nothing():
    first, second = find_place(None, None, None), find_place(None, None, None)
    assert first[:2] == second[:2] == (0, 1)
    assert first.address.startswith("127.0.0.1:")
    assert first.address != second.address, "two trainings on one machine must not meet"


def test_a_host_finds_itself_among_the_names():
    hosts = f"240.0.0.1,{socket.gethostname()}"  # the first is that of no host
    assert find_place(hosts, None, None) == (1, 2, "240.0.0.1:7654")
    assert find_place("240.0.0.1:99,127.0.0.1", None, None) == (1, 2, "240.0.0.1:99")
    assert find_place("240.0.0.1,240.0.0.2", 0, "240.0.0.9:5") == (0, 2, "240.0.0.9:5")
    assert find_place("3", 2, "a:1") == (2, 3, "a:1")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("240.0.0.1,240.0.0.2", None, None), "none of them .* --rank, from 0 on"),
        (("127.0.0.1,localhost", None, None), "several of them"),
        (("2", None, "a:1"), "not named in --hosts 2"),
        (("2", 2, "a:1"), "from 0 to 1, as there are 2 hosts. Received: 2"),
        (("2", 1, None), "--address HOST:7654"),
        (("a,a", 0, None), "must be different names"),
        (("a,,b", 0, None), "must be different names"),
        (("0", 0, "a:1"), "or the number of hosts"),
        ((None, 1, None), "--rank needs --hosts"),
        (("a,b", 0, "a"), "must be HOST:PORT, such as 10.0.0.1:7654"),
        (("a,b", 0, "a:99999"), "must be HOST:PORT"),
    ],
)
def test_wrong_options_are_refused(arguments, message):
    with pytest.raises(cnnzoo.InputError, match=message):
        find_place(*arguments)


def test_slurm_tells_the_place(monkeypatch):
    set_variables(monkeypatch, SLURM)
    assert find_place(None, None, None) == (2, 3, "node07:61441")
    assert find_place(None, None, "login:5") == (2, 3, "login:5")
    monkeypatch.setenv("SLURM_PROCID", "x")
    with pytest.raises(cnnzoo.InputError, match="SLURM_PROCID must be a number. Received: 'x'"):
        find_place(None, None, None)


@pytest.mark.parametrize(
    ("nodes", "first"), [("node001", "node001"), ("a,b", "a"), ("n[3,5-7],m1", "n3"), ("gpu-n[01-99]", "gpu-n01")]
)
def test_the_first_host_of_a_slurm_list(nodes, first):
    assert first_slurm_host(nodes) == first


def test_open_mpi_tells_the_number_but_not_the_address(monkeypatch):
    set_variables(monkeypatch, OPEN_MPI)
    assert find_place(None, None, "a:1") == (3, 4, "a:1")
    with pytest.raises(cnnzoo.InputError, match="Open MPI does not say"):
        find_place(None, None, None)
    monkeypatch.setenv("OMPI_COMM_WORLD_LOCAL_SIZE", "4")
    assert find_place(None, None, None) == (3, 4, "127.0.0.1:7654")


def test_open_mpi_counts_before_slurm_which_has_started_its_helpers(monkeypatch):
    set_variables(monkeypatch, SLURM | OPEN_MPI)
    assert find_place(None, None, "a:1") == (3, 4, "a:1")


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        (SLURM | {"SLURM_PROCID": "3"}, "SLURM_PROCID says that this is process 3, from 0 on, but there are 3"),
        (SLURM | {"SLURM_STEP_NUM_TASKS": "0"}, "but there are 0"),
        (SLURM | {"SLURM_JOB_ID": "9" * 5000}, "SLURM_JOB_ID must be a number"),
        (OPEN_MPI | {"OMPI_COMM_WORLD_RANK": "4"}, "OMPI_COMM_WORLD_RANK says that this is process 4"),
    ],
)
def test_variables_that_contradict_each_other_are_refused(monkeypatch, variables, message):
    set_variables(monkeypatch, variables)
    with pytest.raises(cnnzoo.InputError, match=message):
        find_place(None, None, "a:1" if "OMPI_COMM_WORLD_RANK" in variables else None)


def test_kubernetes_tells_the_number_alone(monkeypatch):
    monkeypatch.setenv("JOB_COMPLETION_INDEX", "1")
    with pytest.raises(cnnzoo.InputError, match="number of pods with --hosts"):
        find_place(None, None, None)
    assert find_place("4", None, "train-0.net:7654") == (1, 4, "train-0.net:7654")
    assert find_place("1", 0, None)[:2] == (0, 1)
