"""Host and boards yield, to the bit, every line of the vectors of two other implementations of the arithmetic."""

from __future__ import annotations

from contextlib import closing

import engines
import pytest
from numbers_vectors import cases, load_case


@pytest.mark.parametrize("name", engines.NAMES[1:])
@pytest.mark.parametrize(("k", "precision"), cases())
def test_every_line_of_a_vector(k: int, precision: str, name: str) -> None:
    q, stimulus, expected = load_case(k, precision)
    with closing(engines.make(name, q)) as engine:
        engines.assert_same(engine.run(expected.bursts, stimulus), expected)
        assert engine.counters().fired == expected.spikes
