"""The hash, the draw and the draw threshold against plain integers and hypothesis."""

from __future__ import annotations

import numpy as np
import pytest
import scalar_model
from hypothesis import given, settings
from hypothesis import strategies as st

from espike_sim.pcg import ALWAYS_FROM, draw, fire_draw, pcg, pcg_one
from espike_sim.quantized import ALWAYS

U32 = st.integers(0, 0xFFFFFFFF)


@settings(max_examples=200, deadline=None)
@given(st.lists(U32, min_size=1, max_size=20))
def test_pcg_is_the_integer_formula(numbers: list[int]) -> None:
    assert pcg(np.array(numbers, np.uint32)).tolist() == [scalar_model.pcg(x) for x in numbers]


def test_pcg_by_hand() -> None:
    # pcg(0): state 2891336453, shift (2891336453 >> 28) + 4 = 14
    word = ((2891336453 >> 14) ^ 2891336453) * 277803737 % 2**32
    assert pcg_one(0) == (word >> 22) ^ word
    assert pcg_one(-1) == pcg_one(0xFFFFFFFF)


@settings(max_examples=100, deadline=None)
@given(U32, st.integers(1, 2**40))
def test_draw_takes_the_low_bits_of_the_burst(neuron: int, burst: int) -> None:
    wanted = scalar_model.pcg((neuron * 2654435761 + (burst & 0xFFFFFFFF) * 1597334677) & 0xFFFFFFFF)
    assert draw(np.array([neuron], np.uint32), burst).tolist() == [wanted]


@settings(max_examples=300, deadline=None)
@given(st.floats(2**-40, 1 - 2**-9, width=32))
def test_fire_draw_counts_the_draws_below_the_excitability(excitability: float) -> None:
    e = np.float32(excitability)
    t = int(fire_draw(np.array([e]))[0])
    around = np.clip(np.arange(t - 3, t + 3), 0, None).astype(np.uint32)
    below = around.astype(np.float32) / np.float32(2**32) < e
    assert below.tolist() == (around < t).tolist()


@pytest.mark.parametrize(
    ("excitability", "expected"),
    [(0.0, 0), (-1.0, 0), (0.999, ALWAYS), (1.0, ALWAYS), (100.0, ALWAYS), (0.5, 2**31 - 64), (2**-32, 1)],
)
def test_fire_draw_at_its_ends(excitability: float, expected: int) -> None:
    assert fire_draw(np.array([excitability], np.float32)).tolist() == [expected]


def test_fire_draw_just_below_always_still_draws() -> None:
    below = np.nextafter(ALWAYS_FROM, np.float32(0))
    assert 0.99 * 2**32 < int(fire_draw(np.array([below]))[0]) < ALWAYS
    assert fire_draw(np.zeros(0, np.float32)).tolist() == []
