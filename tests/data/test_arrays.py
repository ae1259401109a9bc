"""load_data on arrays: what it takes, how it splits, and what it refuses."""

import numpy as np
import pytest
from helpers.images import make_blobs

import cnnzoo
from cnnzoo.data.arrays import NAMED_ARRAYS


def test_digits_are_images_of_0_to_255():
    data = cnnzoo.load_data("digits", splits=(0.7, 0.1, 0.2))
    assert [len(split) for split in data.splits.values()] == [1257, 180, 360]
    assert data.classes == tuple("0123456789")
    images = np.concatenate([split.images for split in data.splits.values()])
    assert images.shape == (1797, 8, 8, 1)
    assert images.dtype == np.uint8
    assert (images.min(), images.max()) == (0, 255)


def test_splits_are_disjoint_complete_stratified_and_seeded():
    data, same, other = (cnnzoo.load_data("digits", seed=seed) for seed in (3, 3, 4))
    names = [set(split.names) for split in data.splits.values()]
    assert sum(map(len, names)) == len(set.union(*names)) == 1797
    for split in data.splits.values():
        share = np.bincount(split.labels) / len(split)
        np.testing.assert_allclose(share, 0.1, atol=0.012)
    assert data.fingerprints == same.fingerprints
    assert set(data.fingerprints.values()).isdisjoint(other.fingerprints.values())
    assert list(data.test.names) == list(same.test.names) != list(other.test.names)


def test_labels_stay_with_their_images():
    x, y = make_blobs(90)
    data = cnnzoo.load_data((x, y), splits=(0.5, 0.25, 0.25))
    for split in data.splits.values():
        for image, label, name in zip(split.images, split.labels, split.names, strict=True):
            i = int(name.removeprefix("arrays[").removesuffix("]"))
            np.testing.assert_array_equal(image[..., 0], x[i])
            assert label == y[i]


def test_a_test_part_is_kept_whole(tmp_path):
    (x, y), (tx, ty) = make_blobs(60), make_blobs(30, seed=1)
    np.savez(tmp_path / "d.npz", x_train=x, y_train=y, x_test=tx, y_test=ty)
    data = cnnzoo.load_data(tmp_path / "d.npz", splits=(0.8, 0.1, 0.1))
    np.testing.assert_array_equal(data.test.images[..., 0], tx)
    assert [len(split) for split in data.splits.values()] == [54, 6, 30]
    nested = cnnzoo.load_data(((x, y), (tx, ty)))
    np.testing.assert_array_equal(nested.train.images, data.train.images)


def test_mnist(test_data):
    data = cnnzoo.load_data(test_data("mnist.npz"))
    assert [len(split) for split in data.splits.values()] == [54_000, 6_000, 10_000]


def test_labels_may_be_names():
    x, _ = make_blobs(30)
    data = cnnzoo.load_data((x, np.array(["dog", "cat", "owl"] * 10)), splits=(0.4, 0.3, 0.3))
    assert data.classes == ("cat", "dog", "owl")
    reordered = cnnzoo.load_data(
        (x, np.array(["dog", "cat", "owl"] * 10)), splits=(0.4, 0.3, 0.3), classes=["owl", "dog", "cat"]
    )
    assert reordered.classes == ("owl", "dog", "cat")
    assert set(reordered.train.names[reordered.train.labels == 0]) <= {f"arrays[{i}]" for i in range(2, 30, 3)}
    objects = cnnzoo.load_data((x, np.array(["dog", "cat", "owl"] * 10, object)), splits=(0.4, 0.3, 0.3))
    assert objects.classes == ("cat", "dog", "owl")
    column = cnnzoo.load_data((x, np.arange(30).reshape(30, 1) % 3), splits=(0.4, 0.3, 0.3))
    assert column.train.labels.ndim == 1


def test_data_prints_as_a_table():
    text = str(cnnzoo.load_data("digits"))
    assert "digits: 1,797 images of 8x8x1 in 10 classes" in text
    assert text.splitlines()[-1].split() == ["all", "1,437", "180", "180"]


