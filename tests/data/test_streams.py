"""TensorFlow Datasets, tf.data and PyDataset: images and labels are loaded as they are."""

import keras
import numpy as np
import pytest
from helpers.image_files import make_scene

import cnnzoo


def test_tensorflow_datasets(tmp_path):
    """A folder that a builder of TensorFlow Datasets prepared."""
    import tensorflow_datasets as tfds

    class Tiny(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        """Two kinds of pictures."""

        name = "tiny"
        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            image = tfds.features.Image(shape=(None, None, 3), encoding_format="png")
            label = tfds.features.ClassLabel(names=["moon", "sun"])
            return tfds.core.DatasetInfo(
                builder=self, features=tfds.features.FeaturesDict({"image": image, "label": label})
            )

        def _split_generators(self, manager):
            return {"train": self._generate_examples(0, 20), "test": self._generate_examples(100, 6)}

        def _generate_examples(self, start, count):
            for i in range(count):
                yield i, {"image": make_scene(seed=start + i), "label": i % 2}

    builder = Tiny(data_dir=tmp_path)
    builder.download_and_prepare(download_config=tfds.download.DownloadConfig(verify_ssl=False))
    for source in (builder.data_dir, f"tfds:{builder.data_dir}"):
        data = cnnzoo.load_data(source, image_size=(60, 80))
        assert data.classes == ("moon", "sun")
        assert [len(split) for split in data.splits.values()] == [18, 2, 6]
        for image, name in zip(data.test.images, data.test.names, strict=True):
            assert name.startswith("test[")
            assert image.shape == (60, 80, 3)
    expected = {make_scene(seed=100 + i).tobytes() for i in range(6)}
    original = cnnzoo.load_data(builder.data_dir)
    assert {image.tobytes() for image in original.test.images} == expected
    pytest.importorskip("array_record.python.array_record_module")
    cnnzoo.pack(builder.data_dir, tmp_path / "packed")
    assert cnnzoo.load_data(tmp_path / "packed").fingerprints == original.fingerprints
    with pytest.raises(cnnzoo.InputError, match="TensorFlow Datasets cannot load 'no_such_set'"):
        cnnzoo.load_data("tfds:no_such_set")


class Scenes(keras.utils.PyDataset):
    """Batches of five scenes of two classes."""

    def __init__(self, count, one_hot=False, start=0):
        super().__init__()
        self.count, self.one_hot, self.start = count, one_hot, start

    def __len__(self):
        return self.count // 5

    def __getitem__(self, index):
        ids = np.arange(index * 5, index * 5 + 5)
        images = np.stack([make_scene(20, 24, seed=self.start + i) for i in ids])
        return images, np.eye(2)[ids % 2] if self.one_hot else ids % 2


@pytest.mark.parametrize("one_hot", [False, True])
def test_pydataset(one_hot):
    data = cnnzoo.load_data(Scenes(40, one_hot), image_size=(20, 24))
    assert data.classes == ("0", "1")
    for split in data.splits.values():
        for image, label, name in zip(split.images, split.labels, split.names, strict=True):
            i = int(name.removeprefix("stream[").removesuffix("]"))
            assert label == i % 2
            np.testing.assert_array_equal(image, make_scene(20, 24, seed=i))
    splits = cnnzoo.load_data({"train": Scenes(30), "val": Scenes(10, start=100), "test": Scenes(20, start=200)})
    assert len(splits.test) == 20


def test_tf_data():
    import tensorflow as tf

    images = np.stack([make_scene(20, 24, seed=i) for i in range(40)])
    labels = np.array(["cat", "dog"])[np.arange(40) % 2]
    single = tf.data.Dataset.from_tensor_slices((images, labels))
    from_single, from_batches = (cnnzoo.load_data(source) for source in (single, single.batch(7)))
    assert from_single.classes == ("cat", "dog")
    assert from_single.fingerprints == from_batches.fingerprints
    for image, name in zip(from_single.train.images, from_single.train.names, strict=True):
        np.testing.assert_array_equal(image, images[int(name[7:-1])])
    with pytest.raises(cnnzoo.InputError, match="is infinite"):
        cnnzoo.load_data(single.repeat())
    with pytest.raises(cnnzoo.InputError, match="pairs"):
        cnnzoo.load_data(tf.data.Dataset.from_tensor_slices(images))


def test_bad_streams_are_explained():
    import tensorflow as tf

    images = np.stack([make_scene(20, 24, seed=i) for i in range(40)])
    for labels, message in (
        (np.zeros((40, 3)), "a single 1 in each row"),
        (np.full(40, 0.5), "class indices, names or one-hot"),
        (np.full(40, np.nan), "class indices, names or one-hot"),
    ):
        with pytest.raises(cnnzoo.InputError, match=message):
            cnnzoo.load_data(tf.data.Dataset.from_tensor_slices((images, labels)).batch(8))
    with pytest.raises(cnnzoo.InputError, match="multiply them by 255"):
        cnnzoo.load_data(tf.data.Dataset.from_tensor_slices((images / 255, np.arange(40) % 2)))
    with pytest.raises(cnnzoo.InputError, match="one key per split"):
        cnnzoo.load_data({"train": Scenes(20), "val": Scenes(10), "validation": Scenes(10)})
