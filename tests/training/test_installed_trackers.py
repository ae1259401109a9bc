"""Trainings with the real MLflow and Weights & Biases, where they are installed: `make test-track`."""

import importlib.util
import json
import socket
import struct
import time
import warnings

import pytest
from helpers.training import CrashAt, CrashError, fit, new_lenet, read_report

import cnnzoo


def needs(package):
    """Return a mark that skips a test if a package is not installed."""
    spec = importlib.util.find_spec(package)
    return pytest.mark.skipif(spec is None or not spec.origin, reason=f"needs {package}: make test-track")


@pytest.fixture
def store(tmp_path, monkeypatch):
    """The address of an empty MLflow store, which the environment names."""
    address = f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    monkeypatch.setenv("CNNZOO_TRACK_SECONDS", "300")
    monkeypatch.chdir(tmp_path)
    return address


def fit_in_two_parts(data, folder, track):
    """Train with a crash in the third of four epochs, and resume; return the report."""
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        with pytest.raises(CrashError):
            fit(new_lenet(), data, run_dir=folder, track=track, callbacks=[CrashAt(2, 1)])
        return fit(new_lenet(), data, run_dir=folder, track=track)


@needs("mlflow")
def test_mlflow_gets_one_run_with_everything(data, tmp_path, store, uninterrupted):
    report = fit_in_two_parts(data, tmp_path / "a run", "mlflow")
    assert read_report(tmp_path / "a run") == read_report(uninterrupted.folder)

    from mlflow import MlflowClient

    client = MlflowClient(store)
    (run,) = client.search_runs(["0"])
    assert (run.info.status, run.info.run_name) == ("FINISHED", "a run")
    assert run.data.params["recipe.learning_rate"] == "0.05"
    assert len(run.data.params["fingerprint.test"]) == 16
    for name, values in report.history.items():
        points = sorted((point.step, point.value) for point in client.get_metric_history(run.info.run_id, name))
        assert points == [(step, pytest.approx(value)) for step, value in enumerate(values, 1)]
    assert run.data.metrics["test_accuracy"] == report.accuracy
    names = {item.path for item in client.list_artifacts(run.info.run_id)}
    assert names >= {"report.html", "model.keras", "run.json"}
    assert not names & {"state", "tracking.json", ".lock"}


@needs("mlflow")
def test_a_run_of_the_program_is_used_and_left_open(data, store):
    import mlflow

    with mlflow.start_run() as active:
        report = fit(new_lenet(), data, track="mlflow")
        assert mlflow.active_run().info.run_id == active.info.run_id
    (run,) = mlflow.MlflowClient(store).search_runs(["0"])
    assert run.data.metrics["test_accuracy"] == report.accuracy
    assert run.info.status == "FINISHED"


@needs("mlflow")
@pytest.mark.parametrize("answers", [False, True])
def test_a_server_that_is_down_or_hangs_stops_no_training(data, tmp_path, monkeypatch, uninterrupted, answers):
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        if answers:
            server.listen()  # and nobody accepts
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:secret99@127.0.0.1:{server.getsockname()[1]}")
        monkeypatch.setenv("CNNZOO_TRACK_SECONDS", "3")
        start = time.monotonic()
        with pytest.warns(UserWarning, match="Tracking with mlflow failed") as caught:
            fit(new_lenet(), data, run_dir=tmp_path / "run", track="mlflow")
    messages = [str(warning.message) for warning in caught if "Tracking" in str(warning.message)]
    assert len(messages) == 1
    assert "secret99" not in messages[0]
    assert time.monotonic() - start < 300  # MLflow itself would try for many minutes
    assert read_report(tmp_path / "run") == read_report(uninterrupted.folder)


def read_wandb(path):
    """Return the records of an offline run of W&B: a LevelDB log of protocol buffers."""
    from wandb.proto.wandb_internal_pb2 import Record

    content, place, parts, records = path.read_bytes(), 7, [], []
    while place + 7 <= len(content):
        if 32768 - place % 32768 < 7:  # the rest of a block is too short for a header
            place += 32768 - place % 32768
            continue
        length, kind = struct.unpack_from("<HB", content, place + 4)
        parts.append(content[place + 7 : place + 7 + length])
        place += 7 + length
        if kind in (1, 4):  # a whole record, or the last part of one
            records.append(Record.FromString(b"".join(parts)))
            parts = []
    return records


@needs("wandb")
def test_wandb_offline_gets_everything(data, tmp_path, monkeypatch, uninterrupted):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    monkeypatch.setenv("CNNZOO_TRACK_SECONDS", "300")
    report = fit_in_two_parts(data, tmp_path / "run", "wandb")
    assert read_report(tmp_path / "run") == read_report(uninterrupted.folder)

    files = sorted(tmp_path.glob("wandb/offline-run-*/*.wandb"), key=lambda path: path.stat().st_mtime)
    assert len({path.name for path in files}) == 1  # one id
    records = read_wandb(files[-1])
    (run,) = [record.run for record in records if record.HasField("run")][:1]
    assert (run.project, run.display_name) == ("cnnzoo", "run")
    updates = [item for record in records for item in record.config.update]
    settings = {item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in updates}
    assert settings["recipe.learning_rate"] == 0.05
    rows = [{i.key or ".".join(i.nested_key): i.value_json for i in r.history.item} for r in records]
    losses = [float(row["loss"]) for row in rows if "loss" in row]
    assert losses == pytest.approx(report.history["loss"])  # the last part alone is complete
    summary = {i.key or ".".join(i.nested_key): i.value_json for r in records for i in r.summary.update}
    assert float(summary["test_accuracy"]) == report.accuracy
    assert any(record.request.HasField("log_artifact") or record.HasField("artifact") for record in records)


@needs("wandb")
def test_wandb_without_a_login_stops_no_training(data, tmp_path, monkeypatch):
    for name in ("WANDB_API_KEY", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("CNNZOO_TRACK_SECONDS", "20")
    with pytest.warns(UserWarning, match="Tracking with wandb failed"):
        report = cnnzoo.fit_and_evaluate(
            new_lenet(), data, recipe=cnnzoo.recipe("sgd", epochs=1, batch_size=12), track="wandb", verbose=False
        )
    assert report.accuracy >= 0
