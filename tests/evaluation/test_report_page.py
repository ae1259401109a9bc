"""The page of a report: its figures are those of the report, its commands are valid, and hostile names are escaped."""

import re
import shlex
import urllib.parse
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.image_files import write_class_folders
from helpers.pages import Page

import cnnzoo
from cnnzoo.cli.main import cli as commands
from cnnzoo.core.text import escape_controls
from cnnzoo.evaluation import page, report_charts
from cnnzoo.evaluation.calibration import apply_temperature
from cnnzoo.evaluation.commands import check_labels_command
from cnnzoo.evaluation.next_steps import suggest_steps
from cnnzoo.evaluation.report import Report

HOSTILE = "</td><script>alert('x')</script>\x1b[2J\u202e\n"


@pytest.fixture(scope="module")
def report():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 40)
    p = rng.dirichlet([1, 1, 1], 40)
    images = rng.integers(0, 256, (40, 8, 8, 3), "uint8")
    names = np.array([f"{HOSTILE}/{i}.png" for i in range(40)])
    history = {key: [0.9, 0.6] for key in ("loss", "accuracy", "val_loss", "val_accuracy")}
    classes = ("ant & $x$", HOSTILE, "ümläut")
    return Report(
        HOSTILE,
        HOSTILE,
        "test",
        classes,
        names,
        labels,
        apply_temperature(p, 2),
        images,
        history,
        2,
        temperature=2.0,
        uncalibrated_probabilities=p,
    )


def commands_of(report):
    return [shlex.split(command) for _, command in page.suggest_commands(report)]


def test_the_headline_has_the_figures_of_the_report(report):
    parsed = Page(report.to_html())
    wrong = int((report.predicted != report.labels).sum())
    most = np.bincount(report.labels).max()
    low, high = report.metrics["intervals_95"]["accuracy"]
    assert f"{100 * report.accuracy:.0f} % accuracy" in parsed.text
    assert f"95 % interval: {100 * low:.0f} to {100 * high:.0f} %" in parsed.text
    assert f"{wrong} of 40 test images are classified wrong" in parsed.text
    assert f"the most frequent class, gives {100 * most / 40:.0f} %" in parsed.text


def test_the_page_keeps_its_promises_with_hostile_names(report):
    html = report.to_html()
    Page(html).check()
    assert "\x1b" not in html
    assert "\u202e" not in html
    assert "\\u202e\\n" in html
    assert html.count("&lt;script&gt;") > 20


def test_a_page_of_a_perfect_model_without_training_is_shorter():
    images, labels = np.zeros((3, 4, 4, 1)), np.array([0, 1, 1])
    parsed = Page(Report("net", "set", "test", ("a", "b"), np.arange(3), labels, np.eye(2)[labels], images).to_html())
    parsed.check()
    assert "0 of 3 test images are classified wrong" in parsed.text
    assert "100 % accuracy" in parsed.text
    for missing in ("confident mistakes", "Training", "Setup", "taken for", "cnnzoo predict", "Marked as low"):
        assert missing not in parsed.text


def test_mistakes_have_captions_with_both_probabilities(report):
    parsed = Page(report.to_html())
    for i in report.worst[:24]:
        p, classes = report.probabilities[i], [escape_controls(name) for name in report.classes]
        true, predicted = report.labels[i], report.predicted[i]
        assert f"true: {classes[true]}, {100 * p[true]:.1f} %" in parsed.text
        assert f"predicted: {classes[predicted]}, {100 * p.max():.1f} %" in parsed.text
    assert len(parsed.all("img")) == min(24, len(report.worst)) + min(24, len(report.suspects))


def test_mistakes_link_to_their_files(tmp_path):
    write_class_folders(tmp_path / "my photos", {"a": 6, "b#": 6})
    data = cnnzoo.load_data(tmp_path / "my photos", image_size=32)
    model = cnnzoo.get("resnet20", classes=data.classes)
    report = cnnzoo.evaluate(model, data, split="train")
    report.save(tmp_path / "report")
    parsed = Page((tmp_path / "report" / "report.html").read_text(encoding="utf-8"))
    parsed.check()
    links = [link["href"] for link in parsed.all("a") if link["href"].startswith("file:")]
    assert links
    assert all(Path(urllib.parse.unquote(urllib.parse.urlsplit(link).path)).is_file() for link in links)
    assert (tmp_path / "report" / "predictions.csv").is_file()
    assert "predictions.csv" in [link["href"] for link in parsed.all("a")]


