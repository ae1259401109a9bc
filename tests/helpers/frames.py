"""Data frames for the tests: pandas' where it is installed, or else a stand-in with a part of its interface."""

import importlib.util
from types import SimpleNamespace

import numpy as np


class StandInFrame:
    """Columns of values, as polars.DataFrame and pandas.DataFrame have them."""

    def __init__(self, columns, dtypes):
        self._values, self.columns, self.dtypes = columns, list(columns), list(dtypes)

    def __len__(self):
        return len(next(iter(self._values.values()), ()))

    def __getitem__(self, name):
        return SimpleNamespace(to_list=lambda: list(self._values[name]))


def make_frame(columns, dtypes=None):
    """Return a data frame of columns; `dtypes` are pandas' names of types by column."""
    if importlib.util.find_spec("pandas"):
        import pandas

        return pandas.DataFrame(columns).astype(dtypes or {})
    kinds = {"U": "str", "i": "int64", "f": "float64", "b": "bool"}
    found = {name: kinds.get(np.asarray(values[:1]).dtype.kind, "object") for name, values in columns.items()}
    return StandInFrame(columns, (found | (dtypes or {})).values())
