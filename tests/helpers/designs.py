"""Rows of one design: their graphs differ in how often a block repeats, and in how many channels it has."""

from dataclasses import fields, replace

import cnnzoo
from cnnzoo.models.vgg import VGG

NUMBERS = ("params", "macs", "paper", "depths", "width", "epsilon")  # fields that a design leaves open


def shallow(row):
    """Return the row with at most two of the equal blocks in a stage, which has all that a deeper one has.

    The first block of a stage of a ResNet differs from the second; equal Inception modules do not.
    """
    if isinstance(row, VGG):  # whose stages are alike; the third convolution of one can be pointwise
        return replace(row, depths=(1, 1, 1, 1, 3 if row.pointwise else 2))
    if hasattr(row, "depths"):
        return replace(row, depths=tuple(min(depth, 2) for depth in row.depths))
    if not hasattr(row, "modules"):
        return row
    kinds = [(list(module.branches.values()), module.scale) for module in row.modules]
    kept = [module for i, module in enumerate(row.modules) if i == 0 or kinds[i - 1] != kinds[i]]
    return replace(row, modules=tuple(kept))


def design(name):
    """Return what two models of the same design have in common."""
    row = shallow(cnnzoo.info(name).row)
    values = {field.name: getattr(row, field.name) for field in fields(row) if field.name not in NUMBERS}
    if hasattr(row, "width"):
        values["groups"] = row.groups > 1
    return type(row).__name__, repr(values)
