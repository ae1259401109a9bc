"""Streams as tf.data, Keras, torch, Hugging Face and generators give them: read rightly, or refused with the remedy.

All streams are of the same 24 images, whose classes alternate. A case that is read expects an `Outcome`, and one that
is refused the message.
"""

import itertools
import re
import types
from dataclasses import dataclass

import keras
import numpy as np
import pytest
from helpers.cases import Case, parametrize_cases
from helpers.image_files import make_scene
from PIL import Image

import cnnzoo
from cnnzoo.data import streams

COUNT = 24
X = np.stack([make_scene(12, 14, seed=i) for i in range(COUNT)])
Y = np.arange(COUNT) % 2
WEIGHTS = np.arange(COUNT) / 8
NAMES = np.array(["cat", "dog"])[Y]
DARK = np.zeros((4, 12, 14, 3))
PIXELS = {image.tobytes(): i for i, image in enumerate(X)}


@dataclass(frozen=True)
class Outcome:
    """What a stream that is read must come to."""

    classes: tuple = ("0", "1")  # of the labels 0 and 1
    weights: bool = False  # WEIGHTS stay with their images
    test: tuple = ()  # the images of the test split, if the source gives it
    note: str = ""  # pattern of a note


def tf_data(*components, batch=0):
    """Return a function that makes a tf.data.Dataset of the components of its elements."""

    def make(folder):
        import tensorflow as tf

        dataset = tf.data.Dataset.from_tensor_slices(components if len(components) > 1 else components[0])
        return dataset.batch(batch) if batch else dataset

    return make


def generate(*components, batch=0):
    """Return a function that makes a generator of tuples."""

    def make(folder):
        if batch:
            return (tuple(c[i : i + batch] for c in components) for i in range(0, COUNT, batch))
        return zip(*components, strict=True)

    return make


class Batches(keras.utils.PyDataset):
    """Batches of six images, with weights, as Keras takes them."""

    def __len__(self):
        return COUNT // 6

    def __getitem__(self, i):
        rows = slice(6 * i, 6 * i + 6)
        return X[rows], np.eye(2)[Y[rows]], WEIGHTS[rows]


class Loader:
    """Batches as torch.utils.data.DataLoader gives them: lists, of an object that has the data set."""

    def __init__(self, tensor=np.asarray):
        self.tensor, self.dataset = tensor, types.SimpleNamespace(classes=["cat", "dog"])

    def __len__(self):
        return COUNT // 6

    def __iter__(self):
        return ([self.tensor(X[i : i + 6]), self.tensor(Y[i : i + 6])] for i in range(0, COUNT, 6))


class Tensor:
    """A tensor of torch: channels first, and NumPy can read it."""

    __module__ = "torch"

    def __init__(self, values):
        self.values = values.transpose(0, 3, 1, 2) if values.ndim == 4 else values

    def __array__(self, dtype=None, copy=None):
        return self.values

    def __len__(self):
        return len(self.values)


class ImageFolder:
    """Pairs of an image of Pillow and an index, as torchvision.datasets.ImageFolder gives them."""

    classes = ("cat", "dog")

    def __len__(self):
        return COUNT

    def __getitem__(self, i):
        return Image.fromarray(X[i]), int(Y[i])


class Rows:
    """Rows of datasets.Dataset of Hugging Face, with the names of the classes in its features."""

    features = types.MappingProxyType({"image": None, "label": types.SimpleNamespace(names=["cat", "dog"])})
    column_names = ("image", "label")

    def __iter__(self):
        return (
            {"image": Image.fromarray(x), "label": int(y), "id": i} for i, (x, y) in enumerate(zip(X, Y, strict=True))
        )

    def __len__(self):
        return COUNT


