"""The loader: the same batches with threads and with processes, and safe ends of processes."""

import os
import pickle
import re
import resource
import signal
import subprocess
import sys
import textwrap
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.image_files import write_class_folders
from helpers.pipelines import TestPipeline

import cnnzoo
from cnnzoo.core import threads
from cnnzoo.core.threads import available_cores
from cnnzoo.data import loader as loader_module
from cnnzoo.data import worker_process
from cnnzoo.data.batches import Batches
from cnnzoo.data.loader import Loader, check_workers

POLICIES = ["none", "basic", "trivial+erase+mixup"]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_class_folders(tmp_path_factory.mktemp("photos") / "p", {"a": 30, "b": 20}, size=(90, 70))


@pytest.fixture(scope="module")
def pools():
    """Loaders by their number of workers, whose processes all tests of this file share."""
    return {count: Loader(count) for count in (0, 1, 2, 4)}


def wait_until(condition, seconds=60):
    """Wait for something to happen."""
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    assert condition()


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def take_two_epochs(split, augment="basic", **options):
    """Return the arrays of all batches of two epochs."""
    batches = Batches(split, 2, 7, 3, augment, **options)
    parts = []
    for epoch in (0, 1):
        batches.set_epoch(epoch)
        parts += [batches[i] for i in range(len(batches))]
    return [np.concatenate(column) for column in zip(*parts, strict=True)]


