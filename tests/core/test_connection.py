"""The variables of the environment that connect processes, and the backend that they need."""

import pytest

import cnnzoo
from cnnzoo.core.connection import ADDRESS, COUNT, RANK, check_backend, connect_processes, read_place
from cnnzoo.core.processes import (
    check_same,
    gather_rows,
    gather_values,
    own_rows,
    run_on_main,
    share_arrays,
    share_value,
)


@pytest.fixture
def variables(monkeypatch):
    """A function that sets the three variables."""

    def set_variables(count, rank, address):
        for name, value in ((COUNT, count), (RANK, rank), (ADDRESS, address)):
            monkeypatch.setenv(name, value)

    return set_variables


def test_the_variables_name_a_place(variables):
    variables("4", "1", "10.0.0.1:99,10.0.0.2:99")
    assert read_place() == (1, 4, "10.0.0.1:99")
    variables("1", "0", "")
    assert read_place() is None


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (("2", "2", "a:1"), "Received: '2' and '2'. `cnnzoo launch` sets both"),
        (("2", "-1", "a:1"), "from 0 on"),
        (("two", "0", "a:1"), "must be the number of processes"),
        (("2", "", "a:1"), "Received: '2' and ''"),
        (("2", "0", ""), "must be HOST:PORT"),
    ],
)
def test_wrong_variables_are_refused(variables, values, message):
    variables(*values)
    with pytest.raises(cnnzoo.InputError, match=message):
        read_place()


def test_another_backend_is_refused_with_what_to_do(variables, monkeypatch):
    variables("2", "0", "127.0.0.1:1")
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    with pytest.raises(
        cnnzoo.InputError, match=r"JAX backend only. Received: tensorflow. Use KERAS_BACKEND=jax .* weights move"
    ):
        connect_processes()


def test_the_backend_may_be_that_of_the_file_of_keras(tmp_path, monkeypatch):
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    with pytest.raises(cnnzoo.InputError, match="Received: tensorflow"):
        check_backend()
    (tmp_path / "keras.json").write_text('{"backend": "jax"}')
    check_backend()
    (tmp_path / "keras.json").write_text("[]")
    with pytest.raises(cnnzoo.InputError, match="Received: tensorflow"):
        check_backend()


def test_a_process_without_variables_is_alone(monkeypatch):
    monkeypatch.delenv(COUNT, raising=False)
    assert connect_processes() is False
    check_same({"anything": object()})
    assert share_value(object) is object
    assert gather_values(3) == [3]
    assert run_on_main(lambda: 4) == 4
    assert own_rows(5) == slice(0, 5)
    assert share_arrays([2.0]) == [2.0]
    assert gather_rows("rows") == "rows"
