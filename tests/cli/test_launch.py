"""cnnzoo launch starts processes and watches them: here small programs, which begin at once."""

import os
import signal
import subprocess
import sys

import pytest
from helpers.commands import run_command

from cnnzoo.cli import launch as cli_launch
from cnnzoo.core import connection, threads

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals")


START = "import os, signal, sys, time; rank = int(os.environ.get('KERAS_DISTRIBUTION_PROCESS_ID', 0))\n"


@pytest.fixture(autouse=True)
def jax(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr(cli_launch, "GRACE_SECONDS", 1.0)
    monkeypatch.setattr(cli_launch, "KILLED_GRACE_SECONDS", 0.5)


def launch(code, *options):
    """Launch processes of a program; `rank` and `say` are names in its code."""
    return run_command("launch", *options, "--", sys.executable, "-c", START + code)


def launch_apart(code, *options, preparation=""):
    """Launch processes as `launch` does, from a process that may get signals."""
    words = ["launch", *options, "--", sys.executable, "-c", START + code]
    restore = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    program = f"{restore}{preparation}\nfrom cnnzoo.cli.main import main; main({words!r})"
    return subprocess.run([sys.executable, "-c", program], timeout=120)


def test_every_process_knows_its_place(tmp_path):
    names = "NUM_PROCESSES", "PROCESS_ID", "JOB_ADDRESSES"
    code = f"open(str(rank), 'w').write(' '.join(os.environ['KERAS_DISTRIBUTION_' + n] for n in {names}))"
    result = launch(
        f"os.chdir({str(tmp_path)!r}); {code}", "-n", "2", "--hosts", "2", "--rank", "1", "--address", "a:5"
    )
    assert (result.code, result.err) == (0, "")
    texts = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert texts == {"2": "4 2 a:5", "3": "4 3 a:5"}


@pytest.mark.parametrize(("cores", "share"), [(8, "4"), (5, "2"), (1, "1")])
def test_processes_share_the_cores_by_their_numbers_of_threads(tmp_path, monkeypatch, cores, share):
    """A process that is bound to one core would wait for its own thread at every exchange with another one."""
    monkeypatch.setattr(threads, "available_cores", lambda: cores)
    names = "[os.environ[n] for n in ('CNNZOO_CORES', 'PJRT_NPROC')]"
    bound = "getattr(os, 'sched_getaffinity', lambda _: {})(0)"
    code = f"open({str(tmp_path)!r} + f'/{{rank}}', 'w').write(repr(({names}, {bound})))"
    assert launch(code, "-n", "2").code == 0
    expected = repr(([share, share], getattr(os, "sched_getaffinity", lambda _: {})(0)))
    assert [(tmp_path / str(rank)).read_text() for rank in (0, 1)] == [expected] * 2


def test_the_threads_of_jax_are_those_of_the_user(tmp_path, monkeypatch):
    monkeypatch.setenv("PJRT_NPROC", "3")
    code = f"open({str(tmp_path)!r} + f'/{{rank}}', 'w').write(os.environ['PJRT_NPROC'])"
    assert launch(code, "-n", "2").code == 0
    assert (tmp_path / "0").read_text() == "3"


def test_a_process_uses_its_share_of_the_cores(monkeypatch):
    monkeypatch.delenv("CNNZOO_CORES", raising=False)
    cores = threads.available_cores()
    for value, expected in (("1", 1), ("0", 1), ("999", cores), ("many", cores)):
        monkeypatch.setenv("CNNZOO_CORES", value)
        assert threads.available_cores() == expected


def test_one_process_is_started_as_it_is(tmp_path):
    code = f"open({str(tmp_path / 'file')!r}, 'w').write(repr(os.environ.get('KERAS_DISTRIBUTION_NUM_PROCESSES')))"
    assert launch(code).code == 0
    assert (tmp_path / "file").read_text() == "None"


def test_a_failure_ends_the_others_and_gives_the_code():
    result = launch("rank and sys.exit('no such file'); time.sleep(0 if rank else 600)", "-n", "2")
    assert result.code == 1
    assert "Process 1 of 2:\nno such file" in result.err


@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_process_ends_the_others_with_one_line(rank):
    result = launch(f"rank == {rank} and os.kill(os.getpid(), signal.SIGKILL); time.sleep(600)", "-n", "2")
    assert result.code == 1
    assert result.err == (
        f"Error: Process {rank} of 2 was ended by SIGKILL, so all have ended. The same command continues the run from "
        "its last state\n"
    )


@pytest.mark.skipif(sys.platform != "linux", reason="signals of real time")
def test_a_signal_that_has_no_name_is_told_by_its_number():
    result = launch("rank == 1 and os.kill(os.getpid(), signal.SIGRTMIN + 9); time.sleep(600)", "-n", "2")
    assert result.code == 1
    assert f"Error: Process 1 of 2 was ended by signal {signal.SIGRTMIN + 9}, so all have ended." in result.err


def test_a_stopped_process_ends_with_the_others():
    """The others notice that it does not answer, and fail."""
    code = "rank and os.kill(os.getpid(), signal.SIGSTOP); time.sleep(0.5); os._exit(1)"
    assert launch(code, "-n", "2").code == 1


@pytest.mark.parametrize("code", ["os.kill(os.getpid(), signal.SIGSTOP)", "time.sleep(600)"])
def test_a_process_without_a_sign_of_life_is_ended_with_one_line(monkeypatch, code):
    """Also where it is the only one of its host, whose end the others cannot bring about."""
    monkeypatch.setattr(connection, "STOPPED_SECONDS", 0.5)
    sign = "open(os.environ['CNNZOO_PROCESS_LOG'].replace('.jax', '.alive'), 'w').close(); "
    result = launch(sign + code, "--hosts", "2", "--rank", "1", "--address", "a:5")
    assert result.code == 1
    assert result.err == (
        "Error: Process 1 of 2 showed no sign of life for 0 seconds and was ended, so all have ended. The same command "
        "continues the run from its last state\n"
    )


def test_a_process_may_take_its_time_before_its_first_sign_of_life_and_after_its_last(monkeypatch):
    monkeypatch.setattr(connection, "STOPPED_SECONDS", 0.5)
    code = """
path = os.environ['CNNZOO_PROCESS_LOG'].replace('.jax', '.alive')
time.sleep(0.7)
for i in range(7):
    open(path, 'w').write(str(i))
    time.sleep(0.1)
os.remove(path)
time.sleep(0.7)
"""
    assert launch(code, "--hosts", "2", "--rank", "1", "--address", "a:5").code == 0


def test_ctrl_c_reaches_every_process(tmp_path):
    """Each may save its state first; the exit code is that of an interrupted training."""
    code = f"""
def stop(*_):
    open({str(tmp_path)!r} + f'/{{rank}}', 'w').close()
    sys.exit(130)
signal.signal(signal.SIGINT, stop)
open({str(tmp_path)!r} + f'/ready{{rank}}', 'w').close()
while not rank and len(os.listdir({str(tmp_path)!r})) < 2:
    time.sleep(0.05)
rank or os.kill(os.getppid(), signal.SIGINT)
time.sleep(600)
"""
    assert launch_apart(code, "-n", "2").returncode == 130
    assert {path.name for path in tmp_path.iterdir()} == {"0", "1", "ready0", "ready1"}


INTERRUPTED_START = """
import os, signal, time
from pathlib import Path
from cnnzoo.cli import launch
start = launch._start
def start_with_interrupt(*arguments):
    for child in start(*arguments):
        yield child
        while not child.rank and not Path("0").exists():
            time.sleep(0.01)
        child.rank or os.kill(os.getpid(), signal.SIGINT)
launch._start = start_with_interrupt
"""


def test_ctrl_c_while_processes_start_reaches_those_that_start_later(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code = "signal.signal(2, lambda *_: sys.exit(130)); open(str(rank), 'w').close(); time.sleep(600)"
    assert launch_apart(code, "-n", "2", preparation=INTERRUPTED_START).returncode == 130


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("-n", "2", "--", "predict", "a", "b"), "starts train, fine-tune, evaluate, or a program"),
        (("no-such-program",), "Received: 'no-such-program'. Example: cnnzoo launch -n 2 --"),
        (("-n", "2", "--hosts", "2", "--", "train"), "not named in --hosts 2"),
        (("-n", "0", "--", "train"), "-n|--processes must be a number|from 1 to 1024"),
    ],
)
def test_wrong_words_are_refused(words, message):
    result = run_command("launch", *words)
    assert result.code == 2
    assert any(part in result.err for part in message.split("|"))