def check_equal_batches(pools, counts, split, *arguments, **options):
    expected = take_two_epochs(replace(split, loader=pools[counts[0]]), *arguments, **options)
    for count in counts[1:]:
        arrays = take_two_epochs(replace(split, loader=pools[count]), *arguments, **options)
        for a, b in zip(expected, arrays, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("augment", POLICIES)
@pytest.mark.parametrize("cache", ["none", "auto", "memory"])
def test_workers_change_no_bit(root, pools, augment, cache):
    split = cnnzoo.load_data(root, image_size=64, cache=cache).train
    check_equal_batches(pools, (0, 2), split, augment)


@pytest.mark.slow
@pytest.mark.parametrize("augment", POLICIES)
def test_any_number_of_workers_changes_no_bit(root, pools, augment):
    split = cnnzoo.load_data(root, image_size=64).train
    weights = np.random.default_rng(0).random(len(split)).astype("float32")
    for options in ({"balance": "sampling"}, {"sample_weights": weights}, {"first_batch": 3}):
        check_equal_batches(pools, (0, 1, 2, 4), split, augment, **options)


def test_stored_images_and_arrays_are_loaded_by_processes(pools):
    images = np.random.default_rng(0).integers(0, 256, (20, 80, 80, 3), "uint8")
    arrays = cnnzoo.load_data((images, np.arange(20) % 2), splits=(0.6, 0.2, 0.2))
    check_equal_batches(pools, (0, 2), arrays.train)
    stream = cnnzoo.load_data(list(zip(images, np.arange(20) % 2, strict=True)), splits=(0.6, 0.2, 0.2), image_size=70)
    assert stream.has_photos
    check_equal_batches(pools, (0, 2), stream.train)


def test_processes_fill_the_cache(root, pools):
    for cache in ("auto", "memory"):
        data = cnnzoo.load_data(root, image_size=64, cache=cache).with_loader(pools[2])
        assert not data.test.images.cache.marks.any()
        uncached = cnnzoo.load_data(root, image_size=64, cache="none").test.images[:]
        batches = data.batches("test", 4)
        for _ in range(2):
            np.testing.assert_array_equal(np.concatenate([images for images, _ in batches]), uncached)
        assert data.test.images.cache.marks.all()
        assert pools[2].count_workers(data.test.images, batches.pipeline) == 0, "threads copy what is there"


# A process as the loader uses it

COLORS = np.repeat(np.arange(8, dtype="uint8"), 16).reshape(8, 4, 4, 1)


def run_test_pipeline(loader, action, colors=COLORS):
    return loader.start(colors, TestPipeline(action), list(range(len(colors))), [None] * len(colors)).wait()


def test_processes_import_no_framework(pools):
    images = run_test_pipeline(pools[1], "heavy_modules")
    assert images[3].max() == 0
    assert images[4].min() == 4, "other images are as they were"


def test_a_process_starts_within_a_second_of_processor_time():
    """It takes 0.2 s."""
    before = os.times()
    loader = Loader(1)
    run_test_pipeline(loader, "invert")
    (worker,) = loader.pool.workers
    del loader
    wait_until(lambda: worker.process is None)
    after = os.times()
    assert after.children_user + after.children_system - before.children_user - before.children_system < 1


@pytest.mark.parametrize(("action", "reason"), [("kill", "was killed.*memory runs out"), ("crash", "crashed .SIGSEGV")])
def test_a_process_that_dies_is_an_error_that_names_the_image(pools, action, reason):
    with pytest.raises(cnnzoo.InputError, match=f"was loading image 3 {reason}.*workers=0"):
        run_test_pipeline(pools[1], action)
    np.testing.assert_array_equal(run_test_pipeline(pools[1], "invert")[3], 252), "the next job starts another"


def test_a_process_that_hangs_is_an_error_that_names_the_image(pools, monkeypatch):
    monkeypatch.setattr(worker_process, "HANG_SECONDS", 1)
    with pytest.raises(cnnzoo.InputError, match="was loading image 3 did not respond for 1 seconds"):
        run_test_pipeline(pools[1], "hang")


def test_an_error_belongs_to_its_job(pools):
    """Also while jobs of larger images wait for more memory, and while others of the batch go on."""
    loader = pools[1]
    large = np.full((40, 300, 300, 1), 5, "uint8")
    batches = [
        loader.start(images, TestPipeline("fail"), list(range(len(images))), [None] * len(images))
        for images in (COLORS, large, COLORS[:3], COLORS, large)
    ]
    outcomes = []
    for batch in batches:
        try:
            outcomes.append(batch.wait().mean())
        except ZeroDivisionError as error:
            outcomes.append(str(error))
    assert outcomes == ["a fault of the program", 5, 1, "a fault of the program", 5]


def test_faults_are_told_as_they_are(pools):
    with pytest.raises(ZeroDivisionError, match="a fault of the program"):
        run_test_pipeline(pools[1], "fail")
    with pytest.raises(cnnzoo.InputError, match=re.escape("image 3: the image has the shape (9, 9, 1) instead of")):
        run_test_pipeline(pools[1], "grow")
    assert run_test_pipeline(pools[1], "invert")[3].min() == 252


def test_an_idle_process_ends_and_another_begins(monkeypatch):
    monkeypatch.setattr(worker_process, "IDLE_SECONDS", 0.5)
    loader = Loader(1)
    run_test_pipeline(loader, "invert")
    (first,) = loader.pool.process_ids()
    wait_until(lambda: not is_running(first))
    assert run_test_pipeline(loader, "invert")[3].min() == 252
    assert loader.pool.process_ids() != [first]


def test_processes_end_with_the_data(root):
    data = cnnzoo.load_data(root, image_size=64, workers=1)
    batches = data.batches("train", 4, seed=0)
    batches[0]
    data.batches("test", 4)[0]
    assert data.train.loader is data.test.loader, "the splits share the processes"
    (pid,) = data.train.loader.pool.process_ids()
    assert is_running(pid)
    del data, batches
    wait_until(lambda: not is_running(pid))


@contextmanager
def limited_file_size(size):
    """Let this process write no file of more bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_memory_that_cannot_be_reserved_is_an_error(pools):
    large = np.zeros((2, 2000, 1000, 1), "uint8")
    with (
        limited_file_size(100_000),
        pytest.raises(cnnzoo.InputError, match=r"Cannot reserve . MiB of memory for the images.*: File too large"),
    ):
        run_test_pipeline(pools[1], "invert", large)
    run_test_pipeline(pools[1], "invert", large)


# Photos that change


def load_copy(root, folder, **options):
    """Load photos of a folder of their own; return the data and the file of the first training image."""
    write_class_folders(folder, {"a": 6, "b": 6}, size=(90, 70))
    data = cnnzoo.load_data(folder, image_size=64, **options)
    return data, Path(data.train.images.photos[0].source)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("cache", ["none", "auto", "memory"])
def test_a_photo_that_vanished_or_changed_is_named(root, tmp_path, pools, workers, cache):
    data, file = load_copy(root, tmp_path / "p", cache=cache)
    data = data.with_loader(pools[workers])
    content = file.read_bytes()
    file.unlink()
    for batches in (data.batches("train", 20), data.batches("train", 20, seed=0, augment="basic")):
        with pytest.raises(cnnzoo.InputError, match=f"{re.escape(repr(str(file)))}.*no such file.*load the data again"):
            batches[0]
    file.write_bytes(next(other for other in file.parent.iterdir()).read_bytes())
    with pytest.raises(cnnzoo.InputError, match=f"{re.escape(repr(str(file)))} has changed.*load the data again"):
        data.batches("train", 20)[0]
    file.write_bytes(content)
    data.batches("train", 20)[0]  # written again, but equal


# The option


@pytest.mark.parametrize("workers", [-1, "many", True, 3.5, 513, None, "2", [2]])
def test_wrong_numbers_of_workers(workers):
    with pytest.raises(cnnzoo.InputError, match=f"workers must be 'auto', or a number.*{re.escape(repr(workers))}"):
        cnnzoo.load_data("digits", workers=workers)


def test_more_workers_than_cores_are_said():
    with pytest.warns(UserWarning, match="more workers than cores") as caught:
        assert check_workers(available_cores() + 1) == available_cores() + 1
    assert caught[0].filename == __file__


def test_containers_limit_the_cores(tmp_path, monkeypatch):
    for text, cores in (("100000 100000", 1), ("10000 100000", 1), ("max 100000", None), ("99999999 100000", None)):
        file = tmp_path / "cpu.max"
        file.write_text(text)
        monkeypatch.setattr(threads, "CPU_LIMIT_FILE", file)
        threads._container_limit.cache_clear()
        assert available_cores() == (cores or len(os.sched_getaffinity(0)))
    threads._container_limit.cache_clear()


def test_auto_uses_processes_for_many_photos(root, monkeypatch):
    data = cnnzoo.load_data(root, image_size=64, cache="none")
    images, pipeline = data.train.images, data.batches("train", 8, seed=0, augment="basic").pipeline
    assert data.workers == "auto"
    assert data.train.loader.count_workers(images, pipeline) == 0, "40 photos are few"
    monkeypatch.setattr(loader_module, "MIN_AUTO_IMAGES", 40)
    for cores in (1, 2, 8, 100):
        monkeypatch.setattr(loader_module, "available_cores", lambda cores=cores: cores)
        expected = {1: 0, 2: 2, 8: 8, 100: 16}[cores]
        assert data.train.loader.count_workers(images, pipeline) == expected
    assert Loader(share=4).count_workers(images, pipeline) == 16, "of 100 cores, for each of four trainings"
    assert Loader(share=60).count_workers(images, pipeline) == 0
    assert data.train.loader.count_workers(np.zeros((5000, 8, 8, 1)), pipeline) == 0


def test_a_loader_is_pickled_without_its_processes():
    loader = Loader(1)
    run_test_pipeline(loader, "invert")
    copied = pickle.loads(pickle.dumps(loader))
    assert (copied.workers, copied.pool) == (1, None)


# The end of the parent. The script has no `__main__` guard.

SCRIPT = """
import os, signal, sys, time
import numpy as np
from helpers.pipelines import TestPipeline
from cnnzoo.data.loader import Loader

def run(action):
    return loader.start(colors, TestPipeline(action), list(range(64)), [None] * 64)

loader = Loader(2)
colors = np.repeat(np.arange(64, dtype="uint8"), 16).reshape(64, 4, 4, 1)
run("invert").wait()
ids = loader.pool.process_ids()
assert len(ids) == 2, ids
if "fork" in sys.argv:
    child = os.fork()
    if child == 0:  # has processes of its own
        run("invert").wait()
        assert not set(loader.pool.process_ids()) & set(ids)
        sys.exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert run("invert").wait()[3].min() == 252
signal.signal(signal.SIGINT, signal.default_int_handler)  # which is ignored if the tests run in the background
print(*ids, flush=True)
if "hang" in sys.argv:
    run("hang").wait()
"""


def start_script(*words):
    """Start the script in a process group of its own; return it and the ids of its workers."""
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore:This process:DeprecationWarning", "-c", textwrap.dedent(SCRIPT), *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    return process, [int(word) for word in process.stdout.readline().split()]


def test_a_script_without_a_guard_ends_with_its_processes():
    process, ids = start_script("fork")
    _, error = process.communicate(timeout=60)
    assert (process.returncode, error) == (0, "")
    assert len(ids) == 2
    wait_until(lambda: not any(map(is_running, ids)))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_no_process_outlives_its_parent(number):
    process, ids = start_script("hang")
    assert len(ids) == 2
    os.killpg(process.pid, number)
    _, error = process.communicate(timeout=60)
    assert process.returncode in (-number, 1)
    assert ("KeyboardInterrupt" in error) == (number == signal.SIGINT)
    assert error.count("Traceback") <= 1, "the workers say nothing"
    wait_until(lambda: not any(map(is_running, ids)))
