"""HDF5 files with layers as Keras 1 and 2 write them."""

import io

import h5py
import numpy as np

KERNEL = np.arange(60, dtype="float32").reshape(5, 12)


def write_hdf5(fill, where=None):
    """Return the bytes of a file whose root (or group `where`) `fill` has filled."""
    content = io.BytesIO()
    with h5py.File(content, "w") as new:
        fill(new.create_group(where) if where else new)
    return content.getvalue()


def fixed_length(names):
    """Return names as strings of fixed length, as Keras writes them."""
    return np.array(names, "S")


def add_layers(root, names=("conv", "bn"), written=fixed_length, **options):
    """Add layers with a kernel and a bias to a group; `written` makes arrays of names."""
    root.attrs["layer_names"] = written(names)
    for name in names:
        group = root.create_group(name)
        group.attrs["weight_names"] = written([f"{name}/kernel:0", "net/bias:0"])
        group.create_dataset(f"{name}/kernel:0", data=KERNEL, **options)
        group["net/bias:0"] = np.ones(3)
