"""The trainer: fits a model by a recipe, keeps the best epoch, and evaluates it once on the test split."""

from __future__ import annotations

import time
from contextlib import ExitStack, suppress
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any, ClassVar

import keras
import numpy as np

from cnnzoo import cards
from cnnzoo.core.compilation import use_compilation_cache
from cnnzoo.core.connection import connection_errors
from cnnzoo.core.errors import ConnectionLostError, InputError, TrainingError
from cnnzoo.core.paths import path_exists
from cnnzoo.core.processes import (
    count_processes,
    is_main_process,
    run_on_main,
    share_value,
    wait_for_all,
)
from cnnzoo.core.progress import show_progress
from cnnzoo.core.text import format_duration
from cnnzoo.core.warn import warn_caller
from cnnzoo.data.batches import Batches, balanced_batch_size, evaluation_batch_size, loading_errors
from cnnzoo.data.checks import ARRAY_NAMES
from cnnzoo.data.device_batches import DeviceBatches, check_device_cache, put_on_device, steps_on_device
from cnnzoo.data.device_images import DeviceImages
from cnnzoo.data.fix_list import FIX_LIST_FILE
from cnnzoo.data.images import ImageData
from cnnzoo.data.training_images import (
    CARD_KEY,
    find_training_images,
    hash_digests,
    remember_training_images,
    write_training_images,
)
from cnnzoo.evaluation.compatibility import (
    bind_to_model,
    check_image_data,
    check_not_empty,
    check_output_matches,
    match_class_names,
)
from cnnzoo.evaluation.evaluate import calibrate_on_validation, make_report, predict_split
from cnnzoo.evaluation.evaluations import record_evaluation
from cnnzoo.evaluation.min_probability import explain_too_few_images
from cnnzoo.evaluation.report import Report
from cnnzoo.evaluation.report_maps import add_maps
from cnnzoo.evaluation.summary import CARD_KEY as FIGURES_KEY
from cnnzoo.evaluation.summary import EPOCHS_KEY, RECIPE_NAME_KEY, SETTINGS_KEY, summarize_report
from cnnzoo.surgery.accelerator import device_batch_size
from cnnzoo.surgery.features import group_layers_by_stage
from cnnzoo.surgery.outputs import as_functional, warn_if_no_logits
from cnnzoo.surgery.precision import mixed_precision
from cnnzoo.surgery.weights import count_model_parameters
from cnnzoo.training import state
from cnnzoo.training.agreement import agreement_callbacks
from cnnzoo.training.budget import count_epochs, describe_needs, measure_speed, shorten_recipe
from cnnzoo.training.callbacks import CheckpointCallback, InterruptCallback, combine_callbacks
from cnnzoo.training.devices import check_batch_size, resolve_devices, round_up
from cnnzoo.training.distribution import assign_weights, check_distribution, replicate, share_weights
from cnnzoo.training.lr_range import run_range_test
from cnnzoo.training.optimizer import make_schedule
from cnnzoo.training.options import TrainerOptions, adapt_to_no_validation
from cnnzoo.training.plan import make_plan, resolve_sample_weight
from cnnzoo.training.precision import resolve_precision
from cnnzoo.training.prepare import (
    batch_norm_momentum,
    compile_for_training,
    frozen_layers,
    make_reproducible,
    recompile_for_saving,
    strip_for_saving,
)
from cnnzoo.training.progress import ProgressCallback, tell
from cnnzoo.training.recipe import Recipe
from cnnzoo.training.recipes import RECIPES, find_named_recipe
from cnnzoo.training.run import Run, failure_reason, flatten_dict, installed_versions
from cnnzoo.training.shared_run import check_processes_agree, open_run
from cnnzoo.training.tracked_facts import describe_figures, describe_settings
from cnnzoo.training.tracking import Tracking, track_run

RECIPE_DEFAULTS = {field.name: field.default for field in fields(Recipe)}
NO_TEMPERATURE = "there are no validation images"
NOT_VALIDATED = (
    "Nothing was validated, as no image was set aside for it: the last epoch was kept, whatever it reached, and no "
    "temperature was fitted."
)