def test_commands_name_the_run_and_are_valid(trained, report, tmp_path):
    suggested = commands_of(trained.report)
    assert [command[1] for command in suggested[:3]] == ["predict", "export", "evaluate"]
    doubtful = replace(report, run_dir=tmp_path / "a run")
    steps = [shlex.split(step.command) for step in suggest_steps(doubtful) if step.command]
    assert str(tmp_path / "a run" / "labels_to_check.csv") in str(steps)
    for name, subcommand, *arguments in (*suggested, *commands_of(doubtful), *steps):
        assert name == "cnnzoo"
        assert arguments[0] in (str(trained.folder), str(tmp_path / "a run"))
        commands.commands[subcommand].make_context(subcommand, arguments)  # exits if an option is unknown
    text = Page((trained.folder / "report.html").read_text(encoding="utf-8")).text
    assert all(shlex.join(command) in text for command in suggested)


def test_settings_that_differ_from_the_defaults_come_first_and_the_rest_is_folded(trained):
    report = trained.report
    assert {"recipe.epochs", "recipe.batch_size", "recipe.learning_rate", "seed"} <= report.record.keys()
    assert {"optimizer", "schedule"} <= report.defaults.keys()
    assert not {name.removeprefix("recipe.") for name in report.record} & report.defaults.keys()
    html = (trained.folder / "report.html").read_text(encoding="utf-8")
    folded = html[html.index("<details>") : html.index("</details>")]
    assert "nesterov" in folded
    assert "recipe.epochs" not in folded
    assert f"{len(report.defaults)} settings at their defaults" in folded
    named = replace(report, record={"recipe": "finetune", "recipe.epochs": 9}, defaults={"optimizer": "adamw"})
    text = Page(named.to_html()).text
    assert "Settings of the training that differ from the recipe finetune, and versions" in text
    assert "1 settings of the recipe finetune" in text


def test_calibration_is_shown_before_and_after_the_temperature(report):
    parsed = Page(report.to_html())
    assert "Reliability before calibration" in parsed.text
    assert "Reliability after calibration" in parsed.text
    for key in ("calibrated", "uncalibrated"):
        error = report.metrics[key]["calibration_error"]
        assert parsed.text.count(f"{100 * error:.0f} %") >= 2, "in the summary and below the chart"
    assert "By chance alone, a perfectly calibrated model has" in parsed.text


@pytest.mark.parametrize("classes", [2, 20, 60])
def test_a_matrix_of_any_size_is_drawn(classes):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, classes, 300)
    p = rng.dirichlet(np.ones(classes), 300)
    names = tuple(f"class {i} with a long name" for i in range(classes))
    report = Report("net", "set", "test", names, np.arange(300), labels, p, np.zeros((300, 4, 4, 1)))
    html = report.to_html()
    Page(html).check()
    assert len(html) < 600_000


def test_many_classes_are_folded_but_those_with_the_lowest_f1():
    labels = np.repeat(np.arange(60), 5)
    p = np.eye(60)[labels]
    p[::5] = np.eye(60)[(labels[::5] + (labels[::5] > 50)) % 60]  # one image of each of the last classes is wrong
    names = tuple(f"class {i}" for i in range(60))
    html = Report("net", "set", "test", names, np.arange(300), labels, p, np.zeros((300, 4, 4, 1))).to_html()
    Page(html).check()
    lowest, _, folded = html[html.index('<h2 id="classes">') :].partition("<details>")
    shown = re.findall(r'<th scope="row">class (\d+)</th>', lowest)
    assert len(shown) == page.LOWEST_CLASSES
    assert {"51", "55", "59"} <= set(shown)
    assert len(re.findall(r'<th scope="row">class \d+( <span class="tag">low</span>)?</th>', folded)) == 60


