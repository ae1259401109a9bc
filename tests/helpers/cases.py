"""Real-world cases: what people bring, and the right outcome, as rows of a table."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest


@dataclass(frozen=True)
class Case:
    """One kind of input as another tool writes it.

    Attributes:
        name: Test id, a few words.
        source: The public report, as `keras#9985`, or the tool that writes such files.
        make: Writes the input below a folder, and returns what the user would pass.
        expected: What the test compares with: a value, or the pattern of an error message.
    """

    name: str
    source: str
    make: Callable[[Path], Any]
    expected: Any


def parametrize_cases(cases: list[Case]):
    """Return the decorator that runs a test with `case` as each of `cases`."""
    return pytest.mark.parametrize("case", cases, ids=lambda case: case.name)
