"""The page of the doctor: pictures of every kind of file, links, samples, charts and commands."""

import base64
import io
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
from helpers.image_files import broken_files, make_scene, oriented_files, write_class_folders, write_files
from helpers.pages import Page
from PIL import Image

from cnnzoo.data.diagnose import diagnose_source
from cnnzoo.data.diagnosis import Diagnosis
from cnnzoo.data.thumbnails import make_thumbnail


def decode(thumbnail):
    """Return the pixels of a thumbnail."""
    content = base64.b64decode(thumbnail.uri.partition("base64,")[2])
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"), "int16")


def save(image, path, **options):
    image.save(path, **options)
    return path


SCENE = make_scene(120, 160, seed=5)
GRAY = SCENE[..., 0]


def test_pictures_of_every_kind_show_the_scene(tmp_path):
    scene, gray = Image.fromarray(SCENE), np.repeat(GRAY[..., None], 3, axis=2)
    color_files = {
        "cmyk.jpg": scene.convert("CMYK"),
        "plain.tif": scene,
        "palette.png": scene.quantize(255),
        "rgba.png": scene.convert("RGBA"),
    }
    for name, image in color_files.items():
        pixels = decode(make_thumbnail(save(image, tmp_path / name)))
        assert np.abs(pixels - SCENE).mean() < 12, name
    deep_files = {
        "16.png": Image.fromarray(GRAY.astype("uint16") * 257),
        "12.png": Image.fromarray(GRAY.astype("uint16") * 16),
        "float.tif": Image.fromarray(GRAY.astype("float32") / 255 - 0.5),
    }
    for name, image in deep_files.items():
        thumbnail = make_thumbnail(save(image, tmp_path / name))
        assert abs(np.corrcoef(decode(thumbnail).ravel(), gray.ravel())[0, 1]) > 0.97, name
        assert (thumbnail.remark == "brightened") == (name != "16.png")
        assert decode(thumbnail).max() > 150


def test_pictures_are_upright(tmp_path):
    """As the model sees them."""
    for name, (content, expected, tolerance) in oriented_files(seed=3).items():
        assert np.abs(decode(make_thumbnail(content)) - expected).mean() < tolerance, name


def test_masks_are_brightened_and_long_images_cut(tmp_path):
    mask = make_thumbnail(save(Image.fromarray((GRAY > 99).astype("uint8")), tmp_path / "mask.png"))
    assert (mask.remark, decode(mask).max()) == ("brightened", 255)
    long = make_thumbnail(save(Image.fromarray(make_scene(40, 3000, seed=1)), tmp_path / "long.jpg"))
    assert long.remark == "middle part"
    assert decode(long).shape == (40, 160, 3)
    small = make_thumbnail(save(Image.fromarray(make_scene(8, 8, seed=1)), tmp_path / "small.png"))
    assert small.pixelated