def test_the_probe_is_described_with_as_many_digits_as_images_can_tell_apart(report):
    figures = {"accuracy": 2 / 3, "validation_accuracy": 18 / 31, "validation_log_loss": 1.1151}
    tuned = {"tuned_epoch": 5, "tuned_validation_accuracy": 25 / 31, "tuned_validation_log_loss": 0.8252}
    with_probe = replace(report, best_epoch=5, probe=figures | tuned, record={"images.validation": 31})
    assert with_probe.probe_summary == (
        "The linear probe before fine-tuning has an accuracy of 67 % on test and 58 % on validation. Epoch 5 was kept: "
        "it has an accuracy of 81 % on validation, and a log loss of 0.83 at the best temperature for "
        "these images; the probe has 58 % and 1.12."
    )
    kept_probe = replace(with_probe, best_epoch=0, probe=with_probe.probe | {"standard_error": 0.0123})
    assert "The probe was kept, because fine-tuning gained less" in kept_probe.probe_summary
    worse = replace(kept_probe, probe=kept_probe.probe | {"tuned_validation_log_loss": 1.2})
    assert "The probe was kept, because the tuned weights have no lower log loss" in worse.probe_summary
    worse = replace(kept_probe, probe=kept_probe.probe | {"tuned_validation_accuracy": 17 / 31})
    assert "The probe was kept, because the tuned weights have a lower accuracy" in worse.probe_summary
    assert "log loss lower by more than a standard error (0.01)." in kept_probe.probe_summary
    assert replace(with_probe, probe=figures).probe_summary.endswith("Epoch 5 was kept.")


def test_a_probe_that_was_not_validated_is_left_out_of_the_curves(report):
    history = {"loss": [0.5, 0.4], "accuracy": [0.8, 0.9]}
    unvalidated = replace(report, history=history, best_epoch=2, probe={"accuracy": 2 / 3, "log_loss": 1.0})
    assert "linear probe, validation" not in unvalidated.to_html()
    validated = {"validation_accuracy": 0.7, "validation_log_loss": 1.0} | unvalidated.probe
    history |= {f"val_{key}": values for key, values in history.items()}
    assert "linear probe, validation" in replace(unvalidated, history=history, probe=validated).to_html()


def test_the_baseline_names_a_class_only_if_one_is_the_most_frequent(report):
    same = replace(
        report, labels=np.arange(40) % 2, classes=report.classes[:2], probabilities=report.probabilities[:, :2]
    )
    assert "always answering the same class gives 50 %" in page.describe_accuracy(same)[-1]
    assert "the most frequent class, gives" in page.describe_accuracy(report)[-1]


def test_the_command_for_corrected_labels_names_the_photos_or_a_placeholder(report, tmp_path):
    with_run = replace(report, run_dir=tmp_path)
    assert f"cnnzoo evaluate {tmp_path} PHOTOS --fix-list" in check_labels_command(with_run)
    assert "PHOTOS stands for the folder" in str(suggest_steps(with_run))
    photos = replace(with_run, source="/my photos")
    assert f"cnnzoo evaluate {tmp_path} '/my photos' --fix-list" in check_labels_command(photos)
    assert "stands for" not in str(suggest_steps(photos))
    lists = f"--fix-list {tmp_path}/fix_list.csv --fix-list {tmp_path}/labels_to_check.csv"
    assert lists in check_labels_command(replace(photos, has_fix_list=True))


def test_epochs_are_told_as_planned_and_as_trained(report):
    for settings in ({"record": {"recipe.epochs": 9}}, {"record": {"seed": 0}, "defaults": {"epochs": 9}}):
        assert "9 planned, 2 trained" in Page(replace(report, **settings).to_html()).text
    assert "planned" not in Page(replace(report, record={"recipe.epochs": 2}).to_html()).text


def test_the_lowest_tick_of_a_chart_has_a_number_and_no_title_is_repeated(report):
    history = {key: [0.53, 0.97] for key in report.history}
    charts = report_charts.draw_curves(replace(report, history=history))
    assert ">50 %</text>" in charts[1]
    assert all(chart.count(f">{name}</text>") == 0 for chart, name in zip(charts, ("loss", "accuracy"), strict=True))
