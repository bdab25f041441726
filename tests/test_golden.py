"""Every engine yields every golden case: fired ids, potentials, hashes and counters."""

from __future__ import annotations

from pathlib import Path

import engines
import golden_cases
import numpy as np
import pytest
import scalar_model

from espike_sim import ledger

CASES = golden_cases.cases()


def test_cases_are_found() -> None:
    assert len(CASES) >= 26


@pytest.mark.parametrize("name", engines.NAMES)
@pytest.mark.parametrize("folder", CASES, ids=lambda folder: folder.name)
def test_engine_yields_the_case(folder: Path, name: str) -> None:
    q, stimulus, expected = golden_cases.load_case(folder)
    engine = engines.make(name, q)
    try:
        for burst in range(1, expected.ledger.bursts + 1):
            found = engine.run(1, stimulus)
            assert found.fired(burst).tolist() == expected.ledger.fired(burst).tolist(), f"fired in burst {burst}"
            wanted = expected.potentials[burst - 1]
            assert np.array_equal(engine.potentials(), wanted), f"potentials after burst {burst}"
        counters = engine.counters()
        assert (counters.bursts, counters.fired) == (expected.ledger.bursts, expected.ledger.spikes)
        assert (counters.events, counters.saturations) == (expected.events, expected.saturations)
        assert stimulus.clamped == expected.clamped

        engine.reset()
        found = engine.run(expected.ledger.bursts, stimulus)
        assert ledger.compare(found, expected.ledger) is None
        assert np.array_equal(found.hashes, expected.ledger.hashes)
        assert found.network_hash == q.hash
        if found.potential_hashes is not None and expected.ledger.potential_hashes is not None:
            assert np.array_equal(found.potential_hashes, expected.ledger.potential_hashes)
    finally:
        engine.close()


@pytest.mark.parametrize("folder", CASES, ids=lambda folder: folder.name)
def test_scalar_model_writes_the_ledger(folder: Path) -> None:
    q, stimulus, bursts = golden_cases.load_inputs(folder)
    text = golden_cases.ledger_text(q, list(scalar_model.run(q, stimulus, bursts)), stimulus.clamped)
    assert (folder / "3-ledger.txt").read_text() == text
