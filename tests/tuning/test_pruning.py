"""The thresholds below which trials are pruned."""

import pytest

from cnnzoo.tuning.pruning import PRUNING_STEPS, pruning_thresholds


def test_the_thresholds_are_the_lower_quartile_of_earlier_accuracies():
    histories = [
        {"val_accuracy": [share * level for share in (0.5, 1.0, 0.9, 0.2)]} for level in (0.2, 0.4, 0.6, 0.8, 1)
    ]
    thresholds = pruning_thresholds(histories, [4] * 5)
    assert thresholds[4] == pytest.approx(0.2)
    assert thresholds[9] == thresholds[19] == pytest.approx(0.4)
    assert pruning_thresholds(histories[:3], [4] * 3) == (0.0,) * PRUNING_STEPS, "too few trials"
    assert pruning_thresholds(histories, [8] * 5)[15] == 0, "none of them got there"
