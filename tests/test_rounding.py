"""Weights -> codes: what a heavy tail must not cost, and sums that rounding leaves as they are."""

from __future__ import annotations

import numpy as np
import pytest

from espike.rounding import BANDS_MOST, choose_shifts, round_weights


def heavy_tailed(seed: int, count: int = 4000) -> tuple[np.ndarray, np.ndarray, int]:
    """Lognormal weights of both signs in codes, targets, and the shift that holds the largest."""
    rng = np.random.default_rng(seed)
    weight = rng.lognormal(3, 1, count) * np.where(rng.random(count) < 0.2, -4, 1)
    shift = max(0, int(np.ceil(np.log2(np.abs(weight).max() / 127))))
    return weight, rng.integers(0, 50, count), shift


@pytest.mark.parametrize("seed", range(5))
def test_a_heavy_tail_does_not_crush_the_rest(seed: int) -> None:
    weight, target, most = heavy_tailed(seed)
    assert most >= 3
    one = round_weights(weight, target, (most,))
    several = round_weights(weight, target, choose_shifts(weight, most, 0.5, 1000))
    light = np.abs(weight) < 127
    assert np.abs(several.value - weight)[light].mean() < 0.3 * np.abs(one.value - weight)[light].mean()
    assert 1 < len(several.shifts) <= BANDS_MOST
    for made in (one, several):
        assert np.abs(made.code).max() <= 127
        assert np.all(np.abs(made.value - weight) <= 2.0**made.shift + 1e-9)
        assert np.all((made.value == 0) | (np.sign(made.value) == np.sign(weight)))


@pytest.mark.parametrize("seed", range(5))
def test_sums_over_a_target_are_kept(seed: int) -> None:
    weight, target, most = heavy_tailed(seed)
    made = round_weights(weight, target, choose_shifts(weight, most, 0.5, 1000))
    off = np.bincount(target, weights=made.value - weight)
    assert np.abs(off).max() <= 2.0 ** made.shifts[0] / 2 + 1e-6


def test_what_is_exact_stays_exact_in_one_band() -> None:
    weight = np.array([8.0, -16, 1016, 0, 24])
    assert choose_shifts(weight, 3, 0.1, 1000) == (3,)
    made = round_weights(weight, np.array([0, 0, 1, 1, 2]), (3,))
    assert made.code.tolist() == [1, -2, 127, 0, 3]
    assert made.value.tolist() == weight.tolist()


@pytest.mark.parametrize("edge", [126.4, 127.4, 127.49, 254.9])
def test_edges_of_a_band(edge: float) -> None:
    weight = np.array([edge, -edge, 1.0])
    made = round_weights(weight, np.zeros(3, np.int64), (0, 1))
    assert np.abs(made.code).max() <= 127
    assert np.abs(made.value - weight).max() <= 1


def test_nothing_is_rounded() -> None:
    none = np.zeros(0)
    assert choose_shifts(none, 3, 1.0, 1.0) == (3,)
    assert round_weights(none, np.zeros(0, np.int64), (3,)).shifts == ()