def test_one_number_is_a_square():
    square, pair = (cnnzoo.load_data("digits", image_size=size) for size in (np.int64(16), [16, 16]))
    assert square.image_size == pair.image_size == (16, 16)


def test_another_size_than_the_models_is_refused():
    data = cnnzoo.load_data("digits", image_size=(16, 16))
    assert data.train.images.shape[1:] == (16, 16, 1)
    with pytest.raises(cnnzoo.InputError, match=r"resized to \(16, 16, 1\) already; the model takes \(32, 32, 1\)"):
        cnnzoo.evaluate(cnnzoo.get("lenet5"), data)


x, y = make_blobs(30)
BAD_INPUT = {
    "unknown name": ("digit", {}, "Did you mean digits"),
    "folder": ("cnnzoo", {}, "no images in sub-folders|set aside"),
    "rank": ((x[0], y[:12]), {}, r"shape \(12, 12\)"),
    "five axes": ((x[None, ..., None], y), {}, r"\(N, H, W\)"),
    "text for pixels": ((x.astype(str), y), {}, "arrays of numbers"),
    "lengths": ((x, y[:-1]), {}, "one for each of the 30"),
    "NaN": ((np.where(x > 200, np.nan, x), y), {}, "NaN"),
    "label above": ((x, y), {"classes": ["a", "b"]}, "outside the 2 classes a, b: 2"),
    "label below": ((x, y - 1), {"classes": ["a", "b", "c"]}, "outside.*-1"),
    "fractional label": ((x, y + 0.5), {}, "not whole: 0.5"),
    "unknown text label": (
        (x, np.array(["a", "b", "c"] * 10)),
        {"classes": ["a", "b"]},
        "outside the 2 classes a, b: c",
    ),
    "class of one": ((x, np.r_[np.zeros(29, int), 1]), {}, r"too few images of 1 \(1\)"),
    "too few for a split": ((x, y), {"splits": (0.9, 0.05, 0.05)}, "2 images for 3 classes"),
    "one class": ((x, y * 0), {}, "at least two classes"),
    "shares of classes": ((x, np.eye(3)[y] * 0.7 + 0.1), {}, r"argmax\(axis=1\)"),
    "multi-hot": ((x, np.minimum(np.eye(3)[y] + [1, 0, 0], 1)), {}, "one class only.*several labels"),
    "no class": ((x, np.eye(3)[y] * [1, 1, 0]), {}, "has none, so the image has no class"),
    "tags": ((x, np.array(["a", "b", "a b"] * 10)), {}, "'a b' looks like 2 labels"),
    "labels from 1 with names": ((x, y + 1), {"classes": ["a", "b", "c"]}, "Labels begin at 1; .*subtract 1"),
    "indices or names": ((x, y), {"classes": ["2", "1", "0"]}, r"the class '\d' or the index of '\d'"),
    "names and numbers": (((x, y), (x, np.array(["a", "b", "c"] * 10))), {}, "the same in both"),
    "negative weights": ((x, y, y - 1.0), {}, "at least 0 for each of the 30 images"),
    "few weights": ((x, y, [1.0, 2.0]), {}, "one number .*30 images"),
    "four arrays": ((x, y, y, y), {}, "more than images, labels and weights"),
    "text for weights": ((x, y, np.array(["a"] * 30)), {}, "must be an array of numbers"),
    "bytes": ((x, np.array([b"\xe9", b"a", b"b"] * 10)), {}, "must be UTF-8"),
    "dates": ((x, y.astype("datetime64[D]")), {}, "indices, names"),
    "channels first": ((np.zeros((30, 3, 12, 12)), y), {}, "channels last"),
    "16 bits": ((x.astype("uint16") * 257, y), {}, "divide 16-bit pixels by 257"),
    "classes by number": ((x, y), {"classes": 3}, "a list of at least two names"),
    "seed": ((x, y), {"seed": -1}, "seed must be a whole number"),
    "pad": ((x, y), {"pad": -1}, "pad must be a whole number"),
    "border": ((x, y), {"pad": 4, "image_size": (8, 8)}, "leaves nothing of 8x8"),
    "size": ((x, y), {"image_size": (8, 8, 1)}, r"one number or \(height, width\)"),
    "size in words": ((x, y), {"image_size": "large"}, "a side of image_size must be a whole number"),
    "split": ((x, y), {"splits": 5}, "three shares that add up to 1"),
    "NaN shares": ((x, y), {"splits": (np.nan, np.nan, np.nan)}, "three shares that add up to 1"),
    "a dict": ({"pixels": x, "kinds": y}, {}, "must have the keys train, validation and test.*of pixels, kinds"),
    "shares": ((x, y), {"splits": (0.8, 0.1, 0.2)}, "add up to 1"),
    "no arrays": (7, {}, "a name, a path, arrays"),
    "no labels": ((x, None), {}, r"Labels must be \(N,\)"),
    "incomplete test part": (((x, y), (x,)), {}, "a name, a path, arrays"),
    "ragged": (([x[0], x[0, :3]], y[:2]), {}, "a name, a path, arrays"),
    "no images": ((x[:0], y[:0]), {}, "no images"),
}


