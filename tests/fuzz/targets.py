"""What is fuzzed: files that are read rightly, and the functions that read them."""

import hashlib
import io
import json
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

TORCH_FILES = Path(__file__).parents[1] / "checkpoints" / "files"


@dataclass(frozen=True)
class Target:
    """One file that is mutated.

    Attributes:
        name: such as checkpoints/deflated.npz.
        content: the bytes of the file.
        read: returns what mutated bytes hold: {name: digest}. It raises InputError if they are refused.
        has_checksum: whether damage can be noticed, so that another answer under the same name is a failure.
        span: the part of the file that is mutated; the whole file by default.
    """

    name: str
    content: bytes
    read: Callable[[bytes], dict[str, str]]
    has_checksum: bool = False
    span: tuple[int, int] | None = field(default=None)


def digest(*values: Any) -> str:
    """Return a digest of arrays, with their types and shapes, and of other values."""
    whole = hashlib.sha256()
    for value in values:
        if isinstance(value, np.ndarray):
            whole.update(f"{value.dtype}{value.shape}".encode() + value.tobytes())
        else:
            whole.update(repr(value).encode(errors="surrogatepass"))
    return whole.hexdigest()


# ---- Checkpoints


def checkpoints(folder: Path) -> list[Target]:
    """Every format; zip archives hold a CRC-32 of each member, and HDF5 may hold a Fletcher-32 of each chunk."""
    import h5py
    from safetensors.numpy import save

    rng = np.random.default_rng(0)
    arrays = {name: rng.normal(size=shape).astype("float32") for name, shape in {"a": (8, 9), "b.c": (7,)}.items()}

    def to_npz(write):
        out = io.BytesIO()
        write(out, **arrays)
        return out.getvalue()

    def to_h5(**options):
        out = io.BytesIO()
        with h5py.File(out, "w") as file:
            group = file.create_group("layer")
            group.attrs["weight_names"] = [b"layer/a", b"layer/b.c"]
            file.attrs["layer_names"] = [b"layer"]
            for name, array in arrays.items():
                group.create_dataset(f"layer/{name}", data=array, **options)
        return out.getvalue()

    def to_zip(content):
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("w.h5", content)
        return out.getvalue()

    files = {
        "w.safetensors": save(arrays),
        "stored.npz": to_npz(np.savez),
        "deflated.npz": to_npz(np.savez_compressed),
        "w.h5": to_h5(),
        "gzip.h5": to_h5(chunks=True, compression="gzip"),
        "w.h5.zip": to_zip(to_h5()),
        **{name: (TORCH_FILES / name).read_bytes() for name in ("plain_zip.pth", "wrapped_legacy.th")},
    }
    zipped = (".npz", ".zip", "_zip.pth")
    targets = [Target(f"checkpoints/{n}", c, _read_checkpoint(n), n.endswith(zipped)) for n, c in files.items()]

    summed = to_h5(chunks=True, fletcher32=True)
    with h5py.File(io.BytesIO(summed)) as file:
        chunk = file["layer/layer/a"].id.get_chunk_info(0)
    span = (chunk.byte_offset, chunk.byte_offset + chunk.size)
    return [*targets, Target("checkpoints/fletcher.h5", summed, _read_checkpoint("f.h5"), True, span)]


def _read_checkpoint(name):
    def read(content):
        from cnnzoo.checkpoints.readers import read_checkpoint

        checkpoint = read_checkpoint(content, name)
        return {f"{set_name} {key}": digest(v) for set_name, r in checkpoint.sets.items() for key, v in r().items()}

    return read


# ---- Run states and cards


def states(folder: Path) -> list[Target]:
    """The three files of a state, as written, and as version 0.7 wrote them, without any digests."""
    import keras

    from cnnzoo.training.state import TrainingState, write_state

    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
    model.compile("sgd", "mse")
    base = folder / "state"
    if not base.exists():
        history = {name: [0.5, 0.25] for name in ("loss", "accuracy", "val_loss", "val_accuracy")}
        state = TrainingState(2, 3, history, 1, (0.5, -0.25), False, 0.1, {"validation_accuracy": 0.5, "accuracy": 0.5})
        write_state(base, state, 23, model, [np.asarray(weight) for weight in model.weights])
    [written] = [path for path in base.glob("step-*") if path.name[5:].isdigit()]
    targets = []
    for base, version in ((written, ""), (_without_digests(written, "state.json"), " of 0.7")):
        for path in sorted(base.iterdir()):
            has_checksum = not version or path.suffix == ".npz"
            read = _read_state(base, path.name, folder, model)
            targets.append(Target(f"states/{path.name}{version}", path.read_bytes(), read, has_checksum))
    return targets


