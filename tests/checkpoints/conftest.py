"""Fixtures of the checkpoint tests: small models under names of their own."""

import pytest
from helpers.small_models import shrink_resnet

import cnnzoo
from cnnzoo import registry


@pytest.fixture(scope="module")
def small_models():
    """Register small variants while a module runs; those of the whole registry are tested elsewhere."""
    before = dict(registry._registered)
    for name in ("resnet18", "resnet50_v1", "resnet50_v2", "resnet20"):
        cnnzoo.register(f"small_{name}", shrink_resnet(name))
    cnnzoo.register("small_resnet34", shrink_resnet("resnet34", depth=2))
    yield
    registry._registered.clear()
    registry._registered.update(before)