@pytest.mark.parametrize("case", BAD_INPUT)
def test_bad_input_is_explained(case):
    source, options, message = BAD_INPUT[case]
    with pytest.raises(cnnzoo.InputError, match=message):
        cnnzoo.load_data(source, **options)


def test_a_class_that_is_missing_in_the_test_part():
    with pytest.raises(cnnzoo.InputError, match="test split has no image of: 2"):
        cnnzoo.load_data(((x, y), (x[:2], y[:2])))


def test_hostile_and_broken_files_are_refused(tmp_path):
    ran = tmp_path / "ran"

    class Payload:
        def __reduce__(self):
            return (open, (str(ran), "w"))

    np.savez(tmp_path / "evil.npz", x=np.array([Payload()], object), y=np.array([0]))
    (tmp_path / "torn.npz").write_bytes(b"PK\x03\x04 half a zip")
    np.savez(tmp_path / "other.npz", images=x)
    for name, message in {"evil": "Cannot read", "torn": "Cannot read", "other": "Received: images"}.items():
        with pytest.raises(cnnzoo.InputError, match=message):
            cnnzoo.load_data(tmp_path / f"{name}.npz")
    assert not ran.exists(), "no pickle is ever executed"


def test_images_that_look_rescaled_get_a_warning():
    with pytest.warns(UserWarning, match="look rescaled already"):
        cnnzoo.load_data((x / 255, y), splits=(0.4, 0.3, 0.3))


def test_the_names_that_errors_suggest_exist():
    for name in NAMED_ARRAYS:
        assert len(cnnzoo.load_data(name).train)


def test_one_hot_labels_and_names_mean_the_same_as_indices():
    plain = cnnzoo.load_data((x, y), splits=(0.4, 0.3, 0.3))
    for labels in (np.eye(3)[y], np.eye(3, dtype=bool)[y], y.astype(float), list(y), y.astype(str), [[i] for i in y]):
        other = cnnzoo.load_data((x, labels), splits=(0.4, 0.3, 0.3))
        assert other.classes == ("0", "1", "2")
        assert other.fingerprints == plain.fingerprints
    named = cnnzoo.load_data((x, y + 1), splits=(0.4, 0.3, 0.3), classes=["1", "2", "3"])
    assert named.train.labels.tolist() == plain.train.labels.tolist()


