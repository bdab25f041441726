"""connectome -> NIR file -> connectome: rasters and potentials to the bit, and what NIR cannot say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import nir
import numpy as np
import pytest
from nir_graphs import DT, make
from test_nir_import import RULES, stimulus

from espike.builder import Builder
from espike.nir import model
from espike.nir.check import run
from espike.nir.semantics import Asked
from espike.nir.write import write
from espike.quantize import quantize
from espike_sim.connectome import Connectome
from espike_sim.errors import EspikeError
from espike_sim.reference import Reference


def rasters(c: Connectome, inputs: dict[str, np.ndarray]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Spikes and potentials of each area under (bursts, elements) inputs by area."""
    bursts = len(next(iter(inputs.values())))
    first = {area.id: area.first for area in c.areas}
    entries = stimulus({first[name]: x for name, x in inputs.items()})
    fired, traces = run(Reference(quantize(c, "fp32")), entries, bursts, traced=True)
    parts = {area.id: slice(area.first, area.first + area.count) for area in c.areas}
    return {name: (fired[:, part], traces[:, part]) for name, part in parts.items()}


@pytest.mark.parametrize("seed", range(48))
def test_a_round_trip_keeps_rasters_and_potentials(seed: int, tmp_path: Path) -> None:
    """Through a file that the nir package reads, too."""
    shapes = make(seed, tmp_path / "a.nir")
    options, _ = RULES[seed % len(RULES)]
    graded = seed // len(RULES) % 2 == 1
    c = model.load(tmp_path / "a.nir", Asked(dt=DT, graded_input=graded, **options)).connectome
    write(c, tmp_path / "b.nir")
    assert nir.read(tmp_path / "b.nir", type_check=False).nodes
    again = model.load(tmp_path / "b.nir", Asked(profile="espike")).connectome
    before, after = quantize(c, "fp32"), quantize(again, "fp32")
    for name in ("threshold", "retained", "current_retained", "reset", "bias"):
        assert np.array_equal(getattr(before, name), getattr(after, name)), name
    rng = np.random.default_rng(seed)
    inputs = {}
    for name, shape in shapes.items():
        n = int(np.prod(shape))
        inputs[name] = rng.normal(0.5, 1, (25, n)) if graded else (rng.random((25, n)) < 0.4).astype(np.float64)
    wanted, found = rasters(c, inputs), rasters(again, inputs)
    assert set(wanted) == set(found)
    for name, (fired, traces) in wanted.items():
        assert np.array_equal(fired, found[name][0]), name
        assert np.array_equal(traces, found[name][1]), name


def test_what_nir_cannot_say_is_said(tmp_path: Path) -> None:
    """Subtraction, late resets, >=: in words; without --profile espike they are gone."""
    make(2, tmp_path / "a.nir")
    c = model.load(tmp_path / "a.nir", Asked(dt=DT)).connectome
    area = next(a for a in c.areas if a.dynamics and a.dynamics.fires and a.accumulate and not a.dynamics.graded)
    bent = replace(area.dynamics, reset="subtract", late=True, strict=False)
    areas = tuple(replace(a, dynamics=bent) if a is area else a for a in c.areas)
    part = slice(area.first, area.first + area.count)
    reset = c.reset.copy()
    reset[part] = c.threshold[part]
    notes = " ".join(write(replace(c, areas=areas, reset=reset), tmp_path / "b.nir").notes)
    for words in ("subtracts the threshold", "a burst late", "fires at the threshold"):
        assert words in notes
    kept = model.load(tmp_path / "b.nir", Asked(profile="espike")).connectome
    assert next(a for a in kept.areas if a.id == area.id).dynamics == bent
    plain = model.load(tmp_path / "b.nir", Asked(dt=DT)).connectome
    assert next(a for a in plain.areas if a.id == area.id).dynamics.reset == "value"


def test_networks_that_nir_has_no_words_for(tmp_path: Path) -> None:
    """FEAGI's neurons, refractory periods, a foreign file read as espike's own."""
    builder = Builder()
    builder.add_neurons(2)
    with pytest.raises(EspikeError, match="before they leak"):
        write(builder.connectome(), tmp_path / "x.nir")
    make(2, tmp_path / "a.nir")
    c = model.load(tmp_path / "a.nir", Asked(dt=DT)).connectome
    with pytest.raises(EspikeError, match="a refractory period, which NIR cannot say"):
        write(replace(c, refractory=np.ones(c.neurons, np.uint16)), tmp_path / "x.nir")
    with pytest.raises(EspikeError, match="espike did not write this file"):
        model.load(tmp_path / "a.nir", Asked(profile="espike"))
    assert not (tmp_path / "x.nir").exists()
