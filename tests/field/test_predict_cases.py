"""What people pass to `predict`, and the right answer: that of the image file itself, or a sentence with the remedy."""

import array
import base64
import io
import mmap
import os
import pathlib
import tarfile
import tempfile
import types
import zipfile

import numpy as np
import pytest
from helpers.cases import Case, parametrize_cases
from helpers.image_files import encode, make_scene, valid_files
from PIL import Image, ImageSequence

import cnnzoo
from cnnzoo.inference.inputs import iter_images

SCENE = Image.fromarray(make_scene())
PNG = encode(SCENE, "PNG")


@pytest.fixture(scope="module")
def classifier():
    return cnnzoo.Classifier.of(cnnzoo.get("lenet5", weights="digits"), "keras")


@pytest.fixture(scope="module")
def expected(classifier):
    """The answer for the scene as a file."""
    return classifier.predict(PNG)[0]


def write(folder, name="photo.png", content=PNG):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def in_zip(folder):
    with zipfile.ZipFile(folder / "photos.zip", "w") as archive:
        archive.writestr("a.png", PNG)
    return zipfile.ZipFile(folder / "photos.zip")


def in_tar(folder):
    with tarfile.open(folder / "photos.tar", "w") as archive:
        archive.add(write(folder), "a.png")
    return tarfile.open(folder / "photos.tar").extractfile("a.png")


def saved_into_buffer(folder):
    buffer = io.BytesIO()
    SCENE.save(buffer, "PNG")  # leaves the position at the end
    return buffer


def from_pipe(folder):
    reader, writer = os.pipe()
    os.write(writer, PNG)
    os.close(writer)
    return os.fdopen(reader, "rb")


def mapped(folder):
    with write(folder).open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


class Upload:
    """Like an upload of Flask: `name` is the field of the form."""

    def __init__(self):
        self.stream, self.name, self.filename = io.BytesIO(PNG), "field", "photo.png"

    def read(self, *size):
        return self.stream.read(*size)

    def seek(self, *position):
        return self.stream.seek(*position)

    def tell(self):
        return self.stream.tell()


class Frame:
    """Like a table of pandas, which is not installed here: columns by name, and `tolist` of a column."""

    def __init__(self, **columns):
        self.values, self.columns = columns, list(columns)

    def __getitem__(self, name):
        return Column(self.values[name])

    def __iter__(self):
        return iter(self.columns)

    def __array__(self, dtype=None, copy=None):
        return np.array(list(self.values.values()))


class Column:
    def __init__(self, values):
        self.values = values

    def to_list(self):
        return list(self.values)


def torch_tensor(pixels):
    """Return an object like a tensor of torch, which is not installed here: channels first, on a device, with grad."""
    values = np.moveaxis(pixels, -1, -3)

    class Tensor:
        __module__ = "torch"
        dtype = "torch.float32"

        def __array__(self, dtype=None, copy=None):
            raise RuntimeError("Can't call numpy() on Tensor that requires grad")

        def detach(self):
            return types.SimpleNamespace(cpu=lambda: types.SimpleNamespace(numpy=lambda: values, dtype=self.dtype))

    return Tensor()


def tensorflow(value, dtype=None):
    import tensorflow as tf

    return tf.constant(value, dtype)


def jax_array(value):
    return pytest.importorskip("jax.numpy").asarray(value)


def arrow_table(folder):
    return pytest.importorskip("pyarrow").table({"image_path": [str(write(folder))], "label": ["a"]})


