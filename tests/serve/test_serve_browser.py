"""The page in a real browser: everything that a person does with it, with a mouse, a finger or the keyboard alone."""

import asyncio
import csv
import json
import threading
import time

import pytest
from helpers.browser import BROWSER, Browser
from helpers.image_files import encode, make_scene
from helpers.local_server import LocalServer
from PIL import Image

import cnnzoo
from cnnzoo.serve.app import create_app

FULL = 256  # images that wait, when a queue is full
KEY = "a-secret-of-32-letters-and-more"
EVIL = "<img src=x onerror=hacked=1>"
SETTLED = "photos.children.length && !document.querySelector('[aria-busy=true]')"
TITLES = "[...document.querySelectorAll('#photos h3')].map((title) => title.textContent)"

pytestmark = [pytest.mark.slow, pytest.mark.skipif(BROWSER is None, reason="Chromium or Chrome is not installed")]


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    browser = Browser(tmp_path_factory.mktemp("browser"))
    yield browser
    browser.close()


@pytest.fixture(scope="module")
def app(classifiers, digits_model):
    odd = cnnzoo.Classifier.of(digits_model, runtime="keras", classes=[f"{EVIL} {i}" for i in range(10)])
    limits = cnnzoo.serve.Limits(images=4, image_bytes=100_000)
    return create_app({"digits": classifiers["digits"], "odd": odd}, limits=limits)


@pytest.fixture(scope="module")
def running(app):
    with LocalServer(app) as running:
        yield running.wait_until_ready()


