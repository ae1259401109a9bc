"""The linear probe: the best last layer on unchanged features, which is a convex problem."""

from __future__ import annotations

import warnings

import keras
import numpy as np
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from cnnzoo.core.errors import InputError
from cnnzoo.core.processes import run_on_main, share_arrays
from cnnzoo.core.progress import show_progress
from cnnzoo.data.batches import loading_errors
from cnnzoo.data.images import ImageData
from cnnzoo.evaluation.prediction_batches import make_prediction_batches
from cnnzoo.surgery.features import find_head_layer
from cnnzoo.surgery.outputs import count_images

C_VALUES = tuple(10.0**power for power in range(-5, 3))  # inverse strengths of the penalty to choose from
CV_FOLDS = 5
MAX_CV_IMAGES = 4_000  # cross-validation uses a random sample of larger training splits


def fit_linear_probe(
    model: keras.Model,
    data: ImageData,
    seed: int,
    balanced: bool = False,
    sample_weight: np.ndarray | None = None,
    verbose: bool = True,
) -> float:
    """Set the model's last layer to the logistic regression on its input; return the chosen C.

    The features are those of the training split without augmentation, standardized; the layer's weights include the
    standardization.

    Raises:
        InputError: if the model does not end in a Dense layer.
    """
    layer = find_head_layer(model)
    if not isinstance(layer, keras.layers.Dense):
        raise InputError(f"A linear probe needs a model that ends in a Dense layer. {model.name} ends in {layer.name}")
    batches = make_prediction_batches(model, data, "train")
    count = batches.own_images
    features = np.empty((0, layer.input.shape[-1]), "float32")
    computing = show_progress("Computing features", count, "images", verbose)
    with computing as progress, loading_errors(batches):
        backbone = keras.Model(model.input, layer.input)
        if count:
            features = backbone.predict(batches, verbose=0, callbacks=count_images(backbone, progress, count))[:count]
    features = batches.gather_results(features).astype("float64")
    weights: list[np.ndarray] = []

    def fit() -> float:
        with show_progress("Fitting the linear probe", verbose=verbose):
            c, kernel, bias = fit_logistic_regression(
                features, data.train.labels, seed, balanced, layer.use_bias, sample_weight
            )
        weights.extend([kernel, bias] if layer.use_bias else [kernel])
        return c

    c = run_on_main(fit)
    layer.set_weights(share_arrays(weights))
    return c


def fit_logistic_regression(
    features: np.ndarray,
    labels: np.ndarray,
    seed: int,
    balanced: bool = False,
    fit_bias: bool = True,
    sample_weight: np.ndarray | None = None,
) -> tuple[float, np.ndarray, np.ndarray]:
    """Fit a softmax regression whose penalty is chosen by cross-validation.

    Args:
        features: float64 (N, d).
        labels: class indices (N,); every class must occur.
        seed: the seed of the folds.
        balanced: whether rare classes get larger weights.
        fit_bias: whether the regression has a bias; without one, features are not centered.
        sample_weight: weights (N,) of the images.

    Returns:
        The chosen C, the kernel (d, classes) and the bias (classes,).
    """
    weights = np.ones(len(labels)) if sample_weight is None else sample_weight.astype("float64")
    pipeline = make_pipeline(
        StandardScaler(with_mean=fit_bias),
        LogisticRegression(fit_intercept=fit_bias, class_weight="balanced" if balanced else None, max_iter=500),
    )
    with warnings.catch_warnings():
        # The weakest penalties may not converge, but are seldom the best.
        warnings.simplefilter("ignore", ConvergenceWarning)
        c = _choose_c(pipeline, features, labels, weights, seed)
        pipeline.set_params(logisticregression__C=c).fit(features, labels, **_sample_weight_params(weights))

    # Move the standardization into kernel and bias
    scaler, regression = pipeline[0], pipeline[-1]
    kernel, bias = regression.coef_ / scaler.scale_, np.zeros(len(regression.coef_))
    if fit_bias:
        bias = regression.intercept_ - kernel @ scaler.mean_
    if len(kernel) == 1:  # for two classes scikit-learn fits the difference of their logits
        kernel, bias = np.concatenate([-kernel, kernel]) / 2, np.concatenate([-bias, bias]) / 2
    return c, kernel.T.astype("float32"), bias.astype("float32")


def _choose_c(pipeline: Pipeline, features: np.ndarray, labels: np.ndarray, weights: np.ndarray, seed: int) -> float:
    """Return the C of the lowest log loss in cross-validation; 1 if a class has too few images for two folds."""
    if int(np.bincount(labels).min()) < 2:
        return 1.0
    sample = np.random.default_rng(seed).permutation(len(labels))[:MAX_CV_IMAGES]
    rarest = int(np.bincount(labels[sample], minlength=labels.max() + 1).min())
    folds = min(CV_FOLDS, int(np.bincount(labels).min()), rarest)
    if folds < 2:
        return 1.0
    x, y, weights = features[sample], labels[sample], weights[sample]
    splits = StratifiedKFold(folds, shuffle=True, random_state=seed).split(x, y)
    paths = [_PenaltyPath(pipeline, x, y, weights, *split) for split in splits]
    losses: list[float] = []
    for c in C_VALUES:
        losses.append(float(np.mean([path.measure_loss(c) for path in paths])))
        # The weakest penalties take longest, and the loss has one minimum.
        if len(losses) > 2 and losses[-1] > losses[-2] > losses[-3]:
            break
    return C_VALUES[int(np.argmin(losses))]


class _PenaltyPath:
    """A fold of the cross-validation, whose regression is fitted with one penalty after the other.

    Each fit starts from the one before. Features are rotated into the space of the training images if these are fewer:
    the fit is the same, because the penalty does not change under rotations and no weight leaves this space.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        features: np.ndarray,
        labels: np.ndarray,
        weights: np.ndarray,
        train: np.ndarray,
        test: np.ndarray,
    ) -> None:
        scaler = clone(pipeline[0]).fit(features[train])
        self.train, self.test = scaler.transform(features[train]), scaler.transform(features[test])
        if len(train) < features.shape[1]:
            basis = np.linalg.svd(self.train, full_matrices=False)[2].T
            self.train, self.test = self.train @ basis, self.test @ basis
        self.labels, self.test_labels, self.weights = labels[train], labels[test], weights[train]
        self.regression = clone(pipeline[-1]).set_params(warm_start=True)

    def measure_loss(self, c: float) -> float:
        """Return the log loss on the test part after a fit with the penalty 1 / c."""
        self.regression.set_params(C=c).fit(self.train, self.labels, sample_weight=self.weights)
        probabilities = self.regression.predict_proba(self.test)
        return float(log_loss(self.test_labels, probabilities, labels=self.regression.classes_))


def _sample_weight_params(weights: np.ndarray) -> dict[str, np.ndarray]:
    """Return `weights` as the keyword arguments that hand them to the pipeline's last step."""
    return {"logisticregression__sample_weight": weights}
