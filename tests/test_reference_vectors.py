"""The reference yields, to the bit, the vectors of two other implementations of the arithmetic."""

from __future__ import annotations

import numpy as np
import pytest
from numbers_vectors import FOLDER, cases, load_case

from espike_sim import ledger
from espike_sim.reference import Reference


@pytest.mark.skipif(not cases(), reason=f"no vectors in {FOLDER.parent.name}/{FOLDER.name} beside the repository")
def test_vectors_are_complete() -> None:
    assert len(cases()) == 10


@pytest.mark.parametrize(("k", "precision"), cases())
def test_every_line_of_a_vector(k: int, precision: str) -> None:
    q, stimulus, expected = load_case(k, precision)
    engine = Reference(q)
    found = ledger.concatenate([engine.run(37, stimulus), engine.run(expected.bursts - 37, stimulus)])
    assert ledger.compare(found, expected) is None
    assert np.array_equal(found.hashes, expected.hashes)
    assert found.potential_hashes is not None
    assert expected.potential_hashes is not None
    assert np.array_equal(found.potential_hashes, expected.potential_hashes)
    assert engine.counters().fired == expected.spikes