@pytest.fixture
def page(browser, running):
    """The browser with the page, just opened; the page must not have broken its policy or asked another host."""
    browser.requests, browser.problems = [], []
    browser.open(f"{running.url}/")
    browser.wait("model.options.length === 2")
    yield browser
    assert browser.problems == []
    assert {address for address in browser.requests if not address.startswith((running.url, "data:", "blob:"))} == set()


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Six digits, and files that are none."""
    folder = tmp_path_factory.mktemp("photos")
    images = cnnzoo.load_data("digits").test.images[:6, ..., 0].astype("uint8")
    for i, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{i}.png")
    (folder / f"{EVIL}.png").write_bytes((folder / "0.png").read_bytes())
    (folder / "=1+1.png").write_bytes((folder / "1.png").read_bytes())
    (folder / "scan.tif").write_bytes(encode(Image.fromarray(make_scene()), "TIFF"))
    (folder / "text.jpg").write_text("no image")
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "large.jpg").write_bytes(bytes(100_001))
    return folder


def digits(photos, count=6):
    return [photos / f"{i}.png" for i in range(count)]


def read_answers(page):
    """Return the likeliest class of each photo, or its error."""
    script = (
        "[...photos.children].map((li) => (li.querySelector('.bar span') ?? li.querySelector('.state')).textContent)"
    )
    return page.run(script)


class SlowModel:
    """Within the block, a model of a server answers only after `go_on`."""

    def __init__(self, app, name="digits"):
        self.model, self.go, self.begun = app.state.server.models[name], threading.Event(), threading.Event()

    def __enter__(self):
        async def wait(images):
            self.begun.set()
            while not self.go.is_set():
                await asyncio.sleep(0.01)
            return await type(self.model).classify(self.model, images)

        self.model.classify = wait
        return self

    def go_on(self):
        self.go.set()

    def __exit__(self, *error):
        self.go.set()
        del self.model.classify


def test_several_dropped_photos_are_classified_in_groups(page, running, photos, classifiers):
    page.drop_files(digits(photos))
    page.wait(SETTLED)
    expected = classifiers["digits"].predict([str(path) for path in digits(photos)], verbose=False)
    assert read_answers(page) == [prediction.label for prediction in expected]
    assert page.requests.count(f"{running.url}/predict") == 2, "4 and 2 photos"
    assert page.run("document.getElementById('status').textContent") == "6 photos classified."
    shown = page.run("document.querySelector('.bar b').textContent")
    assert shown == f"{100 * expected[0].probabilities[0]:.1f}\u00a0%"
    assert page.run("document.querySelectorAll('#photos canvas').length") == 6
    assert page.run("document.querySelectorAll('.bar').length") == 18
    page.run("top_ = document.getElementById('top'), top_.value = '1', top_.dispatchEvent(new Event('change')), 0")
    assert page.run("document.querySelectorAll('.bar').length") == 6


def test_each_photo_that_fails_says_why_and_the_others_are_answered(page, running, photos):
    page.drop_files([photos / name for name in ("0.png", "text.jpg", "empty.jpg", "large.jpg", "scan.tif")])
    page.wait(SETTLED)
    first, text, empty, large, _ = read_answers(page)
    assert first == "4"
    assert text.startswith("Cannot read the image: not a JPEG")
    assert (empty, large) == ("The file is empty.", "The file has 100 kB; this server takes at most 100 kB.")
    assert page.run("photos.children[4].querySelector('.thumbnail').textContent") == "TIF no preview"
    assert page.run("photos.children[1].querySelector('.again').hidden") is False
    assert page.run("document.getElementById('status').textContent") == "2 photos classified, 3 failed."
    page.run("photos.children[1].querySelector('.remove').click()")
    assert page.run("document.activeElement.closest('li').querySelector('h3').textContent") == "empty.jpg"


def test_a_group_without_any_photo_tells_the_reason_of_each(page, photos):
    page.drop_files([photos / "text.jpg", photos / "text.jpg"])
    page.wait(SETTLED)
    assert all(answer.startswith("Cannot read the image") for answer in read_answers(page))
    assert "(the first of" not in str(read_answers(page))


def test_a_pasted_picture_is_classified(page, photos):
    content = list((photos / "0.png").read_bytes())
    page.call("Browser.grantPermissions", permissions=["clipboardReadWrite", "clipboardSanitizedWrite"])
    page.run(
        f"navigator.clipboard.write([new ClipboardItem({{'image/png': new Blob([new Uint8Array({content})], "
        "{type: 'image/png'})})])"
    )
    page.call("Input.dispatchKeyEvent", type="keyDown", key="v", code="KeyV", modifiers=2, commands=["paste"])
    page.call("Input.dispatchKeyEvent", type="keyUp", key="v", code="KeyV", modifiers=2)
    page.wait(SETTLED)
    assert page.run(TITLES) == ["pasted 1.png"]
    assert read_answers(page) == ["4"]


def test_a_dropped_folder_gives_its_photos(page, photos, tmp_path):
    (tmp_path / "album" / "deeper").mkdir(parents=True)
    for name, source in (("album/a.png", "0.png"), ("album/deeper/b.png", "1.png"), ("album/.hidden.png", "2.png")):
        (tmp_path / name).write_bytes((photos / source).read_bytes())
    page.drop_files([tmp_path / "album"])
    page.wait(f"photos.children.length === 2 && {SETTLED}")
    assert sorted(page.run(TITLES)) == ["a.png", "b.png"]


def test_the_keyboard_alone_is_enough(page, photos):
    page.call("Page.setInterceptFileChooserDialog", enabled=True)
    reach(page, "#choose")
    page.press("Enter")
    limit = time.monotonic() + 30
    while not page.choosers:
        assert time.monotonic() < limit
        page.read(0.05)
    page.call("DOM.setFileInputFiles", backendNodeId=page.choosers.pop(), files=[str(photos / "0.png")])
    page.call("Page.setInterceptFileChooserDialog", enabled=False)
    page.wait(SETTLED)
    reach(page, ".explain")
    assert page.run("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.press(" ")
    page.wait("document.querySelector('.overlay img')?.complete")
    reach(page, ".map select")
    page.press("ArrowDown")
    page.wait("document.querySelector('.meaning').textContent.startsWith('Yellow parts')")
    reach(page, ".remove", back=True)
    page.press("Enter")
    assert page.run("photos.children.length") == 0
    assert page.run("document.activeElement.id") == "choose"


def reach(page, selector, back=False):
    """Press Tab until an element has the focus."""
    for _ in range(30):
        page.press("Tab", shift=back)
        if page.run(f"document.activeElement.matches({json.dumps(selector)})"):
            return
    raise AssertionError(f"the Tab key does not reach {selector}")


def test_a_screen_reader_finds_a_name_for_everything(page, photos):
    page.drop_files(digits(photos, 1))
    page.wait(SETTLED)
    page.run("document.querySelector('.explain').click()")
    page.wait("document.querySelector('.overlay img')")
    nodes = [node for node in page.call("Accessibility.getFullAXTree")["nodes"] if not node.get("ignored")]
    named = [(node["role"]["value"], node.get("name", {}).get("value", "")) for node in nodes]
    for role, name in named:
        assert name or role not in (
            "button",
            "combobox",
            "image",
            "img",
            "progressbar",
            "textbox",
            "link",
            "heading",
        ), role
    assert ("button", "Heat map of 0.png") in named
    assert ("button", "Remove 0.png") in named
    assert ("image", "0.png") in named
    assert ("image", "Heat map of 0.png for 4") in named
    assert "status" in [role for role, _ in named]
    assert page.run("document.getElementById('status').textContent") == "1 photo classified. 0.png: 4, 91 %."


def test_a_heat_map_can_be_asked_for_another_class(page, photos):
    page.drop_files(digits(photos, 1))
    page.wait(SETTLED)
    page.run("document.querySelector('.explain').click()")
    page.wait("document.querySelector('.meaning').textContent.startsWith('Yellow parts matter most')")
    first = page.run("document.querySelector('.overlay img').src")
    page.run("field = document.querySelector('.map select'), field.selectedIndex = 1, 0")
    page.run("field.dispatchEvent(new Event('change')), 0")
    page.wait("document.querySelector('.meaning').textContent.includes(' 3 (1.7')")
    assert page.run("document.querySelector('.overlay img').src") != first
    page.run("document.querySelector('.explain').click()")
    assert page.run("document.querySelector('.map').hidden") is True


def test_names_of_files_and_classes_are_never_html(page, photos):
    page.run("model.value = 'odd', model.dispatchEvent(new Event('change')), 0")
    page.drop_files([photos / f"{EVIL}.png"])
    page.wait(SETTLED)
    page.run("document.querySelector('.explain').click()")
    page.wait("document.querySelector('.overlay img')")
    assert page.run(TITLES) == [f"{EVIL}.png"]
    assert read_answers(page) == [f"{EVIL} 4"]
    assert EVIL in page.run("document.getElementById('classes').textContent")
    assert page.run("document.querySelectorAll('img[src=x]').length") == 0
    assert page.run("typeof hacked") == "undefined"


def test_another_model_classifies_the_same_photos(page, running, photos):
    page.drop_files(digits(photos, 2))
    page.wait(SETTLED)
    page.run("model.value = 'odd', model.dispatchEvent(new Event('change')), 0")
    page.wait(f"document.querySelector('.bar span')?.textContent.startsWith('<img') && {SETTLED}")
    assert read_answers(page) == [f"{EVIL} 4", f"{EVIL} 8"]
    assert page.run("about.textContent").startswith("odd: 10 classes")


def test_the_answers_are_downloaded_as_a_table(page, photos, classifiers):
    page.drop_files([photos / "0.png", photos / "text.jpg", photos / "=1+1.png"])
    page.wait(SETTLED)
    page.run("document.getElementById('csv').click()")
    file, limit = page.folder / "predictions.csv", time.monotonic() + 30
    while not file.exists():
        assert time.monotonic() < limit
        page.read(0.05)
    with file.open(encoding="utf-8-sig", newline="") as text:
        first, failed, formula = list(csv.DictReader(text))
    assert list(first) == ["path", "error", "model"] + [
        f"{name}_{i}" for i in (1, 2, 3) for name in ("class", "probability")
    ]
    assert (first["path"], first["error"], first["model"], first["class_1"]) == ("0.png", "", "digits", "4")
    (expected,) = classifiers["digits"].predict([str(photos / "0.png")], verbose=False)
    assert float(first["probability_1"]) == pytest.approx(expected.probabilities[0], abs=1e-6)
    assert failed["error"].startswith("Cannot read")
    assert failed["class_1"] == ""
    assert formula["path"] == "'=1+1.png"


def test_a_busy_server_is_asked_again_and_says_so(page, app, photos):
    batcher = app.state.server.models["digits"].batcher
    batcher.waiting += FULL
    try:
        page.run("told = document.getElementById('status'), 0")
        page.drop_files(digits(photos, 1))
        page.wait("/^The server is busy. Trying again in 1 second \\(attempt [2-6] of 6\\)/.test(told.textContent)")
    finally:
        batcher.waiting -= FULL
    page.wait(SETTLED)
    assert read_answers(page) == ["4"]


def test_a_server_that_stays_busy_is_not_asked_for_ever(page, app, running, photos):
    batcher = app.state.server.models["digits"].batcher
    batcher.waiting += FULL
    try:
        page.run("setTimeout = ((wait) => (call, time) => wait(call, time / 50))(setTimeout), 0")
        page.drop_files(digits(photos, 5))
        page.wait(SETTLED)
    finally:
        batcher.waiting -= FULL
    assert set(read_answers(page)) == {"The server is still busy after 6 attempts. Try again later."}
    assert page.requests.count(f"{running.url}/predict") == 6
    page.run("retry.click()")
    page.wait(f"document.querySelectorAll('.bar').length === 15 && {SETTLED}")


def test_what_passes_the_deadline_is_sent_in_smaller_groups_and_then_fails(page, app, running, photos, monkeypatch):
    model = app.state.server.models["digits"]
    monkeypatch.setattr(model, "_check_time", lambda count: None)  # which refuses at once what would be late
    deadline, model.deadline = model.deadline, 1e-5
    try:
        page.drop_files(digits(photos, 2))
        page.wait(SETTLED)
    finally:
        model.deadline = deadline
    assert all("had no answer within 1e-05 seconds" in answer for answer in read_answers(page))
    assert page.requests.count(f"{running.url}/predict") == 3, "both, and then one by one"


def test_sending_can_be_cancelled_and_taken_up_again(page, app, photos):
    with SlowModel(app) as slow:
        page.drop_files(digits(photos))
        assert slow.begun.wait(30)
        assert page.run("cancel.disabled") is False
        page.press("Escape")
        page.wait(SETTLED)
        assert set(read_answers(page)) == {"Cancelled."}
        assert "6 cancelled" in page.run("document.getElementById('status').textContent")
    page.run("retry.click()")
    page.wait(f"document.querySelectorAll('.bar').length === 18 && {SETTLED}")
    page.run("clear.click()")
    assert page.run("photos.children.length") == 0


def test_nothing_moves_when_the_answers_come(page, app, photos):
    elements = "document.querySelectorAll('#photos li, h2, #bar button')"
    measure = f"JSON.stringify([...{elements}].map((one) => one.getBoundingClientRect()))"
    with SlowModel(app) as slow:
        page.drop_files(digits(photos, 3))
        assert slow.begun.wait(30)
        page.wait("document.querySelectorAll('#photos canvas').length === 3")
        before = page.run(measure)
        slow.go_on()
        page.wait(SETTLED)
    assert json.loads(page.run(measure)) == json.loads(before)


def test_a_server_that_is_gone_is_named_as_the_reason(page, photos):
    page.call("Network.emulateNetworkConditions", offline=True, latency=0, downloadThroughput=-1, uploadThroughput=-1)
    try:
        page.drop_files(digits(photos, 2))
        page.wait(SETTLED)
    finally:
        page.call(
            "Network.emulateNetworkConditions", offline=False, latency=0, downloadThroughput=-1, uploadThroughput=-1
        )
    assert set(read_answers(page)) == {"The server cannot be reached. Is it still running?"}
    page.problems.clear()


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_the_page_fits_windows_and_themes(page, running, photos, width, dark):
    page.open(f"{running.url}/", width=width, dark=dark, is_phone=width == 360)
    page.wait("model.options.length === 2")
    page.drop_files([photos / "0.png", photos / "text.jpg", photos / f"{EVIL}.png", photos / "scan.tif"])
    page.wait(SETTLED)
    page.run("document.querySelector('.explain').click()")
    page.wait("document.querySelector('.overlay img')?.complete")
    assert page.run("document.documentElement.scrollWidth") <= width
    ground = page.run("getComputedStyle(document.body).backgroundColor")
    assert ground == ("rgb(17, 24, 39)" if dark else "rgb(255, 255, 255)")
    heights = page.run(
        "[...document.querySelectorAll('button')].filter((one) => one.offsetParent).map((one) => one.offsetHeight)"
    )
    assert min(heights) >= (44 if width == 360 else 24)
    assert page.run("take.offsetParent !== null") is (width == 360), "a camera, where there is a finger"
    assert page.run("document.getElementById('camera').getAttribute('capture')") == "environment"


def test_a_server_with_a_key_asks_for_it(browser, classifiers, photos):
    with LocalServer(create_app(classifiers["digits"], api_key=KEY)) as running:
        running.session.headers["X-API-Key"] = KEY
        running.wait_until_ready()
        browser.open(f"{running.url}/")
        form = "document.getElementById('key-form')"
        browser.wait(f"!{form}.hidden")
        for key, words in (("wrong", "This is not the key of this server."), ("ü", "A key has letters")):
            browser.run(f"document.getElementById('key').value = {json.dumps(key)}, {form}.requestSubmit()")
            browser.wait(f"document.getElementById('key-error').textContent.startsWith({json.dumps(words)})")
        browser.drop_files(digits(photos, 1))
        browser.run(f"document.getElementById('key').value = {json.dumps(KEY)}, {form}.requestSubmit()")
        browser.wait(SETTLED)
        assert read_answers(browser) == ["4"]
        assert browser.run(f"{form}.hidden") is True
        browser.open(f"{running.url}/?again")
        browser.wait("model.options.length === 1")
        assert browser.run(f"{form}.hidden") is True, "the key is kept until the tab is closed"
        assert KEY not in browser.run("document.cookie + location.href + document.documentElement.outerHTML")
