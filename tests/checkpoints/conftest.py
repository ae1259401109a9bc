"""Fixtures of the checkpoint tests: small models under names of their own."""

import pytest
from helpers.small_models import small_models_registered


@pytest.fixture(scope="module")
def small_models():
    """Register small variants while a module runs; those of the whole registry are tested elsewhere."""
    with small_models_registered():
        yield