def test_a_broken_file_says_why():
    thumbnail = make_thumbnail(broken_files()["cut5.jpg"])
    assert not thumbnail.uri
    assert "truncated" in thumbnail.remark


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The page of a folder with a conflict, a stray photo, a broken file and a name to be escaped."""
    folder = tmp_path_factory.mktemp("page")
    root = write_class_folders(folder / "my photos", {"a": 12, "<b>": 4}, seed=3000)
    shutil.copy(root / "a" / "a_0.png", root / "<b>" / "conflict.png")
    shutil.copy(root / "a" / "a_1.png", root / "stray.png")
    write_files(root / "a", {"torn.jpg": broken_files()["cut5.jpg"]})
    diagnosis = diagnose_source(root)
    diagnosis.save(folder / "out")
    return (folder / "out" / "doctor.html").read_text()


def section(page, kind):
    return re.search(f'<section aria-labelledby="{kind}">.*?</section>', page, re.S)[0]


def test_labels_are_under_the_pictures(page):
    conflict = section(page, "conflict")
    assert conflict.count("<img") == 2
    assert "<b>a</b>" in conflict
    assert "<b>&lt;b&gt;</b>" in conflict


def test_a_stray_photo_is_shown_and_a_broken_file_is_explained(page):
    assert "<img" in section(page, "stray")
    assert "no picture" not in page
    assert "truncated" in section(page, "unreadable")


def test_each_section_says_why_and_what_to_do(page):
    assert "At most one of the labels is right." in section(page, "conflict")
    assert "<b>Look at the picture, then relabel or exclude in a fix list.</b>" in section(page, "conflict")


def test_the_page_has_a_verdict_commands_links_charts_and_samples(page, tmp_path):
    assert "<strong>1 finding needs a decision</strong>" in page
    Page(page).check()
    assert "Look at the findings, and decide Findings with a remedy in a fix list: " in Page(page).text
    assert re.search("fix list: .*1 conflict.* Write a list of these images", Page(page).text)
    commands = Page(page).text
    assert re.search(r"cnnzoo doctor '.*my photos' --fix-list fixes.csv", commands)
    assert re.search(r"cnnzoo fine-tune resnet50:imagenet '.*my photos' --fix-list fixes.csv --run-dir ", commands)
    assert re.search(r'href="file:///.*/my%20photos/a/a_0.png"', page)
    assert page.count("<svg") == 3
    assert page.count("<img") - section(page, "conflict").count("<img") - 1 == 6 + 5  # samples of both classes
    assert re.search(r"<th scope=\"row\">a</th><td>12</td><td>71\xa0%</td>", page)


def test_commands_name_the_fix_list_that_was_applied(tmp_path):
    root = write_class_folders(tmp_path / "p", {"a": 3, "b": 3}, seed=3000)
    shutil.copy(root / "a" / "a_0.png", root / "b" / "conflict.png")
    applied = replace(diagnose_source(root), fix_list_file="my fixes.csv").to_html()
    commands = Page(applied).text
    assert "--apply-fix-list 'my fixes.csv' --fix-list more_fixes.csv" in commands
    assert "--fix-list 'my fixes.csv' --fix-list more_fixes.csv --run-dir" in commands


def test_commands_use_the_fix_list_that_was_written(tmp_path):
    """It exists by now, so the command that writes it would be refused."""
    root = write_class_folders(tmp_path / "p", {"a": 3, "b": 3}, seed=3000)
    shutil.copy(root / "a" / "a_0.png", root / "b" / "conflict.png")
    written = replace(diagnose_source(root), new_list_file="my fixes.csv")
    commands = Page(written.to_html()).text
    assert "Change the actions in my fixes.csv in a spreadsheet" in commands
    assert "--apply-fix-list 'my fixes.csv'" in commands
    assert "/p --fix-list 'my fixes.csv' --run-dir" in commands
    assert commands.count("--fix-list") == 1
    commands = Page(replace(written, fix_list_file="first.csv").to_html()).text
    assert "--fix-list first.csv --fix-list 'my fixes.csv' --run-dir" in commands
    assert "--apply-fix-list" not in commands


def test_a_page_without_a_check_of_the_pixels_says_so(tmp_path):
    import cnnzoo

    root = write_class_folders(tmp_path / "p", {"a": 10, "b": 10}, seed=3000)
    pages = [cnnzoo.load_data(root, doctor=doctor).diagnosis.to_html() for doctor in (False, True)]
    assert ["Only the headers of the files were read" in page for page in pages] == [True, False]


def test_every_picture_has_an_alternative_text(page):
    assert all(re.search(r'alt="[^"]+"', tag) for tag in re.findall(r"<img[^>]*>", page))


def test_samples_are_the_same_each_time(tmp_path):
    root = write_class_folders(tmp_path / "p", {"a": 12, "b": 12}, seed=3000)
    assert diagnose_source(root).to_html() == diagnose_source(root).to_html()


def test_training_shows_its_own_splits(tmp_path):
    import cnnzoo

    root = write_class_folders(tmp_path / "p", {"a": 20, "b": 20}, seed=3000)
    page = cnnzoo.load_data(root).diagnosis.to_html()
    assert '<th scope="col">train</th><th scope="col">validation</th><th scope="col">test</th>' in page
    assert "has no splits" not in page
    assert '<th scope="row">a</th><td>20</td><td>50\xa0%</td><td>16</td><td>2</td><td>2</td>' in page


def test_equal_images_have_no_ranges_and_one_vocabulary(tmp_path):
    root = write_class_folders(tmp_path / "p", {"a": 12, "b": 12}, seed=3000)
    (root / "README.txt").write_text("photos")
    diagnosis = diagnose_source(root)
    text = Page(diagnosis.to_html()).text
    assert "images of each class 12" in text
    assert " to 4" not in text.partition("Classes and sizes")[0]
    assert text.index("What next") < text.index("images of each class")
    assert '<span class="tag neutral">set\xa0aside</span>' in diagnosis.to_html()
    assert "left out" not in str(diagnosis)
    assert "set aside" in str(diagnosis)


def test_findings_have_one_state_in_the_terminal_and_on_the_page(tmp_path):
    root = write_class_folders(tmp_path / "p", {"a": 4, "b": 4}, seed=3000)
    shutil.copy(root / "a" / "a_0.png", root / "b" / "conflict.png")
    diagnosis = diagnose_source(root)
    assert re.search(r"finding +count +state", str(diagnosis))
    assert re.search(r"conflict +1 +to decide", str(diagnosis))
    assert "conflict 1 to decide the same file under two labels" in Page(diagnosis.to_html()).text


@pytest.mark.parametrize(("counts", "is_rare"), [((40, 40, 19), True), ((40, 40, 20), False), ((40,), False)])
def test_images_of_a_rare_class_are_asked_for(counts, is_rare):
    page = Page(Diagnosis("photos", sum(counts), dict(zip("abc", counts, strict=False)), (), {}).to_html())
    assert ("Add images of “c” It has 19 images; the median class has 40." in page.text) == is_rare
    page.check()