class Trainer:
    """One training of one model on one data set.

    `fit_and_evaluate` runs it. Model, data, recipe and options are checked once, when the trainer is made.

    Attributes:
        model: the functional model that is trained, with the card of the model that was given.
        data: the data, bound to the model's input size.
        recipe: the recipe, with its precision resolved for this machine.
        options: output files, resuming and progress.
        run: the run's folder and state, from `fit_and_evaluate` on.
    """

    task: ClassVar[str] = "fit_and_evaluate"  # the public function, as the run's plan records it
    run: Run
    tracking: Tracking

    # Check that everything fits together

    def __init__(self, model: keras.Model, data: ImageData, recipe: Recipe, options: TrainerOptions) -> None:
        """Check that model, data, recipe and options fit together; raise `InputError` if they do not."""
        self.started = time.perf_counter()
        use_compilation_cache()
        check_not_empty(check_image_data(data), "train", "test")
        self.options = options if is_main_process() else replace(options, verbose=False)
        self.validates = len(data.validation) > 0
        if not self.validates:
            recipe = adapt_to_no_validation(recipe, options, data.source)
        self.sample_weight = resolve_sample_weight(options.sample_weight, data)
        self.recipe = replace(recipe, precision=resolve_precision(recipe.precision))
        check_distribution()
        self.device_count = max(len(resolve_devices(options.devices)), 1)
        check_batch_size(recipe.batch_size, len(data.train), self.device_count)
        self.received_model, self.model = model, as_functional(model)
        self.data = self._match_model(data)
        self._check_target_accuracy()
        self.device_images: dict[str, DeviceImages] = {}  # by split
        if self.data.sizing.cache == "device":
            check_device_cache(self.data, self.recipe.augment, resolve_devices(options.devices))
        # Those of earlier trainings count too, if a trained model is trained on
        earlier = find_training_images(cards.card(self.model))
        digests = self.data.train.image_digests()
        self.training_images = np.unique(digests if earlier is None else np.concatenate([earlier, digests]))

    def _check_target_accuracy(self) -> None:
        """Warn before the training if the validation images are too few for the accuracy that answers shall have."""
        target = self.options.target_accuracy
        if target is None:
            return
        if reason := explain_too_few_images(len(self.data.validation), target):
            warn_caller(
                f"There will be no min_probability for an accuracy of {100 * target:g} %: {reason}. Give validation a "
                "larger share, such as splits=(0.6, 0.2, 0.2), or lower target_accuracy"
            )

    def _match_model(self, data: ImageData) -> ImageData:
        """Return `data` at the model's size, after checking that both have the same classes."""
        check_output_matches(self.model, data.classes)
        match_class_names(cards.card(self.model).classes, data.classes)
        with show_progress("Preparing the images", verbose=self.options.verbose):
            return bind_to_model(self.model, data, **self.options.transform)

    # The whole run: train, evaluate, save

    def fit_and_evaluate(self) -> Report:
        """Train from the run's last state on, evaluate the best epoch, and write the run's files."""
        options = self.options
        warn_if_no_logits(self.model)
        self.plan = make_plan(self.task, self.model, self.data, self.recipe, options.seed, self.sample_weight)
        notes = (self.data.describe_transform(), *self.data.notes, *self._describe_missing_validation())
        check_processes_agree(self.plan, checkpoint_every=options.checkpoint_every, minutes=options.minutes)
        opened = open_run(options.run_dir, self.plan, notes, options.resume, options.overwrite)
        with (
            opened as self.run,
            connection_errors(),
            track_run(options.track, self.run, options.verbose) as self.tracking,
        ):
            self.run.started = self.started
            self.run.add_facts(
                fingerprints=self.data.content_fingerprints, parameters=count_model_parameters(self.model)
            )
            self.tracking.begin(describe_settings(self.run, find_named_recipe(self.recipe)))
            self._update_card()
            make_reproducible(options.seed, options.deterministic)
            share_weights(self.model)
            if not self.run.is_begun:
                self._before_first_epoch()
            self.fit()
            report = self.report()
            self._add_figures_to_card(report)
            self._save(report)
            seconds = time.perf_counter() - self.started
            figures = summarize_report(report) | {"best_epoch": report.best_epoch}
            # `compare` and `benchmark` find the images by the source.
            facts = {"source": source} if (source := self._find_source()) else {}
            self.run.close("done", accuracy=report.accuracy, figures=figures, **facts)
            self.tracking.end("finished", describe_figures(report, self.run))
            wait_for_all()
        tell(f"The run took {format_duration(seconds)} in all", options.verbose)
        return report

    def _describe_missing_validation(self) -> tuple[str, ...]:
        """Return a note for the reader of the report if there are no validation images."""
        return () if self.validates else (NOT_VALIDATED,)

    def _update_card(self) -> None:
        """Record the data's classes and transform, and the run's plan, in the model's card."""
        transform = self.data.transform
        assert transform, "the data is bound to the model's size"
        card = replace(
            cards.without_calibration(cards.card(self.model)),
            classes=self.data.classes,
            pad=transform.pad,
            transform=transform.to_dict(),
            training={key: self.plan[key] for key in ("recipe", "seed", "data")}
            | {"split_options": self._split_options(), CARD_KEY: hash_digests(self.training_images)},
        )
        cards.attach_card(self.model, card)
        remember_training_images(card, self.training_images)

    def _split_options(self) -> dict[str, Any] | None:
        """Return how the data was divided, as arguments of `load_data`."""
        if self.data.split_options is None:
            return None
        splits, seed = self.data.split_options
        return {"splits": list(splits), "seed": seed}

    def _before_first_epoch(self) -> None:
        """Prepare a new run before its first epoch; a resumed run skips this."""

    # Training

    def fit(self) -> None:
        """Train from the run's last state on, and leave the best epoch's weights in the model.

        Raises:
            TrainingError: if the loss becomes NaN or infinite, an image cannot be loaded any more, or the state cannot
                be written. The best weights so far are in the model, and in the run's model.keras if there is a
                run_dir.
        """
        try:
            self._find_learning_rate()
            self._limit_epochs()
            with ExitStack() as stack:
                self._prepare_network(stack)
                with connection_errors():
                    self._prepare_callbacks(stack)
                    self.callbacks.begin()
                    self._fit_rest_of_epoch()
                    self._fit_whole_epochs()
                    self.callbacks.end()
                assert self.checkpoint.best
                assign_weights(self.network, self.checkpoint.best)
            self._choose_weights()
            recompile_for_saving(self.model)
        except ConnectionLostError:
            raise
        except TrainingError as error:
            self._save_after_failure(error)
            raise

    def _find_learning_rate(self) -> None:
        """Replace the learning rate "auto" by the one that the range test suggests, which runs once per run."""
        if self.recipe.learning_rate != "auto":
            return
        run = self.run
        if run.state.learning_rate is None:
            run.state.learning_rate = run_on_main(self._run_range_test)
        self.recipe = replace(self.recipe, learning_rate=run.state.learning_rate)

    def _run_range_test(self) -> float:
        """Return the learning rate that the range test suggests, and draw its figure into the run's folder."""
        rate_test = run_range_test(
            self.model,
            self.data,
            self.recipe,
            seed=self.options.seed,
            sample_weight=self.sample_weight,
            verbose=self.options.verbose,
        )
        if self.run.folder:
            rate_test.save(self.run.folder / "lr_find.png")
        return rate_test.suggestion

    def _limit_epochs(self) -> None:
        """Shorten the schedule to the epochs that the time budget allows; a resumed run keeps its schedule."""
        run, minutes, asked = self.run, self.options.minutes, self.recipe.epochs
        if minutes is not None and not run.is_begun and not run.state.stopped:
            with ExitStack() as stack:
                stack.enter_context(show_progress("Measuring the time of an epoch", verbose=self.options.verbose))
                self._prepare_network(stack)
                speed = measure_speed(self.network, self.batches, self.validation_batches)
            seconds_left = 60 * minutes - (time.perf_counter() - self.started)
            images = len(self.data.validation) + len(self.data.test)
            epochs = share_value(min(count_epochs(seconds_left, speed, images), asked))
            run.state.epochs = max(epochs, 1)
            budget = f"{minutes:g} {'minute' if minutes == 1 else 'minutes'}"
            needs = describe_needs(speed, images, 60 * minutes - seconds_left)
            note = self._apply_budget(epochs, budget, f"{speed.epoch:.1f} s", needs)
            run.add_note(note)
            tell(note, self.options.verbose)
        if run.state.epochs is not None:
            self.recipe = shorten_recipe(self.recipe, run.state.epochs)

    def _apply_budget(self, epochs: int, budget: str, epoch_time: str, needs: str) -> str:
        """Act on the number of epochs that a time budget allows, 0 if it allows none; return a note about it."""
        asked = self.recipe.epochs
        if epochs == asked:
            return f"All {asked} epochs fit into the time budget of {budget}, at {epoch_time} each."
        if epochs:
            return f"The time budget of {budget} allows {epochs} of {asked} epochs, at {epoch_time} each."
        return f"The time budget of {budget} allows no whole epoch; one is trained all the same: {needs}."

    def _prepare_network(self, stack: ExitStack) -> None:
        """Make and compile the network to train: `model` itself, or a copy of it on several devices.

        Frozen layers and mixed precision are undone when `stack` closes.
        """
        if count_processes() > 1:  # rank 0 may have drawn more random numbers before
            make_reproducible(self.options.seed, self.options.deterministic)
        self.network = stack.enter_context(replicate(self.model, self.options.devices))
        stack.enter_context(frozen_layers(self.network, self.recipe))
        stack.enter_context(batch_norm_momentum(self.network, self.recipe.bn_momentum))
        stack.enter_context(mixed_precision(self.network, self.recipe.precision))
        self.batches = self._training_batches()
        self.validation_batches = self._make_validation_batches() if self.validates else None
        compile_for_training(self.network, self.recipe, len(self.batches))
        stack.enter_context(steps_on_device(self.network, self.batches, self.validation_batches))

    def _make_validation_batches(self) -> Batches:
        """Return the validation batches, all of one size."""
        return self._make_batches(
            "validation",
            round_up(self._validation_batch_size(), self.device_count),
            heads=self._heads(),
            pad=self.device_count,
        )

    def _validation_batch_size(self) -> int:
        """Return how many validation images are evaluated at a time, so that few are added to the last batch."""
        images = self.data.validation
        on_device = device_batch_size(self.network, self.recipe.precision)
        size = max(self.recipe.batch_size, on_device or evaluation_batch_size(images.images.shape))
        return balanced_batch_size(len(images), size)

    def _make_batches(self, split: str, *arguments: Any, **options: Any) -> Batches:
        """Return batches of a split, from the device if the images are to stay there."""
        images, classes = self.data.splits[split], len(self.data.classes)
        if self.data.sizing.cache != "device":
            return Batches(images, classes, *arguments, shared=True, **options)
        if split not in self.device_images:
            with show_progress("Copying the images to the device", verbose=self.options.verbose):
                self.device_images[split] = put_on_device(images, self.recipe.augment if split == "train" else None)
        return DeviceBatches(self.device_images[split], images, classes, *arguments, **options)

    def _training_batches(self, start: int = 0) -> Batches:
        """Return the training batches of an epoch, from batch `start` on."""
        return self._make_batches(
            "train",
            self.recipe.batch_size,
            self.options.seed,
            self.recipe.augment,
            balance=self.recipe.balance,
            sample_weights=self.sample_weight,
            heads=self._heads(),
            first_batch=start,
        )

    def _heads(self) -> tuple[str, ...]:
        """Return the names of the network's outputs if it has auxiliary heads, else ()."""
        return tuple(self.network.output) if isinstance(self.network.output, dict) else ()

    def _prepare_callbacks(self, stack: ExitStack) -> None:
        """Restore the run's last state, if any, and make the callbacks: ours, the caller's, TensorBoard's."""
        run, options, steps = self.run, self.options, len(self.batches)
        best: list[Any] | None = None
        metric_values: list[Any] = []
        if run.is_begun:
            run_on_main(lambda: state.check_progress(run.latest, run.state, self.recipe.epochs, steps))
            best, metric_values = state.restore_state(run.latest, self.network)
        self.checkpoint = CheckpointCallback(
            run,
            self.batches,
            best,
            metric_values if run.state.step else [],
            patience=self.recipe.patience,
            interval=options.checkpoint_every,
            **self._weights_to_keep(),
        )
        interrupt = stack.enter_context(InterruptCallback(self.checkpoint))
        callbacks = [self.checkpoint, interrupt, *options.callbacks]
        if options.tensorboard and run.folder:
            callbacks.append(keras.callbacks.TensorBoard(run.folder / "tensorboard", write_graph=False))
        if options.verbose:
            steps_done = run.state.epoch * steps + run.state.step
            images = {"train_images": len(self.data.train), "validation_images": len(self.data.validation)}
            callbacks.append(stack.enter_context(ProgressCallback(self.recipe.epochs, steps, steps_done, **images)))
        schedule = make_schedule(self.recipe, steps)
        callbacks += self.tracking.callbacks(lambda epoch: float(schedule((epoch + 1) * steps - 1)))  # of the last step
        callbacks += agreement_callbacks(self.checkpoint, interrupt)
        self.callbacks = combine_callbacks(self.network, callbacks, epochs=self.recipe.epochs, steps=steps)

    def _weights_to_keep(self) -> dict[str, Any]:
        """Return which weights the checkpoint keeps beside those of the best epoch, as its arguments."""
        return {"keeps_last": self.recipe.keep == "last"}

    def _choose_weights(self) -> None:
        """Do something with the model, which has the best epoch's weights now."""

    def _fit_rest_of_epoch(self) -> None:
        """Complete the epoch within which the run was interrupted, if any."""
        if not self.run.state.step:
            return
        rest = self._training_batches(start=self.run.state.step)
        self.checkpoint.batches = rest
        # Keras creates the metrics, whose values are restored, with the first batch. `test_on_batch` would compile the
        # step a second time, because it passes weights of None.
        self.network.evaluate(self.validation_batches or rest, steps=1, verbose=0)
        self._fit(rest, self.run.state.epoch + 1)
        self.checkpoint.batches = self.batches

    def _fit_whole_epochs(self) -> None:
        """Train the epochs that are left, unless early stopping or a callback has ended the training."""
        state = self.run.state
        if state.epoch < self.recipe.epochs and not state.stopped and not self.network.stop_training:
            self._fit(self.batches, self.recipe.epochs)

    def _fit(self, batches: Batches, epochs: int) -> None:
        """Train on `batches` until `epochs` epochs of the run are done."""
        loaded = [part for part in (batches, self.validation_batches) if part]
        try:
            with loading_errors(*loaded):
                self.network.fit(
                    batches,
                    validation_data=self.validation_batches,
                    initial_epoch=self.run.state.epoch,
                    epochs=epochs,
                    shuffle=False,  # the batches are in the order of their seed already
                    verbose=0,
                    callbacks=self.callbacks,
                )
        except InputError as error:
            if all(part.failure is not error for part in loaded):  # from a callback
                raise
            # An image cannot be loaded any more
            self.checkpoint.restore_good_weights()
            raise TrainingError(str(error)) from error

    # Results

    def report(self) -> Report:
        """Evaluate the model on the test split, calibrated on the validation split."""
        run_state, target = self.run.state, self.options.target_accuracy
        if self.validates:
            card = calibrate_on_validation(self.model, self.data, target, verbose=self.options.verbose)
        else:
            card = replace(cards.card(self.model), calibration={"temperature": {"reason": NO_TEMPERATURE}})
        cards.attach_card(self.model, card)
        probabilities = predict_split(self.model, self.data, "test", verbose=self.options.verbose)
        report = make_report(self.model, self.data, "test", self.data.classes, probabilities)
        record_evaluation(self.run.folder, self.data, "test", report.accuracy, "training")
        return replace(
            add_maps(report, self.model),
            history=run_state.history,
            best_epoch=run_state.best_epoch,
            probe=run_state.probe,
            run_dir=self.run.folder,
            notes=(*self.run.record["notes"], *self._describe_kept_epoch()),
            remarks=(*self._describe_missing_validation(), *self._describe_kept_epoch()),
            record=self._training_record(),
            defaults=self._default_settings(),
            ending=self._describe_early_end(),
            source=self._source_path(),
            has_fix_list=self.data.fix_list is not None,
            command=tuple(self.run.record.get("command", ())),
            training_counts=self._count_training_images(),
        )

    def _count_training_images(self) -> dict[str, int]:
        """Return the number of training images of each class."""
        counts = np.bincount(self.data.train.labels, minlength=len(self.data.classes))
        return dict(zip(self.data.classes, counts.tolist(), strict=True))

    def _describe_kept_epoch(self) -> tuple[str, ...]:
        """Return a note if the last epoch was kept although another one was better on validation."""
        history, kept = self.run.state.history, self.run.state.best_epoch
        if self.recipe.keep != "last" or not kept or "val_loss" not in history:
            return ()
        scores = list(zip(history["val_accuracy"], (-loss for loss in history["val_loss"]), strict=True))
        best = scores.index(max(scores)) + 1
        if best == kept:
            return ()
        return (f"The last epoch was kept (keep='last'), although epoch {best} was better on validation.",)

    def _source_path(self) -> str:
        """Return the absolute path of the image files; "" if the data has another source."""
        location = self.data.diagnosis.location if self.data.diagnosis else ""
        return str(Path(location).absolute()) if location and path_exists(location) else ""

    def _find_source(self) -> str:
        """Return by what `load_data` finds the data again: an absolute path, or a name such as "digits"; or ""."""
        location = self.data.location
        is_path = location not in ARRAY_NAMES and bool(location) and path_exists(location)
        return str(Path(location).absolute()) if is_path else location

    def _describe_early_end(self) -> str:
        """Return why training ended before its last epoch; "" if it did not, or if no epoch was trained."""
        done, patience = self.run.state.epoch, self.recipe.patience
        if not done or done >= self.recipe.epochs:
            return ""
        reason = "a callback stopped it"
        if self.run.state.stopped:
            reason = f"none of the last {patience} epochs was the best on validation so far (patience={patience})"
        return f"Training ended after {done} of {self.recipe.epochs} epochs: {reason}."

    def _add_figures_to_card(self, report: Report) -> None:
        """Record in the model's card what its exports and copies show: the training in short, and its test figures."""
        card, kept = cards.card(self.model), self.run.kept_weights()
        settings = {name: value for name, value in self.plan["recipe"].items() if value != RECIPE_DEFAULTS[name]}
        if self.run.state.learning_rate:  # the recipe may say "auto"
            settings["learning_rate"] = self.run.state.learning_rate
        figures = {
            FIGURES_KEY: summarize_report(report),
            RECIPE_NAME_KEY: find_named_recipe(self.recipe),
            SETTINGS_KEY: settings,
            EPOCHS_KEY: {"trained": self.run.state.epoch, "kept": kept["epoch"]},
        }
        cards.attach_card(self.model, replace(card, training=card.training | figures))

    def _training_record(self) -> dict[str, Any]:
        """Return how the model was trained, as flat facts for the report's page, without `_default_settings`."""
        found_rate, defaults = self.run.state.learning_rate, self._default_settings()
        facts = {"learning_rate": {"found": found_rate}} if found_rate else {}
        named = find_named_recipe(self.recipe)
        return ({"recipe": named} if named else {}) | flatten_dict(
            facts
            | {
                "recipe": {name: value for name, value in self.plan["recipe"].items() if name not in defaults},
                "pretrained weights": self._describe_initial_weights(),
                **self._count_frozen_stages(),
                "seed": self.options.seed,
                "images": self.plan["data"]["images"],
                **installed_versions(),
            }
        )

    def _count_frozen_stages(self) -> dict[str, int]:
        """Return how many stages before the head are not trained, if the recipe limits those that are."""
        if self.recipe.stages is None:
            return {}
        return {"frozen stages": max(len(group_layers_by_stage(self.model)) - 1 - self.recipe.stages, 0)}

    def _describe_initial_weights(self) -> str:
        """Return the tag or the file of the pretrained weights that the training started from."""
        weights = self.plan["weights"] or {}
        return str(weights.get("tag") or weights.get("file") or "none")

    def _default_settings(self) -> dict[str, Any]:
        """Return the fields that are as in the recipe of the package that was changed, or else have default values."""
        named = RECIPES.get(find_named_recipe(self.recipe))
        defaults = asdict(named) if named else RECIPE_DEFAULTS
        return {name: value for name, value in self.plan["recipe"].items() if value == defaults[name]}

    def _save(self, report: Report) -> None:
        """Write the model, the report and the data's diagnosis into the run's folder, if there is one."""
        if self.run.folder is None:
            return
        with show_progress("Writing the report", verbose=self.options.verbose):
            cards.write_model_file(strip_for_saving(self.model), self.run.folder / "model.keras")
            write_training_images(self.run.folder, self.training_images)
            report.save(self.run.folder)
            applied = self.run.folder / FIX_LIST_FILE if self.data.fix_list else ""
            if self.data.fix_list:
                self.data.fix_list.fix_list.save(applied)
            if self.data.diagnosis:
                replace(self.data.diagnosis, fix_list_file=str(applied)).save(self.run.folder)

    def _save_after_failure(self, error: TrainingError) -> None:
        """Save the last good weights, if there is a run_dir, and add the file's path to the message of `error`."""
        if self.run.folder is None:
            return
        recompile_for_saving(self.model)
        # The card says so too, as the file may be moved away from its run.json.
        card, failure = cards.card(self.model), {"reason": failure_reason(error), **self.run.kept_weights()}
        cards.attach_card(self.model, replace(card, training=card.training | {"failure": failure}))
        with suppress(OSError, InputError):  # the disk may be full, which `error` reports already
            path = cards.write_model_file(strip_for_saving(self.model), self.run.folder / "model.keras")
            write_training_images(self.run.folder, self.training_images)
            error.args = (f"{error}. The kept weights are saved as {path}",)
        cards.attach_card(self.model, card)