@pytest.mark.parametrize(
    ("labels", "classes", "note"),
    [
        (y + 1, ("1", "2", "3"), "Labels begin at 1: the classes are named 1 to 3, and class index 0 is '1'."),
        (y * 10, ("0", "10", "20"), "The labels are the numbers 0, 10, 20: they name 3 classes"),
        (y - 1, ("0", "1", "-1"), "If -1 marks images without a label, remove them."),
        (y > 0, ("False", "True"), ""),
        (y, ("0", "1", "2"), ""),
    ],
)
def test_numbers_name_the_classes_and_a_note_says_how(labels, classes, note):
    data = cnnzoo.load_data((x, labels), splits=(0.4, 0.3, 0.3))
    assert data.classes == classes
    assert note in "\n".join(data.notes)
    assert bool(note) == bool(data.notes)


def test_booleans_are_indices_of_two_classes():
    data = cnnzoo.load_data((x, y > 0), splits=(0.4, 0.3, 0.3), classes=["no", "yes"])
    assert (data.train.labels == [int(y[int(name[7:-1])] > 0) for name in data.train.names]).all()


def test_weights_stay_with_their_images():
    data = cnnzoo.load_data((x, y, np.arange(30)), splits=(0.4, 0.3, 0.3))
    for split in data.splits.values():
        assert split.weights.tolist() == [int(name[7:-1]) for name in split.names]
    assert cnnzoo.load_data((x, y), splits=(0.4, 0.3, 0.3)).train.weights is None


def test_three_parts_and_dicts():
    parts = [make_blobs(30, seed=seed) for seed in range(3)]
    triple = cnnzoo.load_data(tuple(parts))
    for given, split in zip(parts, triple.splits.values(), strict=True):
        np.testing.assert_array_equal(split.images[..., 0], given[0])
    by_name = dict(zip(("test", "train", "val"), (parts[2], parts[0], parts[1]), strict=True))
    assert cnnzoo.load_data(by_name).fingerprints == triple.fingerprints
    keys = {"x_train": parts[0][0], "y_train": parts[0][1], "x_test": parts[2][0], "y_test": parts[2][1]}
    pair = cnnzoo.load_data((parts[0], parts[2]))
    assert cnnzoo.load_data(keys).fingerprints == pair.fingerprints
    with pytest.raises(cnnzoo.InputError, match="no training images"):
        cnnzoo.load_data({"validation": parts[0], "test": parts[1]})


def test_copies_of_test_images_leave_training_and_validation():
    parts = [make_blobs(30, seed=seed) for seed in range(3)]
    parts[0][0][3], parts[1][0][5] = parts[1][0][0], parts[2][0][0]
    data = cnnzoo.load_data(tuple(parts))
    assert [len(split) for split in data.splits.values()] == [29, 29, 30]
    assert "1 training image also occurs in the validation or test part" in " ".join(data.notes)


def test_an_npz_file_may_not_unpack_to_far_more_than_its_size(tmp_path):
    bomb = np.zeros((40_000, 32, 32), "uint8")
    np.savez_compressed(tmp_path / "bomb.npz", x=bomb, y=np.arange(len(bomb)) % 3)
    with pytest.raises(cnnzoo.InputError, match=r"unpack to 4.*may unpack to .*numpy.savez"):
        cnnzoo.load_data(tmp_path / "bomb.npz")
    np.savez_compressed(tmp_path / "extra.npz", x=x, y=y, masks=bomb)
    data = cnnzoo.load_data(tmp_path / "extra.npz", splits=(0.4, 0.3, 0.3))
    assert "Arrays of extra.npz that are not used: masks." in data.notes


def test_keys_of_other_npz_files(tmp_path):
    (x2, y2), (x3, y3) = make_blobs(30, seed=1), make_blobs(30, seed=2)
    images = {"train_images": x, "val_images": x2, "test_images": x3}
    labels = {"train_labels": y[:, None], "val_labels": y2[:, None], "test_labels": y3[:, None]}
    np.savez(tmp_path / "medmnist.npz", **images, **labels)
    data = cnnzoo.load_data(tmp_path / "medmnist.npz")
    assert [len(split) for split in data.splits.values()] == [30, 30, 30]