READ = [
    # Weights
    Case("weights in batches", "tensorflow#47968", tf_data(X, Y, WEIGHTS, batch=8), Outcome(weights=True)),
    Case("weights one by one", "tensorflow#33550", tf_data(X, Y, WEIGHTS), Outcome(weights=True)),
    Case("weights in columns", "sibling of R15", tf_data(X, Y, WEIGHTS[:, None], batch=8), Outcome(weights=True)),
    Case("weights of a PyDataset", "sibling of R15", lambda folder: Batches(), Outcome(weights=True)),
    Case("weights of a generator", "sibling of R15", generate(X, Y, WEIGHTS, batch=8), Outcome(weights=True)),
    Case(
        "weights in a dict",
        "sibling of R15",
        tf_data({"image": X, "label": Y, "weight": WEIGHTS}),
        Outcome(weights=True),
    ),
    Case(
        "weights of pairs",
        "sibling of R15",
        lambda folder: list(zip(X, Y, WEIGHTS, strict=True)),
        Outcome(weights=True),
    ),
    Case("weights of arrays", "sibling of R15", lambda folder: (X, Y, WEIGHTS), Outcome(weights=True)),
    Case(
        "names as a third part",
        "sibling of R15",
        tf_data(X, Y, [f"{i}.png" for i in range(COUNT)], batch=8),
        Outcome(note=r"component 3 of its elements \(text\) is not used"),
    ),
    Case(
        "boxes as a third part",
        "sibling of R15",
        tf_data(X, Y, np.zeros((COUNT, 4)), batch=8),
        Outcome(note=r"component 3 .*float64 of shape \(4,\)"),
    ),
    # Ranges
    Case("a black image", "field 14.1", tf_data(np.concatenate([DARK[:1], X[1:].astype(float)]), Y), Outcome()),
    Case("a black batch", "field 14.1", tf_data(np.concatenate([DARK, X[4:].astype(float)]), Y, batch=4), Outcome()),
    Case(
        "a dark batch",
        "field 14.1",
        tf_data(np.concatenate([DARK + np.array([0, 0.5, 1]), X[4:].astype(float)]), Y, batch=4),
        Outcome(),
    ),
    # Labels
    Case(
        "labels from 1", "remicres/otbtf#11", tf_data(X, Y + 1, batch=8), Outcome(("1", "2"), note="Labels begin at 1")
    ),
    Case("labels -1 and 1", "field R25", tf_data(X, 2 * Y - 1, batch=8), Outcome(("-1", "1"), note="numbers -1, 1")),
    Case("one-hot", "keras-io#1549", tf_data(X, np.eye(2)[Y], batch=8), Outcome()),
    Case("one-hot, one by one", "sibling of R26", tf_data(X, np.eye(2, dtype="int64")[Y]), Outcome()),
    Case("booleans", "sibling of R26", tf_data(X, Y > 0, batch=8), Outcome(("False", "True"))),
    Case("names", "tf.data", tf_data(X, NAMES, batch=8), Outcome(("cat", "dog"))),
    # Kinds of streams
    Case("a generator", "field R26", generate(X, Y), Outcome()),
    Case("a generator of batches", "field R26", generate(X, NAMES, batch=7), Outcome(("cat", "dog"))),
    Case(
        "pairs",
        "field R26",
        lambda folder: [(x, name) for x, name in zip(X, NAMES, strict=True)],
        Outcome(("cat", "dog")),
    ),
    Case(
        "pairs with Pillow",
        "field R26",
        lambda folder: [(Image.fromarray(x), int(y)) for x, y in zip(X, Y, strict=True)],
        Outcome(),
    ),
    Case("a data loader", "field R26", lambda folder: Loader(), Outcome(("cat", "dog"))),
    Case(
        "a data loader of tensors",
        "field R26",
        lambda folder: Loader(Tensor),
        Outcome(("cat", "dog"), note="channels first"),
    ),
    Case("ImageFolder", "torchvision", lambda folder: ImageFolder(), Outcome(("cat", "dog"))),
    Case(
        "rows",
        "huggingface/datasets",
        lambda folder: Rows(),
        Outcome(("cat", "dog"), note="not used in its elements: id"),
    ),
    Case(
        "two data sets",
        "image_dataset_from_directory",
        lambda folder: (tf_data(X[:16], Y[:16])(0), tf_data(X[16:], Y[16:])(0)),
        Outcome(test=tuple(range(16, 24))),
    ),
    Case(
        "three data sets",
        "field R26",
        lambda folder: (tf_data(X[:12], Y[:12])(0), tf_data(X[12:16], Y[12:16])(0), tf_data(X[16:], Y[16:])(0)),
        Outcome(test=tuple(range(16, 24))),
    ),
    Case(
        "three arrays",
        "field R26",
        lambda folder: ((X[:12], Y[:12]), (X[12:16], Y[12:16]), (X[16:], Y[16:])),
        Outcome(test=tuple(range(16, 24))),
    ),
    Case(
        "arrays by split",
        "field R26",
        lambda folder: {"train": (X[:16], Y[:16]), "test": (X[16:], Y[16:])},
        Outcome(test=tuple(range(16, 24))),
    ),
]

