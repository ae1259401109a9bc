"""Paired statistics: p-values against statsmodels, intervals against their definition, and both by simulation."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.stats import binomtest

from cnnzoo.evaluation.paired_statistics import (
    correct_by_holm,
    difference_interval,
    equivalence_p,
    mcnemar_p,
    noninferiority_p,
    tango_score,
)

# (gains, losses, p) of statsmodels 0.15.0: mcnemar([[50, losses], [gains, 50]], exact=True).pvalue
MCNEMAR_OF_STATSMODELS = [
    (0, 0, 1.0),
    (0, 1, 1.0),
    (1, 0, 1.0),
    (5, 5, 1.0),
    (0, 6, 0.03125),
    (1, 9, 0.021484375),
    (3, 12, 0.03515625),
    (10, 25, 0.016673847800120715),
    (59, 6, 4.964650327128616e-12),
    (100, 130, 0.05561357778139238),
    (412, 356, 0.04711384869737455),
    (1234, 1100, 0.005894093085247736),
    (5000, 5200, 0.04878796312682234),
    (20000, 19700, 0.1334482008918207),
    (30, 200, 5.047359407245441e-32),
]
COMPARISONS = 10_000
# Images, and the probabilities of a gain, of a loss, and that both are right: differences of 0 to 5 points
SITUATIONS = [
    (100, 0.05, 0.05, 0.85),
    (100, 0.10, 0.05, 0.60),
    (180, 0.02, 0.02, 0.94),
    (500, 0.03, 0.01, 0.93),
    (500, 0.15, 0.15, 0.40),
    (2000, 0.005, 0.005, 0.985),
    (10_000, 0.02, 0.02, 0.94),
]


def simulate(images, gain, loss, both, seed=0):
    """Return the gains and losses (10,000,) of simulated comparisons."""
    draws = np.random.default_rng(seed).multinomial(images, [gain, loss, both, 1 - gain - loss - both], COMPARISONS)
    return draws[:, 0], draws[:, 1]


def test_mcnemar_is_that_of_statsmodels():
    gains, losses, expected = zip(*MCNEMAR_OF_STATSMODELS, strict=True)
    np.testing.assert_allclose(mcnemar_p(gains, losses), expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(mcnemar_p(losses, gains), expected, rtol=1e-11)


def test_mcnemar_is_the_binomial_test():
    for gains, losses in np.random.default_rng(0).integers(0, 60, (50, 2)):
        if gains + losses:
            expected = binomtest(int(gains), int(gains + losses)).pvalue
            assert mcnemar_p(gains, losses) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("situation", SITUATIONS)
def test_the_interval_covers_the_true_difference_as_often_as_it_should(situation):
    images, gain, loss, _ = situation
    low, high = difference_interval(*simulate(*situation), images)
    assert 0.94 <= np.mean((low <= gain - loss) & (gain - loss <= high)) <= 0.96


@pytest.mark.parametrize("situation", [each for each in SITUATIONS if each[1] == each[2]])
def test_at_most_one_in_twenty_is_significant_without_a_difference(situation):
    assert np.mean(mcnemar_p(*simulate(*situation)) < 0.05) <= 0.05


def test_a_difference_at_the_margin_rarely_passes():
    """A model that is worse by exactly the margin is called no worse, or equivalent, in about 5 % of comparisons."""
    gains, losses = simulate(1000, 0.03, 0.05, 0.88)
    assert 0.04 <= np.mean(noninferiority_p(gains, losses, 1000, 0.02) < 0.05) <= 0.06
    assert np.mean(equivalence_p(gains, losses, 1000, 0.02) < 0.05) <= 0.06
    gains, losses = simulate(1000, 0.04, 0.04, 0.88)
    assert np.mean(equivalence_p(gains, losses, 1000, 0.05) < 0.05) > 0.99


def test_the_score_uses_the_most_likely_probabilities():
    """Tango's closed form against a numerical search for the likeliest probability of a loss, given the difference."""
    for gains, losses, images, difference in [(12, 2, 50, 0.1), (3, 9, 100, 0.02), (40, 31, 500, -0.03)]:

        def negative_log_likelihood(loss, counts=(gains, losses, images), difference=difference):
            b, c, n = counts
            return -(b * np.log(loss + difference) + c * np.log(loss) + (n - b - c) * np.log(1 - 2 * loss - difference))

        bounds = (max(1e-9, -difference + 1e-9), (1 - difference) / 2 - 1e-9)
        loss = minimize_scalar(negative_log_likelihood, bounds=bounds, method="bounded", options={"xatol": 1e-12}).x
        variance = images * (2 * loss + difference - difference**2)
        expected = (gains - losses - images * difference) / np.sqrt(variance)
        assert tango_score(gains, losses, images, difference) == pytest.approx(expected, rel=1e-5)


def test_the_ends_of_the_interval_are_where_the_score_reaches_its_limit():
    low, high = difference_interval([12, 0, 7], [2, 0, 0], [50, 20, 7])
    np.testing.assert_allclose(tango_score([12, 0], [2, 0], [50, 20], low[:2]), 1.959964, rtol=1e-6)
    np.testing.assert_allclose(tango_score([12, 0], [2, 0], [50, 20], high[:2]), -1.959964, rtol=1e-6)
    assert high[2] == 1  # all images are gains
    mirrored = difference_interval([2], [12], [50])
    np.testing.assert_allclose([-mirrored[1][0], -mirrored[0][0]], [low[0], high[0]], rtol=1e-12)


def test_margins_agree_with_the_interval():
    """B is no worse than the margin at 5 % exactly if the 90 % interval lies above minus the margin."""
    gains, losses = simulate(300, 0.05, 0.04, 0.85)
    low, high = difference_interval(gains, losses, 300, level=0.9)
    np.testing.assert_array_equal(noninferiority_p(gains, losses, 300, 0.02) < 0.05, low > -0.02)
    np.testing.assert_array_equal(equivalence_p(gains, losses, 300, 0.02) < 0.05, (low > -0.02) & (high < 0.02))


def test_holm_is_that_of_statsmodels():
    p = [0.01, 0.04, 0.03, 0.005, 0.8, 0.04]
    np.testing.assert_allclose(correct_by_holm(p), [0.05, 0.12, 0.12, 0.03, 0.8, 0.12])
    assert correct_by_holm([]).shape == (0,)


def test_holm_bounds_the_rate_of_any_false_alarm():
    rng = np.random.default_rng(0)
    gains = rng.binomial(40, 0.5, (1000, 10))
    p = mcnemar_p(gains, 40 - gains)
    assert np.mean([correct_by_holm(row).min() < 0.05 for row in p]) <= 0.05