def _without_digests(base, name):
    """Return a copy of a folder whose JSON file holds no digests, so that they do not hide what is behind them."""
    copy = base.with_name(f"{base.name}-without-digests")
    if not copy.exists():
        shutil.copytree(base, copy)
        values = json.loads((copy / name).read_bytes())
        values = {key: value for key, value in values.items() if key not in ("files", "sha256")}
        (copy / name).write_text(json.dumps(values))
    return copy


def _read_state(written, name, folder, model):
    def read(content):
        from cnnzoo.training.state import read_state, restore_state

        changed = _copy_with(written, name, content, folder / "changed-state")
        state = read_state(changed)
        best, metrics = restore_state(changed, model)
        variables = [np.asarray(variable) for variable in (*model.variables, *model.optimizer.variables)]
        return {"state": digest(sorted(vars(state).items())), "arrays": digest(*best, *metrics, *variables)}

    return read


def _copy_with(base, name, content, folder):
    """Return a copy of a folder in which the file `name` has other bytes."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(base, folder)
    (folder / name).write_bytes(content)
    return folder


def cards(folder: Path) -> list[Target]:
    """Cards in JSON, which people may edit, so that another value is no failure."""
    from cnnzoo.cards import Card

    card = Card("lenet5", ("cat", "dog"), transform={"crop": 0.875, "interpolation": "bicubic"}, ids=("n1", "n2"))

    def read(content):
        file = folder / "m.card.json"
        file.write_bytes(content)
        return {"card": digest(Card.from_file(file))}

    return [Target("cards/m.card.json", card.to_json().encode(), read)]


# ---- Exports


def exports(folder: Path) -> list[Target]:
    """Each file of an export in every installed format; cnnzoo.json holds digests, except for that of version 0.7."""
    import cnnzoo
    from cnnzoo.runtimes.choose import FORMATS, is_installed

    targets = []
    for format, runtime in FORMATS.items():
        if not is_installed(runtime.name):
            continue
        base = folder / format
        if not base.exists():
            cnnzoo.export(cnnzoo.get("lenet5", weights="digits"), base, format)
        for exported, version in ((base, ""), (_without_digests(base, "cnnzoo.json"), " of 0.7")):
            for path in sorted(exported.rglob("*")):
                if path.is_file() and path.name != "model_card.md":
                    name = path.relative_to(exported).as_posix()
                    read = _read_export(exported, name, folder)
                    targets.append(Target(f"exports/{format}/{name}{version}", path.read_bytes(), read, not version))
    return targets


def _read_export(base, name, folder):
    def read(content):
        import cnnzoo

        classifier = cnnzoo.load(_copy_with(base, name, content, folder / "changed-export"))
        image = np.arange(784, dtype="uint8").reshape(1, 28, 28, 1)
        probabilities = classifier.probabilities(image).round(3) + 0.0
        return {"card": digest(classifier.card), "answer": digest(probabilities)}

    return read


# ---- Images


def images(folder: Path) -> list[Target]:
    """Every format in both decoders. Both may read what is left of a damaged image, and they differ in that."""
    from helpers.image_files import valid_files

    # None of the checks of a PNG ends in the same pixels, but both decoders stop at the last row.
    targets = []
    for name, (content, *_) in valid_files().items():
        targets += [Target(f"images/{name} in Pillow", content, _decode_by_pillow)]
        targets += [Target(f"images/{name} in TensorFlow", content, _decode_by_tensorflow)]
    return targets


def _decode_by_pillow(content):
    import cnnzoo

    return {"pixels": digest(cnnzoo.Transform((24, 24), 3, crop=0.875)(content))}


def _decode_by_tensorflow(content):
    import tensorflow as tf

    import cnnzoo
    from cnnzoo.runtimes.decode_graph import decode_files

    if not GRAPHS:
        transform = cnnzoo.Transform((24, 24), 3, crop=0.875)
        signature = [tf.TensorSpec((None,), tf.string)]
        GRAPHS.append(tf.function(lambda contents: decode_files(contents, transform), input_signature=signature))
    pixels, is_decoded = GRAPHS[0](tf.constant([content]))
    if not bool(is_decoded[0]):
        raise cnnzoo.InputError("not decoded")
    return {"pixels": digest(pixels.numpy())}


GRAPHS: list[Any] = []  # the graph that decodes, once it is traced


# ---- Packed data, and shards of predictions


def packed(folder: Path) -> list[Target]:
    """The files of packed data; also made by somebody who knows the format, so that no digest hides what is behind."""
    from helpers.image_files import write_class_folders

    import cnnzoo

    base = folder / "packed"
    if not base.exists():
        cnnzoo.pack(write_class_folders(folder / "photos", {"a": 3, "b": 3}, size=(9, 8)), base, shards=1)
    manifest, index, shard = (
        next(base.glob(pattern)) for pattern in ("packed.json", "images-*.json", "*.array_record")
    )
    unsigned = json.dumps({k: v for k, v in json.loads(manifest.read_bytes()).items() if k != "sha256"}).encode()
    return [
        Target("packed/packed.json", manifest.read_bytes(), _read_packed(base, manifest.name), True),
        Target("packed/packed.json without digest", unsigned, _read_packed(base, manifest.name)),
        Target("packed/index", index.read_bytes(), _read_packed(base, index.name), True),
        Target("packed/index with its digest", index.read_bytes(), _read_packed(base, index.name, signs=True)),
        Target("packed/shard", shard.read_bytes(), _read_packed(base, shard.name), True),
    ]


def _read_packed(base, name, signs=False):
    def read(content):
        from cnnzoo.core.json_files import read_json, write_json
        from cnnzoo.data.packed import list_packed

        changed = _copy_with(base, name, content, base.with_name("changed-packed"))
        if signs:
            manifest = read_json(changed / "packed.json", {})
            manifest["shards"][0]["index_sha256"] = hashlib.sha256(content).hexdigest()
            write_json(changed / "packed.json", manifest, add_sum=True)
        source, listing = list_packed(changed)
        answers = {f"{i}": digest(image.source.read()) for i, image in enumerate(listing.images)}
        labels = [(image.name, image.label, image.split, image.group) for image in listing.images]
        return answers | {"source": digest(source, labels, listing.notes, listing.left_out)}

    return read


def shards(folder: Path) -> list[Target]:
    """The file and the record of one of two shards; also without digests."""
    import cnnzoo
    from cnnzoo.cards import Card
    from cnnzoo.runtimes.choose import OpenRuntime

    def compute(pixels):
        return np.full((len(pixels), 2), 0.5, "float32")

    targets = []
    card, opened = Card("lenet5", ("cat", "dog")), OpenRuntime("none", "float32", compute)
    classifier = cnnzoo.Classifier(card, (28, 28, 1), lambda: opened, "none", "float32")  # a network takes seconds
    pixels = np.arange(9 * 784, dtype="uint8").reshape(9, 28, 28, 1)
    for suffix in (".csv", ".jsonl", ".parquet"):
        out = folder / f"answers{suffix}"
        base = out.with_name(f"{out.name}.shards")
        if not base.exists():
            for number in (1, 2):
                classifier.predict_to(out, pixels, top=2, shard=(number, 2), verbose=False)
        file, record = base / f"00001-of-00002{suffix}", base / "00001-of-00002.json"
        file = next(file.iterdir()) if file.is_dir() else file
        for path in (file, record):
            name = path.relative_to(base).as_posix()
            targets.append(Target(f"shards/{path.name}", path.read_bytes(), _read_shards(base, name), True))
            values = {k: v for k, v in json.loads(record.read_bytes()).items() if k != "sha256"} | {"digests": {}}
            unsigned = json.dumps(values).encode()
            content = unsigned if path == record else path.read_bytes()
            read = _read_shards(base, name, None if path == record else unsigned)
            targets.append(Target(f"shards/{path.name} without digests", content, read))
    return targets


def _read_shards(base, name, record=None):
    def read(content):
        import cnnzoo

        changed = _copy_with(base, name, content, base.with_name(f"changed-{base.name}"))
        if record is not None:
            (changed / "00001-of-00002.json").write_bytes(record)
        out = changed.with_name(changed.name.removesuffix(".shards"))
        result = cnnzoo.merge_predictions(changed, out, overwrite=True, verbose=False)
        if not out.is_dir():
            return {"rows": digest(out.read_bytes(), result[1:])}
        from pyarrow import parquet

        return {"rows": digest(parquet.read_table(out).to_pylist(), result[1:])}

    return read


KINDS = {
    "checkpoints": checkpoints,
    "states": states,
    "cards": cards,
    "exports": exports,
    "images": images,
    "packed": packed,
    "shards": shards,
}


def make_targets(kinds: list[str], folder: Path) -> list[Target]:
    """Return the targets of some kinds; what takes long to make is kept in `folder` for the next process."""
    return [target for kind in kinds for target in KINDS[kind](folder)]
