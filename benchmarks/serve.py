"""Measure `cnnzoo serve` under load, beside `Classifier.predict` and a bare FastAPI server around `model.predict`.

python benchmarks/serve.py --keep

Everything is measured in one run, on loopback: images per second and latency at 1, 8, 64 and 200 clients, the time of
one client above decoding and predicting, and the start of a server. The load generator is a process of its own, which
shares the processor with the server; the table says how much of a core it took.
"""

import csv
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from json import loads
from multiprocessing import get_context
from pathlib import Path
from statistics import mean, median

import click
import numpy as np

HERE = Path(__file__).parent
RESULTS = HERE / "results"
PHOTOS = 48
BATCH_SIZES = (4, 8, 16, 32)
START_SECONDS = 120
COLUMNS = ("contender", "clients", "rate", "p50_ms", "p90_ms", "p99_ms", "answers", "server_ms", "generator_share")
COLUMNS += ("seconds", "megabytes")


def write_photos(folder):
    """Write crops of scikit-learn's two photos as JPEG files of 500x375 pixels, which is what ImageNet's have."""
    from PIL import Image
    from sklearn.datasets import load_sample_images

    photos, rng = load_sample_images().images, np.random.default_rng(0)
    for i in range(PHOTOS):
        photo = photos[i % 2]
        y, x = rng.integers(0, photo.shape[0] - 375), rng.integers(0, photo.shape[1] - 500)
        Image.fromarray(photo[y : y + 375, x : x + 500]).save(folder / f"{i:02}.jpg", quality=90)


def export(model, path):
    """Export a network with random weights for OpenVINO; an export that exists is used as it is."""
    if Path(model).is_dir():
        return str(model)
    import cnnzoo

    cnnzoo.export(cnnzoo.get(model), path, "openvino")
    return str(path)


# ---- In a process of its own: what the classifier takes without a server

classifiers = {}


def load_classifier(path):
    """Return the classifier of an export, which the process keeps."""
    import cnnzoo

    if path not in classifiers:
        classifiers[path] = cnnzoo.load(path)
    return classifiers[path]


def measure_predict(path, files, batch_size, seconds):
    """Return images per second of `Classifier.predict`."""
    classifier = load_classifier(path)
    classifier.predict(files, batch_size=batch_size, verbose=False)
    started, done = time.perf_counter(), 0
    while time.perf_counter() - started < seconds:
        classifier.predict(files, batch_size=batch_size, verbose=False)
        done += len(files)
    return done / (time.perf_counter() - started)


def measure_one_by_one(path, files, seconds):
    """Return the median milliseconds to decode and predict one image."""
    from cnnzoo.serve.decoding import decode
    from cnnzoo.serve.limits import Limits

    classifier, limits, times = load_classifier(path), Limits(), []
    contents = [Path(file).read_bytes() for file in files]
    started = time.perf_counter()
    while time.perf_counter() - started < seconds:
        begun = time.perf_counter()
        classifier.scores(decode(contents[len(times) % len(contents)], classifier.transform, limits)[None])
        times.append(time.perf_counter() - begun)
    return 1000 * median(times)


# ---- Servers


@contextmanager
def running(command):
    """Start a server; yield its port, its process and the seconds until it was ready."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    started = time.perf_counter()
    process = subprocess.Popen([sys.executable, *command(port)], stdout=subprocess.DEVNULL, env=environment)
    try:
        while not is_ready(port):
            if process.poll() is not None or time.perf_counter() - started > START_SECONDS:
                raise SystemExit(f"The server did not start: {command(port)}")
            time.sleep(0.02)
        yield port, process, time.perf_counter() - started
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()


def is_ready(port):
    """Return whether a server answers; ours with 503 until its model is loaded, the bare one with 404."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5):
            return True
    except urllib.error.HTTPError as error:
        return error.code == 404
    except OSError:
        return False


def serve_command(path):
    """Return the command of our server as a function of its port."""
    return lambda port: ["-m", "cnnzoo", "serve", path, "--port", str(port)]


