"""Two seconds of fuzzing; `make fuzz` goes on for minutes."""

import random

import pytest
from helpers.processes import CONTEXT, start_fork_server

from fuzz import campaign, mutations, targets


@pytest.mark.slow
def test_mutated_inputs_are_refused_or_read_as_they_are(tmp_path):
    """Exports take too long to write, and longer to open."""
    start_fork_server()
    kinds = [kind for kind in targets.KINDS if kind != "exports"]
    result = campaign.run_campaign(kinds, 0, 2, tmp_path, CONTEXT, progress=None)
    assert not result.failures, result
    assert {name.partition("/")[0] for name in result.counts} == set(kinds)


def test_equal_seeds_give_equal_inputs():
    target = targets.Target("x/y", bytes(range(256)), len)
    first = [campaign.make_input(target, 3, number) for number in range(50)]
    assert first == [campaign.make_input(target, 3, number) for number in range(50)]
    assert first != [campaign.make_input(target, 4, number) for number in range(50)]
    assert target.content not in first


@pytest.mark.parametrize("mutation", mutations.MUTATIONS)
def test_mutations_take_any_bytes(mutation):
    for content in (b"", b"\0", b"1", bytes(300), b'{"a": 12}'):
        for seed in range(20):
            assert isinstance(mutation(content, random.Random(seed)), bytes)


def read_wrongly(content):
    """A reader with every kind of fault."""
    from cnnzoo.core.errors import InputError

    if content == b"refused":
        raise InputError("no")
    if content == b"foreign":
        raise KeyError("x")
    return {"a": targets.digest(content == b"other"), **({"b": ""} if content == b"names" else {})}


@pytest.mark.parametrize(
    "content, outcome",
    [
        (b"refused", campaign.REFUSED),
        (b"foreign", campaign.FOREIGN),
        (b"same", campaign.SAME),
        (b"names", campaign.OTHER_NAMES),
        (b"other", campaign.SILENT),
    ],
)
def test_outcomes_are_told_apart(content, outcome):
    target = targets.Target("x/y", b"", read_wrongly, has_checksum=True)
    assert campaign.read_input(target, content, read_wrongly(b""))[0] == outcome
