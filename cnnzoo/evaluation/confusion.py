"""Which classes of a confusion matrix to show together: an order for many classes, and the classes confused most."""

import numpy as np

MAX_BEST_ORDER = 200  # classes; the order of more is not optimized, which would take seconds


def order_classes(matrix: np.ndarray) -> np.ndarray:
    """Return an order of the classes (N,) in which those that are taken for each other are neighbors.

    It is the order of the leaves of a hierarchical clustering (average linkage), in which two classes are the closer
    the larger the share of their images is that are taken for the other one.

    Args:
        matrix: counts (classes, classes), one row per true class.

    Example:
        >>> from cnnzoo.evaluation.confusion import order_classes
        >>> order = order_classes([[9, 0, 5], [0, 9, 0], [4, 0, 9]]).tolist()
        >>> abs(order.index(0) - order.index(2))
        1
    """
    from scipy.cluster.hierarchy import leaves_list, linkage
    from scipy.spatial.distance import squareform

    shares = _count_mistakes(matrix) / np.maximum(np.asarray(matrix).sum(axis=1, keepdims=True), 1)
    similarity = shares + shares.T
    if len(similarity) < 3 or not similarity.any():
        return np.arange(len(similarity))
    distances = squareform(similarity.max() - similarity, checks=False)
    return np.asarray(leaves_list(linkage(distances, "average", optimal_ordering=len(similarity) <= MAX_BEST_ORDER)))


def find_confused_classes(matrix: np.ndarray, count: int) -> np.ndarray:
    """Return at most `count` classes of the pairs that are confused most often, with partners beside each other.

    Args:
        matrix: counts (classes, classes), one row per true class.
        count: the largest number of classes.
    """
    mistakes = _count_mistakes(matrix)
    both = np.triu(mistakes + mistakes.T)
    chosen: dict[int, None] = {}
    for place in np.argsort(-both, axis=None, kind="stable"):
        pair = np.unravel_index(place, both.shape)
        if not both[pair] or len(chosen) >= count:
            break
        if len(chosen | dict.fromkeys(map(int, pair))) <= count:
            chosen |= dict.fromkeys(map(int, pair))
    classes = np.array(list(chosen), dtype=int)
    return np.asarray(classes[order_classes(np.asarray(matrix)[np.ix_(classes, classes)])])


def _count_mistakes(matrix: np.ndarray) -> np.ndarray:
    mistakes: np.ndarray = np.asarray(matrix) - np.diag(np.diagonal(matrix))
    return mistakes
