"""Fine-tuning: fit the best head on unchanged features first, then train the layers below it, and keep the better."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import keras
import numpy as np

from cnnzoo import cards
from cnnzoo.core.errors import InputError, TrainingError
from cnnzoo.core.numbers import format_score, format_share
from cnnzoo.core.processes import is_main_process, share_value
from cnnzoo.core.progress import show_progress
from cnnzoo.data.images import ImageData
from cnnzoo.evaluation.calibration import apply_temperature, log_losses
from cnnzoo.evaluation.compatibility import bind_to_model, check_output_matches, same_class_names
from cnnzoo.evaluation.evaluate import make_report, predict_split
from cnnzoo.evaluation.evaluations import record_evaluation
from cnnzoo.evaluation.report import Report
from cnnzoo.evaluation.temperature import fit_temperature
from cnnzoo.surgery.head import adopt_head, replace_head
from cnnzoo.training.callbacks import averaged_weights
from cnnzoo.training.probe import fit_linear_probe
from cnnzoo.training.progress import tell
from cnnzoo.training.run import check_run_dir
from cnnzoo.training.state import restore_start
from cnnzoo.training.trainer import Trainer

NO_EPOCH_FITS = "allows no epoch after the linear probe"  # in the note of a run about its time budget


class FineTuner(Trainer):
    """A trainer that gives the model a new head if necessary, and starts from a linear probe."""

    task = "fine_tune"
    _restore_head: Callable[[], None] | None = None  # puts the old head back
    _probe_losses: np.ndarray | None = None  # the log loss of the probe on each validation image

    def _match_model(self, data: ImageData) -> ImageData:
        """Return `data` at the model's size; a model of other classes gets a new head."""
        with show_progress("Preparing the images", verbose=self.options.verbose):
            data = bind_to_model(self.model, data, **self.options.transform)
        if note := self._describe_fresh_weights():
            data = replace(data, notes=(*data.notes, note))
        if not same_class_names(cards.card(self.model).classes, data.classes):
            data = self._replace_head(data)
        check_output_matches(self.model, data.classes)
        return data

    def _describe_fresh_weights(self) -> str:
        """Return a note, which is printed too, if the model was built without pretrained weights; "" otherwise."""
        card = cards.card(self.model)
        if not cards.has_card(self.model) or card.weights or card.training:
            return ""
        note = (
            f"The card of {card.name} names no pretrained weights, so fine-tuning starts from random ones. For "
            f'pretrained weights: cnnzoo.get("{card.name}", weights=...). To train without: cnnzoo.fit_and_evaluate.'
        )
        tell(f"Note: {note}", self.options.verbose)
        return note

    def _replace_head(self, data: ImageData) -> ImageData:
        """Give the model a new head for the classes of `data`; return the data with a note that says so."""
        # Check the run directory first, so that an error leaves the head of the model unchanged.
        if is_main_process():
            check_run_dir(self.options.run_dir, self.options.resume, self.options.overwrite)
        old_classes = cards.card(self.model).classes
        old_head = f"{len(old_classes)} classes" if len(old_classes) > 5 else ", ".join(old_classes)
        keras.utils.set_random_seed(self.options.seed)
        self._restore_head = replace_head(self.model, data.classes)
        note = f"The model got a new head for the classes of the data; its old head was for {old_head}."
        return replace(data, notes=(*data.notes, note))

    def fit_and_evaluate(self) -> Report:
        """Fine-tune as `Trainer.fit_and_evaluate` does; put the old head back if nothing could be trained."""
        try:
            report = super().fit_and_evaluate()
        except InputError:
            if self._restore_head:
                self._restore_head()
            raise
        except (TrainingError, KeyboardInterrupt):
            self._adopt_head()
            raise
        self._adopt_head()
        return report

    def _adopt_head(self) -> None:
        """Give the new head to the received model too, if another model of the same layers was trained in its place."""
        if self._restore_head:
            adopt_head(self.received_model, self.model)
            cards.attach_card(self.received_model, cards.card(self.model))

    def _before_first_epoch(self) -> None:
        """Fit the linear probe, and measure it."""
        run_state = self.run.state
        balanced = self.recipe.balance != "none"
        options = self.options
        c = fit_linear_probe(self.model, self.data, options.seed, balanced, self.sample_weight, options.verbose)
        validation = {}
        if self.validates:
            accuracy, self._probe_losses = self._measure_on_validation()
            validation = {"validation_accuracy": accuracy, "validation_log_loss": float(self._probe_losses.mean())}
            self._tell_probe(accuracy)
        test = predict_split(self.model, self.data, "test", verbose=options.verbose)
        test_report = make_report(self.model, self.data, "test", self.data.classes, test)
        record_evaluation(self.run.folder, self.data, "test", test_report.accuracy, "linear probe")
        run_state.probe = {
            "C": c,
            **validation,
            "accuracy": test_report.accuracy,
            "log_loss": test_report.metrics["log_loss"],
        }
        # No epoch can be better
        run_state.stopped = self.recipe.keep == "best" and validation.get("validation_accuracy") == 1

    def _tell_probe(self, accuracy: float) -> None:
        """Show the accuracy that the epochs start from."""
        assert self._probe_losses is not None
        images = len(self._probe_losses)
        log_loss = format_score(self._probe_losses.mean(), images)
        figures = f"validation accuracy {format_share(accuracy, images)}, log loss {log_loss} at the best temperature"
        tell(f"Linear probe: {figures}", self.options.verbose)

    def _measure_on_validation(self) -> tuple[float, np.ndarray]:
        """Return the model's accuracy on the validation split, and the log loss (N,) of each image.

        The losses are those at the best temperature, so that label smoothing does not count as a mistake.
        """
        labels = self.data.validation.labels
        probabilities = predict_split(self.model, self.data, "validation", verbose=self.options.verbose)
        calibrated = apply_temperature(probabilities, fit_temperature(labels, probabilities))
        accuracy = float((probabilities.argmax(axis=1) == labels).mean())
        return accuracy, log_losses(labels, calibrated)

    def _apply_budget(self, epochs: int, budget: str, epoch_time: str, needs: str) -> str:
        """Train no epoch if the time budget allows none: the probe is kept."""
        if epochs:
            return super()._apply_budget(epochs, budget, epoch_time, needs)
        self.run.state.stopped = True
        return f"The time budget of {budget} {NO_EPOCH_FITS}: {needs}."

    def _describe_early_end(self) -> str:
        """Return why training ended early, also if the time budget allowed no epoch at all."""
        notes = [] if self.run.state.epoch else self.run.record["notes"]
        return next((note for note in notes if NO_EPOCH_FITS in note), super()._describe_early_end())

    def _weights_to_keep(self) -> dict[str, Any]:
        """Keep the probe, and the last epoch, unless the recipe stops early: then the best one.

        The last epoch is compared once with the probe, after the learning rate has fallen to its end. The best of many
        epochs would exceed the probe by chance.
        """
        is_begun = self.run.is_begun
        start = restore_start(self.run.latest, self.network) if is_begun else averaged_weights(self.network)
        return {"start": start, "keeps_last": self.recipe.patience is None}

    def _choose_weights(self) -> None:
        """Put the probe back unless the tuned weights are better than it on the validation images.

        Their accuracy must be at least as high, and their log loss lower by more than a standard error of the
        difference, which is taken image by image.
        """
        run_state, start = self.run.state, self.checkpoint.start
        if not run_state.best_epoch or self.recipe.keep == "last":
            return
        assert run_state.probe and start
        accuracy, losses = self._measure_on_validation()
        if self._probe_losses is None:  # an earlier process fitted the probe
            tuned = self.model.get_weights()
            self.model.set_weights(start)
            self._probe_losses = self._measure_on_validation()[1]
            self.model.set_weights(tuned)
        gains = self._probe_losses - losses
        standard_error = float(gains.std() / np.sqrt(len(gains)))
        run_state.probe |= {
            "tuned_epoch": run_state.best_epoch,
            "tuned_validation_accuracy": accuracy,
            "tuned_validation_log_loss": float(losses.mean()),
            "standard_error": standard_error,
        }
        if share_value(bool(accuracy < run_state.probe["validation_accuracy"] or gains.mean() <= standard_error)):
            self.model.set_weights(start)
            run_state.best_epoch = 0
