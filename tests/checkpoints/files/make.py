"""Write the files of this folder. Run by hand with PyTorch installed, which the tests do not need."""

from collections import OrderedDict
from pathlib import Path

import numpy as np
import torch

HERE = Path(__file__).parent


def make_state_dict():
    """Return a state dict with one of everything that it may hold."""
    torch.manual_seed(0)
    base = torch.randn(4, 6)
    state = OrderedDict(
        {
            "float32": base,
            "shared": base[1:3],  # a view of the same storage
            "transposed": torch.randn(2, 3).T,
            "sliced": torch.arange(24.0).reshape(2, 3, 4)[:, 1:, ::2],
            "expanded": torch.tensor([1.5]).expand(3),
            "float16": torch.randn(5).half(),
            "float64": torch.randn(2).double(),
            "bfloat16": torch.randn(3, 2).bfloat16().T,
            "bool": torch.tensor([True, False]),
            "uint8": torch.arange(3, dtype=torch.uint8),
            "num_batches_tracked": torch.tensor(7),
            "empty": torch.zeros(0, 3),
            "parameter": torch.nn.Parameter(torch.randn(3)),
        }
    )
    state._metadata = OrderedDict({"": {"version": 1}})
    return state


if __name__ == "__main__":
    state = make_state_dict()
    expected = {name: (x.float() if name == "bfloat16" else x).detach() for name, x in state.items()}
    np.savez_compressed(HERE / "expected.npz", **{name: x.numpy() for name, x in expected.items()})
    whole = {"epoch": 3, "arch": "net", "best": 0.5, "size": torch.Size([2, 3]), "dtype": torch.float32}
    whole |= {
        "best_prec1": torch.tensor(90.5),
        "state_dict": state,
        "optimizer": {"state": {0: {"step": 1}}, "groups": [1]},
    }
    for legacy in (False, True):
        save = {"_use_new_zipfile_serialization": not legacy}
        suffix = "legacy.th" if legacy else "zip.pth"
        torch.save(state, HERE / f"plain_{suffix}", **save)
        torch.save(whole, HERE / f"wrapped_{suffix}", pickle_protocol=4, **save)
        torch.save(torch.nn.Linear(2, 1), HERE / f"module_{suffix}", **save)
    torch.save({"x": torch.tensor([1, 2, 40000], dtype=torch.uint16)}, HERE / "uint16_zip.pth")
