"""The model card states how accurate the model is, wherever the model comes from, and what the export changes."""

import re
from dataclasses import replace

import pytest

import cnnzoo
from cnnzoo import cards
from cnnzoo.evaluation.summary import summarize_report
from cnnzoo.export.check import Comparison
from cnnzoo.export.export import Export
from cnnzoo.export.model_card import render_model_card
from cnnzoo.inference.exported import ExportInfo
from cnnzoo.runtimes.choose import FORMATS


def render(model, card):
    info = ExportInfo(card, "litert", "float32", (32, 32, 1))
    return render_model_card(
        "out", info, Comparison(0.031, 28, 27, 0.002, 3.1, 0.9, 0.95, 20), model, FORMATS["litert"].usage
    )


def test_the_figures_travel_with_the_model(trained, tmp_path):
    """In memory after the training, from the run, and from a file that was saved elsewhere."""
    copy = cnnzoo.save(trained.model, tmp_path / "copy.keras")
    accuracy = trained.report.metrics["accuracy"]
    low, high = trained.report.metrics["intervals_95"]["accuracy"]
    expected = f"| accuracy | {100 * accuracy:.0f} % | {100 * low:.0f} to {100 * high:.0f} % |"
    for source in (trained.model, trained.folder, copy):
        model = source if source is trained.model else cnnzoo.load(source).model
        text = render(source, cards.card(model))
        assert expected in text
        assert re.search(
            r"measured on 12 test images of arrays, which were not used for training, on \d{4}-\d\d-\d\d:", text
        )
        assert "| calibration error |" in text
        assert not re.search("None|No metrics are known", text)


def test_runs_of_earlier_versions_have_their_figures_in_the_report(trained):
    card = cards.card(trained.model)
    earlier = replace(card, training={key: value for key, value in card.training.items() if key != "evaluation"})
    assert f"| accuracy | {100 * trained.report.accuracy:.0f} %" in render(trained.folder, earlier)
    assert "No metrics are known for this model" in render(trained.model, earlier)


def test_damaged_figures_are_not_shown(trained):
    card = cards.card(trained.model)
    damaged = replace(card, training=card.training | {"evaluation": {"accuracy": "<b>all</b>", "images": 12}})
    with pytest.warns(UserWarning, match="figures in the card.*does not show them"):
        assert "No metrics are known" in render(trained.model, damaged)


def test_the_card_says_how_export_and_model_agree(trained):
    text = render(trained.model, cards.card(trained.model))
    assert "The export and the model give 27 of 28 compared images the same class, and probabilities" in text
    assert "differ by at most 0.031 (0.0020 on average for the likeliest class)." in text
    assert "Of 20 validation images the export classifies 90 % correctly, and the model 95 %. One image is 5" in text
    assert Comparison(0.1, accuracy=0.9, before=0.9, validation_images=100).describe_accuracy().endswith("90 %")
    assert "cnnzoo evaluate out photos/" in text


def test_the_summary_has_the_figures_that_ship(trained):
    summary = summarize_report(trained.report)
    assert summary["images"] == len(trained.report.labels)
    assert summary["accuracy"] == trained.report.accuracy
    assert cards.card(trained.model).training["evaluation"] == summary


def test_the_card_says_why_no_temperature_is_applied_and_what_is_unsure(trained):
    card = cards.card(trained.model)
    reason = {"temperature": {"reason": "20 are *too* few"}, "min_probability": {"target_accuracy": 0.95}}
    text = render(trained.model, replace(card, temperature=1.0, min_probability=0.8123, calibration=reason))
    assert "The probabilities are not calibrated. No temperature is applied: 20 are" in text
    assert "The logits are divided" not in text
    assert "below 0.8123 are unsure: this threshold was chosen on the validation images for an accuracy of 95 %" in text
    hostile = render(
        trained.model, replace(card, temperature=2.0, calibration={"temperature": 5, "min_probability": 5})
    )
    assert "The logits are divided by a temperature of 2.000" in hostile