MULTI_HOT = np.stack([np.ones(COUNT), Y, 1 - Y], axis=1)
TAGS = np.array(["haze", "clear", "haze clear"])[np.arange(COUNT) % 3]
REFUSED = [
    Case(
        "multi-hot",
        "field 14.1",
        tf_data(X, MULTI_HOT, batch=8),
        r"one class only; .*has 2 ones, so the image has several labels",
    ),
    Case("multi-hot, one by one", "sibling", tf_data(X, MULTI_HOT.astype("int32")), "several labels .multi-hot"),
    Case("multi-hot arrays", "sibling", lambda folder: (X, MULTI_HOT), "several labels .multi-hot"),
    Case("tags", "Planet, kaggle", tf_data(X, TAGS, batch=8), "'haze clear' looks like 2 labels"),
    Case(
        "lists of labels",
        "sibling",
        lambda folder: [(x, t.split()) for x, t in zip(X, TAGS, strict=True)],
        "one class only; image 0 has 2 labels",
    ),
    Case(
        "shares of classes",
        "mixup",
        tf_data(X, np.full((COUNT, 2), 0.5), batch=8),
        "a single 1 in each row; shares.*argmax",
    ),
    Case("dict of labels", "keras functional", tf_data(X, {"a": Y, "b": Y}), "a dict of labels .a, b.; keep one"),
    Case("no labels", "tf.data", tf_data(X), "must yield pairs"),
    Case(
        "0 to 1",
        "image_dataset_from_directory",
        tf_data(X / 255, Y, batch=8),
        "floats from 0 up to 1; multiply them by 255",
    ),
    Case(
        "-1 to 1",
        "mobilenet preprocessing",
        tf_data(X / 127.5 - 1, Y, batch=8),
        r"floats from -1 up to 1; .*\(images \+ 1\) \* 127.5",
    ),
    Case(
        "0 to 1 after a black image",
        "sibling",
        tf_data(np.concatenate([DARK[:1], X[1:] / 255]), Y),
        "multiply them by 255",
    ),
    Case("16 bits", "microscopes", tf_data(X.astype("uint16") * 257, Y), "divide 16-bit pixels by 257"),
    Case(
        "negative weights", "sibling of R15", tf_data(X, Y, -WEIGHTS, batch=8), "weights must be finite and at least 0"
    ),
    Case("NaN weights", "sibling of R15", tf_data(X, Y, WEIGHTS * np.nan, batch=8), "weights must be finite"),
    Case(
        "an endless generator",
        "keras flow",
        lambda folder: zip(itertools.cycle(X), itertools.cycle(Y), strict=False),
        "infinite: .*itertools.islice",
    ),
    Case("an empty generator", "sibling", lambda folder: iter(()), "it yields nothing"),
    Case(
        "a function",
        "from_generator",
        lambda folder: lambda: generate(X, Y)(0),
        r"the function <lambda>; pass what it returns",
    ),
    Case(
        "a label too many",
        "field R25",
        lambda folder: Loader(lambda v: v if v.ndim == 4 else v + 1),
        "names for 2 classes. Received: the label 2; labels that begin at 1",
    ),
]


@pytest.mark.filterwarnings("ignore:4 of 23 images have no value above 1")
@pytest.mark.filterwarnings("ignore:4 of 24 images have no value above 1")
@parametrize_cases(READ)
def test_streams_that_are_read(case):
    expected = case.expected
    data = cnnzoo.load_data(case.make(None))
    assert set(data.classes) == set(expected.classes)
    for split in data.splits.values():
        numbers = [PIXELS.get(np.asarray(image).tobytes()) for image in split.images]
        for label, i in zip(split.labels, numbers, strict=True):
            assert i is None or data.classes[label] == expected.classes[Y[i]]
        if expected.weights:
            assert split.weights.tolist() == [WEIGHTS[i] for i in numbers]
        else:
            assert split.weights is None
    if expected.test:
        assert sorted(PIXELS[np.asarray(image).tobytes()] for image in data.test.images) == list(expected.test)
    assert re.search(expected.note, "\n".join(data.notes)), data.notes


@parametrize_cases(REFUSED)
def test_streams_that_are_refused(monkeypatch, case):
    monkeypatch.setattr(streams, "ENDLESS_AFTER", 2 * COUNT)
    source = case.make(None)
    with pytest.raises(cnnzoo.InputError, match=case.expected):
        cnnzoo.load_data(source)


def test_some_images_divided_by_255_are_pointed_out():
    mixed = np.concatenate([X[:4] / 255, X[4:].astype(float)])
    with pytest.warns(UserWarning, match="4 of 24 images have no value above 1, and others go up to"):
        cnnzoo.load_data(tf_data(mixed, Y, batch=4)(None))