PIXELS = np.asarray(SCENE)
ONE_IMAGE = [
    Case("a path", "cnnzoo", write, None),
    Case("a path as text", "cnnzoo", lambda folder: str(write(folder)), None),
    Case("a path as bytes in an os.DirEntry", "os.scandir(b'...')", lambda folder: [
        next(os.scandir(os.fsencode(write(folder, "d/a.png").parent)))], None),
    Case("a pure path", "pathlib", lambda folder: pathlib.PurePosixPath(write(folder)), None),
    Case("text of NumPy", "numpy.str_", lambda folder: np.str_(write(folder)), None),
    Case("brackets in the name", "keras#3296", lambda folder: write(folder, "photo[1].png"), None),
    Case("brackets in a folder of a pattern", "python#56391", lambda folder: str(
        write(folder, "holiday[2024]/a.png").parent / "*.png"), None),
    Case("every character of patterns in the name", "glob", lambda folder: write(folder, "a*[b]?.png"), None),
    Case("a folder with brackets", "glob", lambda folder: write(folder, "[x]/a.png").parent, None),
    Case("bytes", "requests", lambda folder: PNG, None),
    Case("bytearray", "aiohttp", lambda folder: bytearray(PNG), None),
    Case("memoryview", "redis, psycopg2", lambda folder: memoryview(PNG), None),
    Case("a mapped file", "mmap", mapped, None),
    Case("BytesIO", "streamlit#896", lambda folder: io.BytesIO(PNG), None),
    Case("BytesIO that was just written", "flask snippets", saved_into_buffer, None),
    Case("an open file", "open(path, 'rb')", lambda folder: write(folder).open("rb"), None),
    Case("a pipe", "sys.stdin.buffer", from_pipe, None),
    Case("a temporary file", "tempfile", lambda folder: _spooled(), None),
    Case("an upload", "werkzeug.FileStorage", lambda folder: Upload(), None),
    Case("an entry of a zip file", "zipfile", lambda folder: in_zip(folder).open("a.png"), None),
    Case("a path in a zip file", "zipfile.Path", lambda folder: zipfile.Path(in_zip(folder), "a.png"), None),
    Case("an entry of a tar file", "tarfile", in_tar, None),
    Case("a Pillow image", "gradio", lambda folder: SCENE, None),
    Case("an opened Pillow image", "Pillow", lambda folder: Image.open(write(folder)), None),
    Case("a loaded Pillow image", "Pillow", lambda folder: _loaded(Image.open(write(folder))), None),
    Case("an array of one image", "opencv, imageio", lambda folder: PIXELS, None),
    Case("an array of images", "numpy", lambda folder: PIXELS[None], None),
    Case("floats from 0 to 255", "keras load_img", lambda folder: PIXELS.astype("float32")[None], 0.1),
    Case("a list of arrays", "numpy", lambda folder: [PIXELS], None),
    Case("a tensor of TensorFlow", "tf.io.decode_image", lambda folder: tensorflow(PIXELS), None),
    Case("a batch of TensorFlow", "tf.data", lambda folder: tensorflow(PIXELS[None], "float32"), 0.1),
    Case("half-precision tensors", "mixed_bfloat16", lambda folder: tensorflow(PIXELS[None] // 8 * 8, "bfloat16"), 0.1),
    Case("a variable of TensorFlow", "tf.Variable", lambda folder: __import__("tensorflow").Variable(PIXELS), None),
    Case("a string tensor of paths", "tf.data list_files", lambda folder: tensorflow([str(write(folder))]), None),
    Case("a string tensor of files", "tf.io.read_file", lambda folder: tensorflow([PNG]), None),
    Case("a string tensor of one file", "tf.io.read_file", lambda folder: tensorflow(PNG), None),
    Case("an array of JAX", "jax", lambda folder: jax_array(PIXELS), None),
    Case("a tensor of torch", "torchvision.io.read_image", lambda folder: torch_tensor(PIXELS), None),
    Case("a batch of torch", "DataLoader", lambda folder: torch_tensor(PIXELS[None]), None),
    Case("an array of paths", "np.array(glob(...))", lambda folder: np.array([str(write(folder))]), None),
    Case("an object array of paths", "pandas .values", lambda folder: np.array([write(folder)], object), None),
    Case("an array of paths as bytes", "tfds as_numpy", lambda folder: np.array([os.fsencode(write(folder))]), None),
    Case("a column", "pandas Series", lambda folder: Column([str(write(folder))]), None),
    Case("a table", "pandas DataFrame", lambda folder: Frame(filename=[str(write(folder))], label=[3]), None),
    Case("a table of one column", "polars", lambda folder: Frame(whatever=[str(write(folder))]), None),
    Case("a table of Arrow", "pyarrow, datasets", arrow_table, None),
    Case("a column of Arrow", "pyarrow", lambda folder: arrow_table(folder)["image_path"], None),
    Case("a row of Hugging Face", "datasets Image(decode=False)", lambda folder: [{"bytes": PNG, "path": None}], None),
    Case("a generator of paths", "Path.glob", lambda folder: write(folder).parent.glob("*.png"), None),
    Case("a generator of open files", "zipfile loops", lambda folder: _opened_one_by_one(folder), None),
    Case("a generator of Pillow images", "Pillow loops", lambda folder: (image for image in [SCENE]), None),
    Case("a generator of batches", "keras generators", lambda folder: (PIXELS[None] for _ in range(1)), None),
    Case("a set", "set(paths)", lambda folder: {str(write(folder))}, None),
    Case("map", "map(str, paths)", lambda folder: map(str, [write(folder)]), None),
]  # fmt: skip


def _spooled():
    file = tempfile.SpooledTemporaryFile()  # noqa: SIM115
    file.write(PNG)
    return file


def _loaded(image):
    image.load()
    return image


def _opened_one_by_one(folder):
    with write(folder).open("rb") as file:
        yield file


@parametrize_cases(ONE_IMAGE)
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_one_image_has_the_answer_of_its_file(case, classifier, expected, tmp_path):
    predictions = classifier.predict(case.make(tmp_path))
    assert len(predictions) == 1
    assert predictions[0].classes[0] == expected.classes[0]
    assert predictions[0].probabilities == pytest.approx(expected.probabilities, abs=case.expected or 1e-6)


REFUSED = [
    Case("nothing", "None", lambda folder: None, "Images must be a path, .* Received: None"),
    Case("a number", "a file descriptor", lambda folder: 3, "Images must be a path"),
    Case("a list of numbers", "a flattened image", lambda folder: [0, 255], "An image must be a path"),
    Case("array.array", "array", lambda folder: array.array("B", PNG[:4]), "An image must be a path"),
    Case("a dict", "{path: label}", lambda folder: {"a.png": 3}, r"pass list\(images\) or list\(images.values\(\)\)"),
    Case("pairs with labels", "tf.data, torch", lambda folder: [(PIXELS, 3)], "pass the images alone"),
    Case("rows", "datasets", lambda folder: [{"image": SCENE, "label": 3}], r"row\['image'\]"),
    Case("a table without paths", "pandas", lambda folder: Frame(x=[1], y=[2]), r"no column for .*table\['...'\]"),
    Case("a table of two paths", "pandas", lambda folder: Frame(path=["a"], image=["b"]), "several columns for paths"),
    Case("an HTTP response", "requests.get", lambda folder: types.SimpleNamespace(status_code=200, content=PNG),
        "pass response.content"),
    Case("a file that is open as text", "open(path)", lambda folder: write(folder).open(encoding="latin-1"),
        "open it with mode 'rb'"),
    Case("a StringIO", "io", lambda folder: io.StringIO("x"), "open it with mode 'rb'"),
    Case("a closed file", "with open(...)", lambda folder: _closed(write(folder).open("rb")), "closed file"),
    Case("an empty buffer", "BytesIO", lambda folder: io.BytesIO(), "is empty"),
    Case("a file that is read with await", "fastapi.UploadFile", lambda folder: _asynchronous(), "await file.read"),
    Case("a closed Pillow image", "with Image.open(...)", lambda folder: _closed(Image.open(write(folder))),
        "Cannot read the PngImageFile"),
    Case("a Pillow image of floats", "Pillow", lambda folder: Image.new("F", (9, 9), 0.5), "Cannot read the Image"),
    Case("a huge Pillow image", "a bomb", lambda folder: Image.new("1", (10_000, 9_000)), "more than the"),
    Case("an address", "keras get_file", lambda folder: "https://example.org/a.png", "addresses are not downloaded"),
    Case("base64", "REST clients", lambda folder: base64.b64encode(PNG).decode(), "Cannot read .{300,320} as an image: "
        r"this is an image in base64; pass its bytes, base64\.b64decode\(text\)$"),
    Case("a data URI", "canvas.toDataURL", lambda folder: "data:image/png;base64,iVBO", "base64.b64decode"),
    Case("a file URI", "Path.as_uri", lambda folder: write(folder).as_uri(), "pass the path alone"),
    Case("an empty path", "an unset variable", lambda folder: "", "it is empty; '.' is the current folder"),
    Case("a home that is unknown", "sudo -u", lambda folder: "~nobody-at-all/a.png", "there is no user of this name"),
    Case("a symbolic tensor", "keras.Input", lambda folder: __import__("keras").Input((9, 9, 3)), "Cannot read the"),
    Case("a masked array", "numpy.ma", lambda folder: np.ma.masked_less(PIXELS, 9), r"array.filled\(value\)"),
    Case("one image with an alpha channel", "imageio", lambda folder: np.dstack([PIXELS, PIXELS[..., 0]]),
        r"one image of 60x80 pixels with 4 channels, or 60 gray images of 80x4; pass images\[None\]"),
    Case("channels first", "numpy", lambda folder: np.moveaxis(PIXELS, -1, 0)[None], r"x.transpose\(0, 2, 3, 1\)"),
    Case("a tensor that is both", "torch", lambda folder: torch_tensor(np.zeros((9, 3, 3))), "first or last"),
    Case("an array of no numbers", "dates", lambda folder: np.zeros((1, 9, 9), "datetime64[s]"), "arrays of numbers"),
    Case("a flat array", "ravel", lambda folder: PIXELS.ravel().astype("uint8"), "must be .N, H, W. or"),
]  # fmt: skip


def _closed(file):
    file.close()
    return file


def _asynchronous():
    async def read(*size):
        return PNG

    return types.SimpleNamespace(read=read)


@parametrize_cases(REFUSED)
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_what_is_no_image_is_refused_with_the_remedy(case, classifier, tmp_path):
    with pytest.raises(cnnzoo.InputError, match=case.expected):
        classifier.predict(case.make(tmp_path))


ONE_BAD = [
    Case("a link to itself", "attack 4.1", lambda folder: _loop(folder), "symbolic links"),
    Case("a name that is too long", "attack 4.1", lambda folder: "x" * 300, "too long"),
    Case("a path that is too long", "attack 4.1", lambda folder: "x/" * 3000, "too long"),
    Case("NUL", "attack 4.13", lambda folder: "a\0b.png", "Cannot read"),
    Case("a lone surrogate", "attack 4.13", lambda folder: "a\ud800.png", "Cannot read"),
    Case("an empty name", "an unset variable", lambda folder: "", "it is empty"),
    Case("an unknown home", "sudo", lambda folder: "~nobody-at-all/a.png", "no user of this name"),
    Case("None", "a missing value", lambda folder: None, "no image in this place"),
    Case("NaN", "pandas", lambda folder: float("nan"), "no image in this place"),
    Case("a folder that was deleted", "shutil.rmtree", lambda folder: folder / "gone" / "a.png", "no such file"),
    Case("a file below a file", "a typo", lambda folder: write(folder) / "a.png", "Not a directory"),
    Case("a pipe that nobody writes to", "mkfifo", lambda folder: _fifo(folder), "not a regular file"),
    Case("an address", "a CSV of URLs", lambda folder: "http://example.org/a.png", "not downloaded"),
    Case("a closed file", "with open(...)", lambda folder: _closed(io.BytesIO(PNG)), "closed file"),
]


def _loop(folder):
    (folder / "loop.png").symlink_to("loop.png")
    return folder / "loop.png"


def _fifo(folder):
    os.mkfifo(folder / "pipe.png")
    return folder / "pipe.png"


@parametrize_cases(ONE_BAD)
def test_one_bad_image_costs_its_own_row_only(case, classifier, expected, tmp_path):
    images = [PNG, case.make(tmp_path), PNG]
    with pytest.warns(UserWarning, match="1 of 3 images cannot be read"):
        first, bad, last = classifier.predict(images)
    assert first.classes == last.classes == expected.classes
    assert case.expected in bad.error
    # The same in a file
    written = classifier.predict_to(tmp_path / "out" / "a.csv", images, verbose=False)
    assert (written.images, written.errors) == (3, 1)


@pytest.mark.parametrize("name", valid_files())
def test_pillow_images_have_the_pixels_of_their_files(name, tmp_path):
    """Every format and mode: opened, loaded, and copied."""
    path = write(tmp_path, name, valid_files()[name][0])
    for channels in (1, 3):
        transform = cnnzoo.Transform((24, 32), channels, crop=0.875)
        expected = transform(path)
        for source in (Image.open(path), _loaded(Image.open(path))):
            [(_, held)] = iter_images([source])
            assert np.array_equal(transform(held), expected), (name, channels)
            source.close()


MODES = ["1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "HSV", "I", "I;16"]


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_of_pillow_is_shown_as_it_looks(mode, classifier):
    image = SCENE.convert({"PA": "P", "La": "LA", "RGBa": "RGBA", "I;16": "I"}.get(mode, mode)).convert(mode)
    [prediction] = classifier.predict(image)
    assert len(prediction.classes) == 5


def test_frames_of_an_animation_are_different_images(classifier, expected):
    other = Image.fromarray(255 - PIXELS)
    animation = Image.open(io.BytesIO(encode(SCENE, "TIFF", save_all=True, append_images=[other, SCENE])))
    frames = classifier.predict(ImageSequence.Iterator(animation))
    assert [frame.probabilities == frames[0].probabilities for frame in frames] == [True, False, True]
    assert frames[0].probabilities == pytest.approx(expected.probabilities)


def test_a_buffer_that_a_generator_reuses_is_copied(classifier):
    """As cameras do: OpenCV's `read(frame)` writes every frame into the same array."""
    scenes = [make_scene(seed=seed) for seed in range(40)]
    buffer = np.empty_like(scenes[0])

    def frames():
        for scene in scenes:
            buffer[:] = scene
            yield buffer

    reused, separate = list(classifier.stream(frames())), list(classifier.stream(scenes))
    assert [a.probabilities for a in reused] == [b.probabilities for b in separate]


def test_three_gray_images_are_said_to_be_that(tmp_path):
    model = cnnzoo.get("resnet18", input_shape=(32, 32, 3), classes=["a", "b"])
    color = cnnzoo.Classifier.of(model, "keras")
    with pytest.warns(UserWarning, match=r"read as 3 gray images. If it is one image .* images.transpose\(1, 2, 0\)"):
        assert len(color.predict(np.zeros((3, 40, 50), "uint8"))) == 3


def test_images_from_0_to_1_are_reported(classifier):
    for images in (PIXELS[None] / 255, tensorflow(PIXELS[None] / 255), [PIXELS / 255]):
        with pytest.warns(UserWarning, match="look rescaled already; the models expect 0 to 255"):
            classifier.predict(images)


def test_names_of_images_are_those_of_their_files(classifier, tmp_path):
    path = write(tmp_path)
    images = [path, path.open("rb"), Image.open(path), Upload(), PNG, io.BytesIO(PNG), SCENE]
    sources = [prediction.source for prediction in classifier.stream(images)]
    assert sources == [str(path)] * 3 + ["photo.png", "0", "1", "2"]
    for image in images[1:3]:
        image.close()


def test_open_files_stay_where_they_were(classifier):
    file = io.BytesIO(PNG)
    file.seek(7)
    classifier.predict(file)
    assert file.tell() == 7