def test_a_card_without_a_temperature_does_not_claim_one(trained):
    for temperature in (None, 1.0):
        text = render(trained.model, replace(cards.card(trained.model), temperature=temperature, calibration={}))
        assert "The probabilities are not calibrated. No temperature" in text
        assert "The logits are divided" not in text


def test_the_images_that_a_fix_list_has_left_out_are_named(trained):
    card = cards.card(trained.model)
    assert "fix list" not in render(trained.model, card)
    data = card.training["data"] | {"fix_list": {"sha256": "0", "excluded": 4, "relabeled": 1}}
    fixed = render(trained.model, replace(card, training=card.training | {"data": data}))
    assert "| fix list | 4 images excluded, 1 relabeled |" in fixed


def test_the_recipe_is_what_differs_from_the_defaults(trained):
    """With the epochs that were trained, which early stopping or a callback may end."""
    card = cards.card(trained.model)
    text = render(trained.model, card)
    recipe = next(line for line in text.splitlines() if line.startswith("| recipe |"))
    assert "learning" in recipe
    assert not re.search("momentum 0.9|nesterov|aux|precision float32|bn train|epochs", recipe.replace("\\", ""))
    planned, best = card.training["recipe"]["epochs"], trained.report.best_epoch
    assert f"| epochs | {planned} of {planned}; the weights are those of epoch {best} |" in text
    for kept, words in (
        (None, ", none of which was kept; the weights are those of the linear probe"),
        (0, ", none of which was kept; the weights are those of the start"),
        (2, "; the weights are those of epoch 2"),
    ):
        shortened = replace(card, training=card.training | {"epochs": {"trained": 5, "kept": kept}})
        assert f"| epochs | 5 of {planned}{words} |" in render(trained.model, shortened)
    earlier = {key: value for key, value in card.training.items() if key not in ("epochs", "settings")}
    text = render(trained.model, replace(card, training=earlier))
    assert f"| epochs | at most {planned} |" in text
    assert recipe in text, "models of earlier versions have the whole recipe in their card"


def test_an_average_that_reads_as_the_largest_difference_is_left_out():
    text = Comparison(1e-6, 16, 16, 4e-7).describe_agreement()
    assert text.endswith("give all 16 compared images the same class, and probabilities that differ by at most 0.00001")


def test_the_time_of_an_image_is_a_plain_number(tmp_path):
    for milliseconds, expected in ((0.0567, "0.057 ms"), (9.96, "10 ms"), (178.2, "180 ms"), (999, "1.0 s")):
        export = Export(tmp_path, "onnx", 0.0, comparison=Comparison(0.0, 16, 16, 0.0, milliseconds))
        assert f"One image takes about {expected} here" in str(export)


def test_levels_of_color_photos_need_all_bits(trained):
    card = cards.change_card(cards.card(trained.model), levels=(1000, 40000))
    for format, channels, is_noted in (("onnx", 3, True), ("onnx", 1, False), ("saved_model", 3, False)):
        info = ExportInfo(card, format, "float32", (32, 32, channels))
        text = render_model_card("out", info, Comparison(0.0, 16, 16), trained.model, FORMATS[format].usage)
        assert ("upper 8 of the 16 bits" in text) == is_noted


def test_no_photo_is_shown_to_a_network_of_other_channels(trained):
    info = ExportInfo(cards.card(trained.model), "onnx", "float32", (32, 32, 4))
    text = render_model_card("out", info, Comparison(0.0, 16, 16), trained.model, FORMATS["onnx"].usage)
    assert "photo" not in text[text.index("## How to use it") :]
    assert "cnnzoo evaluate out data.npz" in text
    assert 'images = np.load("image.npy")[None]' in text
    assert "Pillow" not in text


def test_the_card_of_a_trained_model_has_weights(trained):
    assert "weights: trained with cnnzoo>" in repr(cards.card(trained.model))
    assert "weights: none>" in repr(cards.card(cnnzoo.get("lenet5", classes=3)))
