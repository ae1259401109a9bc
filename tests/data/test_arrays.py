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
    assert "digits: 8x8x1, 10 classes" in text
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
    "label below": ((x, y - 1), {}, "outside.*-1"),
    "fractional label": ((x, y + 0.5), {}, "outside"),
    "unknown text label": (
        (x, np.array(["a", "b", "c"] * 10)),
        {"classes": ["a", "b"]},
        "outside the 2 classes a, b: c",
    ),
    "empty class": ((x, np.where(y == 1, 2, y)), {}, r"lack a class: too few images of 1 \(0\)"),
    "class of one": ((x, np.r_[np.zeros(29, int), 1]), {}, r"too few images of 1 \(1\)"),
    "too few for a split": ((x, y), {"splits": (0.9, 0.05, 0.05)}, "2 images for 3 classes"),
    "one class": ((x, y * 0), {}, "at least two classes"),
    "one-hot": ((x, np.eye(3)[y]), {}, r"argmax\(axis=1\)"),
    "names and numbers": (((x, y), (x, y.astype(str))), {}, "the same in both"),
    "bytes": ((x, np.array([b"\xe9", b"a", b"b"] * 10)), {}, "must be UTF-8"),
    "dates": ((x, y.astype("datetime64[D]")), {}, "indices or names"),
    "channels first": ((np.zeros((30, 3, 12, 12)), y), {}, "channels last"),
    "16 bits": ((x.astype("uint16") * 257, y), {}, "divide 16-bit pixels by 257"),
    "classes by number": ((x, y), {"classes": 3}, "a list of at least two names"),
    "seed": ((x, y), {"seed": -1}, "seed must be a whole number"),
    "pad": ((x, y), {"pad": -1}, "pad must be a whole number"),
    "border": ((x, y), {"pad": 4, "image_size": (8, 8)}, "leaves nothing of 8x8"),
    "size": ((x, y), {"image_size": (8, 8, 1)}, r"one number or \(height, width\)"),
    "size in words": ((x, y), {"image_size": "large"}, "a side of image_size must be a whole number"),
    "split": ((x, y), {"splits": 5}, "three positive shares"),
    "NaN shares": ((x, y), {"splits": (np.nan, np.nan, np.nan)}, "three positive shares"),
    "a dict": ({"x": x, "y": y}, {}, "must be train, validation or test"),
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
