"""A process ends when another one has failed, is silent, or hangs; here the signs of life and the clock are given."""

import json
from io import StringIO
from types import SimpleNamespace
from unittest import mock

import pytest

from cnnzoo.core import connection
from cnnzoo.core.connection import Monitor, connection_errors
from cnnzoo.core.errors import ConnectionLostError


class EndError(Exception):
    """Stands for the end of the process."""


@pytest.fixture
def check(monkeypatch):
    """A function that shows process 0 of 2 the signs of process 1 at some time; and its monitor."""
    clock = SimpleNamespace(now=0.0)
    functions = {
        "count_processes": lambda: 2,
        "process_rank": lambda: 0,
        "_end_process": mock.Mock(side_effect=EndError),
    }
    with mock.patch.multiple(connection, **functions):
        monkeypatch.setattr(connection.time, "monotonic", lambda: clock.now)
        monitor = Monitor()

        def check_at(now, beat, failure="", steps=0, left=False):
            clock.now = now
            signs = [
                {"beat": now, "host": "here", "steps": monitor.steps, "failure": ""},
                {"beat": beat, "host": "there", "steps": steps, "failure": failure, "left": left},
            ]
            try:
                monitor._check({str(rank): json.dumps(sign) for rank, sign in enumerate(signs)})
            except EndError:
                return connection._end_process.call_args[0][0]
            return ""

        yield SimpleNamespace(at=check_at, monitor=monitor)


def test_a_process_that_shows_no_sign_of_life_counts_as_dead(check):
    assert [check.at(now, beat) for now, beat in ((0, 1), (19, 1), (20, 2), (40, 2))] == [""] * 4
    assert check.at(41, 2) == "Process 1 of 2 (there) does not answer for 20 seconds"


def test_a_process_that_has_left_may_be_silent(check):
    assert [check.at(now, 1, left=True) for now in (0, 100)] == ["", ""]


def test_the_failure_of_another_process_is_passed_on(check):
    assert check.at(0, 1, "no such file: a.png") == "Process 1 of 2 (there) has failed: no such file: a.png"


def test_a_step_that_takes_much_longer_than_those_before_hangs(check):
    check.at(0, 0)
    check.monitor.count_step()
    assert check.at(99, 1, steps=0) == ""
    assert check.at(101, 2, steps=0) == "Process 1 of 2 (there) hangs: no step ended for 100 seconds"
    check.monitor.count_step()  # after all, so that steps may take 20 times as long
    assert check.at(201 + 101, 3) == check.at(101 + 20 * 101, 4) == ""
    check.monitor.count_step(is_last=True)
    assert check.at(9_999, 5) == "", "nothing is limited between two epochs"


@pytest.mark.parametrize("kind", [ValueError, RuntimeError])
def test_errors_of_jax_that_come_from_another_process_are_told(check, kind):
    message = "Process 0 of 2 does not get the results of another one any more"
    with pytest.raises(ConnectionLostError, match=message), connection_errors():
        raise kind("UNKNOWN: Gloo AllGather failed: Connection closed by peer [127.0.0.1]:37765")
    with pytest.raises(kind, match="^shapes differ$"), connection_errors():
        raise kind("shapes differ")


@pytest.mark.parametrize("stream", [None, SimpleNamespace(), StringIO()], ids=["none", "object", "text"])
def test_a_process_ends_also_where_stderr_is_not_a_file(monkeypatch, stream):
    written, codes = [], []
    monkeypatch.setattr(connection.sys, "stderr", stream)
    monkeypatch.setattr(connection.os, "write", lambda descriptor, line: written.append((descriptor, line)))
    monkeypatch.setattr(connection.os, "_exit", codes.append)
    connection._end_process("lost \ud800")
    assert codes == [1]
    assert written == [(2, f"Error: lost ?. {connection.KEEP_GOING}\n".encode())]


def test_a_coordinator_that_does_not_answer_ends_the_process(check):
    check.monitor.answered_at = 5.0
    assert check.at(24, 1) == ""
    check.monitor._check_coordinator()
    check.at(26, 2)
    with pytest.raises(EndError):
        check.monitor._check_coordinator()
    assert "Process 0 of 2 (" in connection._end_process.call_args[0][0]
    assert ") does not reach process 0 for 20 seconds" in connection._end_process.call_args[0][0]
