"""Searches whose trial servers start at once."""

import pytest
from helpers.processes import fork_trial_servers


@pytest.fixture(scope="module", autouse=True)
def forked_trial_servers():
    with fork_trial_servers():
        yield
