"""Maps lie in the pixels of the original photo: crop, border and orientation are undone."""

import numpy as np
import pytest
from PIL import Image

import cnnzoo
from cnnzoo.explain.photos import iter_photos
from cnnzoo.explain.placement import Placement, place_map


def test_interpolation_is_that_of_pillow():
    cells = np.random.default_rng(0).random((6, 4), "float32")
    for size in ((96, 100), (5, 3)):  # enlarged, and averaged where cells are smaller than pixels
        box = (0.0, 0.0, float(size[0]), float(size[1]))
        placement = place_map(size, box, (48, 32), 0, (6, 4), (8, 8))
        expected = np.asarray(Image.fromarray(cells).resize(size[::-1], Image.Resampling.BILINEAR))
        np.testing.assert_allclose(placement.resample(cells), expected, atol=1e-5)


def test_nothing_lies_outside_of_the_crop():
    placement = place_map((100, 200), (10, 60, 90, 140), (32, 32), 0, (4, 4), (8, 8))
    shown = placement.resample(np.ones((4, 4))) > 0
    rows, columns = np.flatnonzero(shown.any(1)), np.flatnonzero(shown.any(0))
    assert (rows[0], rows[-1], columns[0], columns[-1]) == (10, 89, 60, 139)


def test_a_border_of_the_network_is_not_part_of_the_photo():
    """28x28 digits within a border of two pixels: the cells of the border lie outside."""
    placement = place_map((28, 28), (0, 0, 28, 28), (32, 32), 2, (32, 32), (1, 1))
    cells = np.zeros((32, 32))
    cells[2, 31] = cells[5, 6] = 1
    resampled = placement.resample(cells)
    assert resampled[3, 4] == pytest.approx(1) and resampled.sum() == pytest.approx(1)


def test_convolutions_without_padding_lose_the_same_on_all_sides():
    """The c3 of LeNet-5 has 10x10 cells, 2 pixels apart; the first is centered at pixel 7 of 32."""
    placement = place_map((32, 32), (0, 0, 32, 32), (32, 32), 0, (10, 10), (2, 2))
    assert placement == Placement((32, 32), (0, 0, 32, 32), (6.0, 6.0), (2.0, 2.0))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(("height", "width"), [(60, 90), (90, 60)])
def test_a_blob_is_found_where_it_is_in_the_upright_photo(tmp_path, orientation, height, width):
    """The box and the size of a photo belong to its upright version, whatever its orientation in the file."""
    upright = np.zeros((height, width, 3), "uint8")
    upright[20:40, 30:50] = 255
    picture = Image.fromarray(upright)
    turns = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # what undoes the turn of each orientation
    if orientation > 1:
        picture = picture.transpose(Image.Transpose(turns[orientation]))
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture.save(tmp_path / "photo.png", exif=exif)

    (photo,) = iter_photos(tmp_path / "photo.png", cnnzoo.Transform((32, 32), crop=0.875))
    placement = place_map(photo.size, photo.box, (32, 32), 0, (32, 32), (1, 1))
    found = placement.resample(photo.pixels[..., 0])
    inside = found[20:40, 30:50].sum() / found.sum()
    assert photo.size == (height, width)
    assert inside > 0.9
    assert photo.picture().size == (width, height)


@pytest.mark.parametrize("kind", ["path", "bytes", "pillow", "array", "list of arrays"])
def test_every_kind_of_image_has_its_size_and_its_place(tmp_path, kind):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), "uint8")
    Image.fromarray(pixels).save(tmp_path / "a.png")
    path = tmp_path / "a.png"
    images = {
        "path": path,
        "bytes": path.read_bytes(),
        "pillow": Image.fromarray(pixels),
        "array": pixels,
        "list of arrays": [pixels],
    }[kind]
    transform = cnnzoo.Transform((32, 32), crop=0.875)
    (photo,) = iter_photos(images, transform)
    assert photo.size == (40, 60)
    assert photo.box == transform.crop_box((40, 60))
    np.testing.assert_array_equal(photo.pixels, transform(path))
    np.testing.assert_array_equal(np.asarray(photo.picture()), pixels)


def test_arrays_of_the_size_of_the_network_are_not_cropped():
    (photo,) = iter_photos(np.zeros((1, 32, 32, 3), "uint8"), cnnzoo.Transform((32, 32), crop=0.875))
    assert photo.box == (0, 0, 32, 32)
