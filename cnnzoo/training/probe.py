"""The linear probe: the best last layer on features that stay as they are, a convex problem."""

import warnings
from typing import Any

import keras
import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from cnnzoo.core.errors import InputError
from cnnzoo.data.batches import Batches
from cnnzoo.data.images import ImageData
from cnnzoo.evaluation.evaluate import EVALUATION_BATCH_SIZE
from cnnzoo.surgery.features import find_head_layer

C_VALUES = tuple(10.0**power for power in range(-5, 3))  # scikit-learn's C, of standardised features
CV_FOLDS = 5
MAX_CV_IMAGES = 4_000  # images on which the strength is chosen, where there are more


def fit_linear_probe(
    model: Any, data: ImageData, seed: int, balanced: bool = False, weights: np.ndarray | None = None
) -> float:
    """Set the model's last layer to the logistic regression on its input; returns the C that cross-validation chose.

    Features are those of the training split, as evaluation sees it, standardised; the standardisation ends in the
    layer's weights.
    """
    layer = find_head_layer(model)
    if not isinstance(layer, keras.layers.Dense):
        raise InputError(f"A probe needs a model that ends in a Dense layer. {model.name} ends in {layer.name}")
    batches = Batches(data.train, len(data.classes), EVALUATION_BATCH_SIZE)
    features = keras.Model(model.input, layer.input).predict(batches, verbose=0).astype("float64")
    strength, kernel, bias = fit_logistic_regression(
        features, data.train.labels, seed, balanced, layer.use_bias, weights
    )
    layer.set_weights([kernel, bias] if layer.use_bias else [kernel])
    return strength


def fit_logistic_regression(
    features: np.ndarray,
    labels: np.ndarray,
    seed: int,
    balanced: bool = False,
    intercept: bool = True,
    weights: np.ndarray | None = None,
) -> tuple[float, np.ndarray, np.ndarray]:
    """C, a kernel (d, classes) and a bias (classes,) of a softmax over features (N, d), for every class in labels.

    Images count by their `weights` (N,), and by how rare their class is where it is `balanced`.
    """
    counts = np.ones(len(labels)) if weights is None else weights.astype("float64")
    made = make_pipeline(
        StandardScaler(with_mean=intercept),
        LogisticRegression(fit_intercept=intercept, class_weight="balanced" if balanced else None, max_iter=500),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # of the weakest penalties, which are seldom the best
        name, strength = "logisticregression__C", 1.0
        if (folds := min(CV_FOLDS, int(np.bincount(labels).min()))) > 1:
            some = np.random.default_rng(seed).permutation(len(labels))[:MAX_CV_IMAGES]
            folds = min(folds, int(np.bincount(labels[some], minlength=labels.max() + 1).min()) or 1)
        if folds > 1:
            parts = StratifiedKFold(folds, shuffle=True, random_state=seed)
            search = GridSearchCV(made, {name: C_VALUES}, scoring="neg_log_loss", cv=parts, refit=False)
            strength = search.fit(features[some], labels[some], **_sample_weight_params(counts[some])).best_params_[
                name
            ]
        made.set_params(**{name: strength}).fit(features, labels, **_sample_weight_params(counts))
    scaler, solved = made[0], made[-1]
    kernel, bias = solved.coef_ / scaler.scale_, np.zeros(len(solved.coef_))
    if intercept:
        bias = solved.intercept_ - kernel @ scaler.mean_
    if len(kernel) == 1:  # of two classes scikit-learn keeps the difference
        kernel, bias = np.concatenate([-kernel, kernel]) / 2, np.concatenate([-bias, bias]) / 2
    return float(strength), kernel.T.astype("float32"), bias.astype("float32")


def _sample_weight_params(weights: np.ndarray) -> dict[str, np.ndarray]:
    """Weights as the pipeline's last step takes them."""
    return {"logisticregression__sample_weight": weights}
