"""NumPy arrays in pickles, taken from the placeholders that `pickles` makes of them; nothing is called."""

import math
from typing import Any

import numpy as np

from cnnzoo.checkpoints.pickles import Opaque
from cnnzoo.checkpoints.torch_tensors import check_sizes
from cnnzoo.core.errors import InputError

# NumPy 2 renamed the modules `core` to `_core`.
RECONSTRUCT = ("numpy.core.multiarray._reconstruct", "numpy._core.multiarray._reconstruct")
FROM_BUFFER = ("numpy.core.numeric._frombuffer", "numpy._core.numeric._frombuffer")
DTYPES = {f"{kind}{size}" for kind, sizes in {"f": "248", "i": "1248", "u": "1248"}.items() for size in sizes} | {"b1"}


def is_numpy_array(value: Any) -> bool:
    """Return whether a placeholder stands for a NumPy array."""
    return type(value) is Opaque and value.name in RECONSTRUCT + FROM_BUFFER


def is_matrix(value: Opaque) -> bool:
    """Return whether the array of a placeholder has more than one dimension."""
    parts = value.args[2:3] if value.name in FROM_BUFFER else value.state[1:2] if type(value.state) is tuple else ()
    return bool(parts) and type(parts[0]) is tuple and len(parts[0]) > 1


def decode_numpy_array(value: Opaque) -> np.ndarray:
    """Return the array that a placeholder stands for; raise InputError if it does not consist of plain numbers."""
    if value.name in FROM_BUFFER:
        data, dtype, shape, order = value.args
        is_fortran = order == "F"
    else:
        _, shape, dtype, is_fortran, data = value.state
    if type(dtype) is not Opaque or dtype.name != "numpy.dtype" or dtype.args[0] not in DTYPES:
        raise InputError("it has a NumPy array that does not consist of plain numbers")
    big_endian = type(dtype.state) is tuple and dtype.state[1] == ">"
    numbers = np.dtype(dtype.args[0]).newbyteorder(">" if big_endian else "<")
    if not isinstance(data, bytes | bytearray) or math.prod(check_sizes(shape)) * numbers.itemsize != len(data):
        raise InputError("it has a NumPy array whose bytes do not fit its shape")
    return np.ndarray(shape, numbers, bytes(data), order="F" if is_fortran else "C")
