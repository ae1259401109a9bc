"""Read the files of a checkpoint: one, or the shards that an index lists, and the configuration beside them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnnzoo.checkpoints.readers import Checkpoint, read_checkpoint
from cnnzoo.core.errors import InputError
from cnnzoo.core.json_files import parse_json, read_json_value
from cnnzoo.core.paths import nearest_path

if TYPE_CHECKING:
    import numpy as np

MAX_FILE_BYTES = 4 * 2**30  # of a checkpoint, or of all its shards
MAX_SHARDS = 1000
SHARD_NAME = re.compile(r"(?P<stem>.+)-\d{5}-of-(?P<count>\d{5})\.(?P<suffix>safetensors|bin)")
# The files of the Hugging Face hub, whose config.json describes them.
HUB_NAME = re.compile(r"(model|pytorch_model)(-\d{5}-of-\d{5})?\.(safetensors|bin)(\.index\.json)?")


def read_file_bytes(path: Path) -> bytes:
    """Return the bytes of a file that is not too large, or raise InputError."""
    try:
        if path.is_dir():
            raise InputError(f"Cannot read the weights {str(path)!r}: it is not a file{_list_weight_files(path)}")
        if path.exists() and not path.is_file():
            raise InputError(f"Cannot read the weights {str(path)!r}: it is not a file")
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            raise InputError(
                f"Cannot read the weights {str(path)!r}: it has {size:,} bytes, more than {MAX_FILE_BYTES:,}"
            )
        return path.read_bytes()
    except InputError:
        raise
    except OSError as error:
        near = nearest_path(path) if isinstance(error, FileNotFoundError) else ""
        hint = f". Did you mean {near}?" if near else ""
        raise InputError(f"Cannot read the weights {str(path)!r}: {error.strerror}{hint}") from None
    except ValueError as error:  # a null byte or a lone surrogate in the path
        raise InputError(f"Cannot read the weights {str(path)!r:.200}: {error}") from None


def _list_weight_files(folder: Path) -> str:
    """Return the files in a folder that may be meant, for the message that a folder is not weights."""
    suffixes = (".safetensors", ".index.json", ".bin", ".pth", ".pt", ".ckpt", ".h5", ".keras", ".npz")
    names = sorted(str(path) for path in folder.iterdir() if path.name.endswith(suffixes))[:4]
    return f". Pass one of its files: {', '.join(names)}" if names else ""


def read_shards(path: Path, content: bytes) -> Checkpoint:
    """Return all tensors of the shards that an index lists, as the Hugging Face hub has them.

    Raises:
        InputError: if the index is broken, if a shard is missing or lies elsewhere, or if a tensor is not in its shard.
    """
    index = parse_json(content, path.name)
    weight_map = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(weight_map, dict) or not all(isinstance(file, str) for file in weight_map.values()):
        raise InputError(f"{path.name} is not the index of a checkpoint: it has no weight_map of file names")
    files = dict.fromkeys(weight_map.values())
    if len(files) > MAX_SHARDS or any(Path(file).name != file for file in files):
        raise InputError(f"{path.name} lists more than {MAX_SHARDS} files, or files that are not in its folder")
    shards: dict[str, dict[str, np.ndarray]] = {}
    total = 0
    for file in files:
        shard = read_file_bytes(path.parent / file)
        total += len(shard)
        if total > MAX_FILE_BYTES:
            raise InputError(f"The shards of {path.name} have more than {MAX_FILE_BYTES:,} bytes")
        shards[file] = read_checkpoint(shard, file).tensors
    if lost := [name for name, file in weight_map.items() if name not in shards[file]]:
        raise InputError(f"{path.name} lists tensors that their files do not have: {', '.join(lost[:5])}")
    tensors = {name: shards[file][name] for name, file in weight_map.items()}
    return Checkpoint({"": lambda: tensors})


def check_not_shard(path: Path) -> None:
    """Raise InputError if a file is one of several shards, with the index to pass instead."""
    match = SHARD_NAME.fullmatch(path.name)
    if match and int(match["count"]) > 1:
        index = path.with_name(f"{match['stem']}.{match['suffix']}.index.json")
        where = "" if index.exists() else ", which must lie beside the shards"
        raise InputError(
            f"{path.name} is one of {int(match['count'])} shards of a checkpoint. Pass its index{where}: "
            f"weights={str(index)!r}"
        )


def read_neighbor_config(path: Path) -> dict[str, Any]:
    """Return the config.json beside a checkpoint from the Hugging Face hub, or {} if there is none."""
    config = path.with_name("config.json")
    if not HUB_NAME.fullmatch(path.name) or not config.is_file():
        return {}
    try:
        values = read_json_value(config)
    except InputError:  # it is not needed to load the weights
        return {}
    return values if isinstance(values, dict) else {}