def processor_seconds(process):
    """Return the seconds of processor time that a process has used."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_megabytes(process):
    """Return the resident memory of a process."""
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1000


def put_load(name, port, process, photos, clients, seconds):
    """Return a row of the table: what came back from a server under load, and the processor time per answer."""
    before = processor_seconds(process)
    command = [sys.executable, HERE / "serving" / "generate_load.py", str(port), photos]
    command += ["--clients", str(clients), "--seconds", str(seconds)]
    row = loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    answers = row["answers"]
    row["server_ms"] = round(1000 * (processor_seconds(process) - before) / max(1, sum(answers.values())), 2)
    row["answers"] = " ".join(f"{status}:{count}" for status, count in sorted(answers.items()))
    row |= {"contender": name, "clients": clients, "megabytes": round(resident_megabytes(process))}
    return row


def show(rows, **row):
    """Add a row to the table and print it."""
    rows.append(row)
    print(", ".join(f"{column} {row[column]}" for column in COLUMNS if column in row), flush=True)


def show_ratio(what, value, bar, unit=""):
    """Print a figure beside what it should be."""
    print(f"{what}: {value:.2f}{unit} ({bar})", flush=True)


@click.command()
@click.option("--model", default="resnet18", show_default=True, help="A network, or the folder of its export.")
@click.option("--cold-model", default="resnet50", show_default=True, help="The same, for the start of a server.")
@click.option("--clients", default="1,8,64,200", show_default=True, help="Numbers of clients.")
@click.option("--seconds", default=8.0, show_default=True, help="Time for each figure.")
@click.option("--long", "long_seconds", default=60.0, show_default=True, help="Time for the most clients.")
@click.option("--rounds", default=3, show_default=True, help="Turns of what is compared closely, and of starts.")
@click.option("--keep", is_flag=True, help="Write the table into results/.")
def main(model, cold_model, clients, seconds, long_seconds, rounds, keep):
    """Print one line for each figure, and the ratios at the end."""
    levels = sorted({int(number) for number in clients.split(",")})
    rows = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (folder / "photos").mkdir()
        write_photos(folder / "photos")
        files = [str(file) for file in sorted((folder / "photos").iterdir())]

        def start_process():  # spawned, so that nothing of one task is left in the next
            return stack.enter_context(ProcessPoolExecutor(1, mp_context=get_context("spawn")))

        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:  # its memory is freed
            path = pool.submit(export, model, folder / "export").result()
            cold_path = pool.submit(export, cold_model, folder / "cold").result()

        # The start of a server
        starts = []
        for _ in range(rounds):
            with running(serve_command(cold_path)) as (_, process, ready_seconds):
                starts.append((ready_seconds, resident_megabytes(process)))
        cold_seconds, cold_megabytes = (median(column) for column in zip(*starts, strict=True))
        show(rows, contender="start", seconds=round(cold_seconds, 2), megabytes=round(cold_megabytes))

        # The classifier alone, at the batch size that suits it best
        pool = start_process()
        rates = {n: pool.submit(measure_predict, path, files, n, seconds / 2).result() for n in BATCH_SIZES}
        best = max(rates, key=rates.__getitem__)
        for n, rate in rates.items():
            show(rows, contender=f"Classifier.predict, batches of {n}", rate=round(rate, 2))

        # Our server: one client in turns with the classifier, then more and more clients
        with running(serve_command(path)) as (port, process, _):
            put_load("", port, process, folder / "photos", 2, 1.0)  # the first requests are slower
            alone, one = [], []
            for _ in range(rounds):
                alone.append(pool.submit(measure_one_by_one, path, files, seconds / 3).result())
                one.append(put_load("", port, process, folder / "photos", 1, seconds / 3)["p50_ms"])
            show(rows, contender="decoding and predicting one image", p50_ms=round(median(alone), 2))
            show(rows, contender="one client", p50_ms=round(median(one), 2))
            for n in levels[:-1]:
                show(rows, **put_load("cnnzoo serve", port, process, folder / "photos", n, seconds))
            predicts = [pool.submit(measure_predict, path, files, best, seconds).result()]
            show(rows, **put_load("cnnzoo serve", port, process, folder / "photos", levels[-1], long_seconds))
            ours = rows[-1]
            predicts.append(pool.submit(measure_predict, path, files, best, seconds).result())
            show(rows, contender=f"Classifier.predict, batches of {best}, again", rate=round(mean(predicts), 2))

        # The bare server
        name = loads((Path(path) / "cnnzoo.json").read_text())["card"]["name"]
        script = str(HERE / "serving" / "bare_server.py")
        with running(lambda port: [script, name, str(port)]) as (port, process, _):
            for n in levels:
                show(rows, **put_load("FastAPI and model.predict", port, process, folder / "photos", n, seconds))
        bare = rows[-1]

    refused = {part.partition(":")[0] for part in ours["answers"].split()} - {"200", "503"}
    print(f"answers of {levels[-1]} clients but 200 and 503: {', '.join(sorted(refused)) or 'none'}")
    show_ratio("answers a second, to Classifier.predict", ours["rate"] / mean(predicts), "at least 0.90")
    show_ratio("answers a second, to the bare server", ours["rate"] / (bare["rate"] or np.nan), "at least 3")
    show_ratio("one client, above decoding and predicting", median(one) - median(alone), "at most 3", " ms")
    show_ratio("start until ready", cold_seconds, "at most 5", " s")
    show_ratio("memory when ready", cold_megabytes, "at most 400", " MB")
    if keep:
        with (RESULTS / f"serve-cpu{os.cpu_count()}.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(rows)


if __name__ == "__main__":
    main()