def test_more_processes_than_gpus_are_refused(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    result = launch("", "-n", "2")
    assert result.code == 2
    assert "2 processes cannot share 1 GPU. Use -n 1" in result.err


def test_tensorflow_is_refused(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    result = run_command("launch", "-n", "2", "--", "train", "lenet5", "digits")
    assert result.code == 2
    assert "JAX backend only. Received: tensorflow" in result.err


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ("1 unexpectedly tried to connect with a different incarnation.", "another process has the same number"),
        ("DEADLINE_EXCEEDED\n\nRPC: /CoordinationService/RegisterTask", "not joined by all others within 300 seconds"),
        (
            "absl::Status: UNAVAILABLE: no heartbeat\nmore",
            "the connection to the others (UNAVAILABLE: no heartbeat)",
        ),
    ],
)
def test_an_abort_of_jax_is_explained_in_one_line(message, reason):
    code = f"open(os.environ['CNNZOO_PROCESS_LOG'], 'w').write({message!r}); os.kill(os.getpid(), signal.SIGABRT)"
    result = launch(f"time.sleep(600) if rank else exec({code!r})", "-n", "2")
    assert result.code == 1
    assert result.err.startswith("Error: Process 0 of 2 ")
    assert reason in result.err
    assert result.err.count("\n") == 1
