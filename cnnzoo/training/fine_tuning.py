"""Fine-tuning: fit the best head on unchanged features first, then train the layers below it, the last ones first."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import keras

from cnnzoo import cards
from cnnzoo.core.errors import InputError, TrainingError
from cnnzoo.data.images import ImageData
from cnnzoo.evaluation.compatibility import bind_to_model, check_output_matches, same_class_names
from cnnzoo.evaluation.evaluate import make_report, predict_split
from cnnzoo.evaluation.report import Report
from cnnzoo.surgery.head import adopt_head, replace_head
from cnnzoo.training.probe import fit_linear_probe
from cnnzoo.training.run import check_run_dir
from cnnzoo.training.trainer import Trainer


class FineTuner(Trainer):
    """A trainer that gives the model a new head if necessary, and starts from a linear probe."""

    task = "fine_tune"
    _restore_head: Callable[[], None] | None = None  # puts the old head back

    def _match_model(self, data: ImageData) -> ImageData:
        """Return `data` at the model's size; a model of other classes gets a new head."""
        data = bind_to_model(self.model, data, **self.options.transform)
        if not same_class_names(cards.card(self.model).classes, data.classes):
            data = self._replace_head(data)
        check_output_matches(self.model, data.classes)
        return data

    def _replace_head(self, data: ImageData) -> ImageData:
        """Give the model a new head for the classes of `data`; return the data with a note that says so."""
        # Check the run directory first, so that an error leaves the head of the model unchanged.
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
        """Fit the linear probe; only an epoch that beats it by one standard error on validation replaces it."""
        run_state = self.run.state
        balanced = self.recipe.balance != "none"
        options = self.options
        c = fit_linear_probe(self.model, self.data, options.seed, balanced, self.sample_weight, options.verbose)
        validation, test = self._report_on("validation"), self._report_on("test")
        run_state.probe = {
            "C": c,
            "validation_accuracy": validation.accuracy,
            "accuracy": test.accuracy,
            "log_loss": test.metrics["log_loss"],
        }
        accuracy = validation.accuracy
        standard_error = math.sqrt(accuracy * (1 - accuracy) / len(self.data.validation))
        run_state.best = (accuracy + standard_error, 0.0)
        run_state.stopped = accuracy == 1  # no epoch can be better

    def _report_on(self, split: str) -> Report:
        """Return the report of the model as it is on a split, without a temperature."""
        probabilities = predict_split(self.model, self.data, split, verbose=self.options.verbose)
        return make_report(self.model, self.data, split, self.data.classes, probabilities)
