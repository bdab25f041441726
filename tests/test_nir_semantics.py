"""What is assumed of a NIR file, where it comes from, and small networks that are computed by hand."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest
from test_nir_import import stimulus

from espike.nir import model
from espike.nir.check import run
from espike.nir.file import PARAMETERS
from espike.nir.semantics import PROFILES, Asked
from espike.quantize import quantize
from espike_sim.errors import EspikeError
from espike_sim.reference import Reference

DOCUMENT = (Path(__file__).resolve().parents[1] / "docs" / "nir.md").read_text()


def written(path: Path, nodes: dict[str, Any], *edges: tuple[str, str]) -> Path:
    """A file of these nodes; without edges, in a row."""
    names = list(nodes)
    nir.write(path, nir.NIRGraph(nodes, list(edges) or list(pairwise(names)), type_check=False))
    return path


def row(path: Path, *inner: Any) -> Path:
    """in -> inner nodes -> out, each of one element."""
    nodes = {f"n{i}": node for i, node in enumerate(inner)}
    return written(path, {"in": nir.Input(np.array([1])), **nodes, "out": nir.Output(np.array([1]))})


def lif(tau: float, r: float, **more: Any) -> nir.LIF:
    """One neuron."""
    values = {"v_leak": 0.0, "v_threshold": 1.0} | more
    return nir.LIF(tau=np.array([tau]), r=np.array([r]), **{name: np.array([x]) for name, x in values.items()})


def potentials(imported: model.Imported, given: list[float]) -> list[float]:
    """Potentials of the last area, in the file's unit, one value per burst into the one Input."""
    c = imported.connectome
    engine = Reference(quantize(c, "fp32"))
    _, traces = run(engine, stimulus({0: np.array(given)[:, None]}), len(given), traced=True)
    return (traces[:, -1] + imported.made.rest[-1]).tolist()


@pytest.mark.parametrize(
    ("nodes", "profile", "dt"),
    [
        ([lif(1e-3, 10)], "snntorch", 1e-4),
        ([lif(1e-3, 10), lif(2.5e-3, 25)], "snntorch", 1e-4),
        ([lif(1e-3, 5), lif(3e-3, 15)], "", 2e-4),
        ([lif(2.5e-3, 24.019737)], "rockpool", 1e-4),
        ([lif(20.0, 1.0)], "sinabs", 1.0),
        ([nir.IF(r=np.ones(1), v_threshold=np.ones(1))], "sinabs", 1.0),
        ([nir.IF(r=np.full(1, 1e4), v_threshold=np.ones(1))], "spikingjelly", 1e-4),
    ],
)
def test_frameworks_and_bursts_that_numbers_tell(nodes: list[Any], profile: str, dt: float, tmp_path: Path) -> None:
    """And the report says what from."""
    found = model.load(row(tmp_path / "m.nir", *nodes))
    assert found.semantics.dt == dt
    assert found.semantics.profile == (profile or "nir")
    said = {a.name: a.origin for a in found.assumptions}
    assert said["burst"].startswith("inferred: ")
    assert said["reset"] == (f"profile {profile}" if profile else "default")


@pytest.mark.parametrize("node", [lif(2.5e-3, 1.0), lif(0.01, 2.0), nir.IF(r=np.full(1, 2.0), v_threshold=np.ones(1))])
def test_bursts_that_numbers_do_not_tell(node: Any, tmp_path: Path) -> None:
    """One time constant and any resistance would give some dt: asked for."""
    with pytest.raises(EspikeError, match="give --dt SECONDS, or --profile FRAMEWORK"):
        model.load(row(tmp_path / "m.nir", node))


def test_every_option_is_reported_as_one(tmp_path: Path) -> None:
    """And overrides the profile."""
    asked = Asked("spyx", 1e-4, "exponential", "held", "zero", False, False, 0, None, "zero", True)
    found = model.load(row(tmp_path / "m.nir", lif(2e-3, 3.0, v_leak=0.5)), asked)
    origins = {a.name: a.origin for a in found.assumptions}
    assert {name for name, origin in origins.items() if not origin.startswith("option")} == set()
    assert found.semantics.lag == 0
    assert any("reset: to zero (option)" in note for note in found.connectome.notes)


def test_potentials_by_hand(tmp_path: Path) -> None:
    """A quarter is lost per burst; v_leak 2: from rest nothing moves, from 0 it is approached."""
    node = nir.LI(tau=np.array([4e-4]), r=np.array([4.0]), v_leak=np.array([2.0]))
    path = row(tmp_path / "m.nir", node)
    values = Asked(dt=1e-4, graded_input=True)
    assert potentials(model.load(path, values), [0, 1, 0]) == [2.0, 3.0, 2.75]
    zero = Asked(dt=1e-4, graded_input=True, start="zero")
    assert potentials(model.load(path, zero), [0, 0, 1]) == [0.5, 0.875, 2.15625]


def test_a_current_by_hand(tmp_path: Path) -> None:
    """Half of the current, a quarter of the potential is lost; the potential takes the new current, or the old."""
    one = np.ones(1)
    node = nir.CubaLI(tau_syn=2e-4 * one, tau_mem=4e-4 * one, r=4 * one, v_leak=0 * one, w_in=2 * one)
    path = row(tmp_path / "m.nir", node)
    for current, wanted in (("new", [1, 1.25, 1.1875]), ("old", [0, 1, 1.25])):
        assert potentials(model.load(path, Asked(dt=1e-4, current=current)), [1, 0, 0]) == wanted


def test_a_loop_of_linear_nodes_with_a_delay(tmp_path: Path) -> None:
    """y(t) = x(t) + y(t - 2) / 2: an echo, through an area that hands values on."""
    nodes = {
        "in": nir.Input(np.array([1])), "sum": nir.Scale(np.ones(1)), "half": nir.Scale(np.full(1, 0.5)),
        "late": nir.Delay(np.full(1, 2e-4)), "out": nir.Output(np.array([1])),
    }  # fmt: skip
    edges = [("in", "sum"), ("sum", "late"), ("late", "half"), ("half", "sum"), ("sum", "out")]
    found = model.load(written(tmp_path / "m.nir", nodes, *edges), Asked(dt=1e-4, graded_input=True))
    shown = found.connectome.areas[found.made.area_of["out"]]
    engine = Reference(quantize(found.connectome, "fp32"))
    _, traces = run(engine, stimulus({0: np.array([[1.0], [0], [0], [0], [0]])}), 5, traced=True)
    assert traces[:, shown.first].tolist() == [1, 0, 0.5, 0, 0.25]


def test_weights_that_are_all_zero_lead_nowhere(tmp_path: Path) -> None:
    """What follows them is fed by their bias alone."""
    path = row(tmp_path / "m.nir", nir.Affine(np.zeros((1, 1)), np.full(1, 0.25)), nir.Scale(np.full(1, 2.0)))
    found = model.load(path, Asked(dt=1e-4))
    assert found.connectome.synapses == 0
    assert found.made.zeros == 1
    assert potentials(found, [1, 0]) == [0.5, 0.5]


def test_strict_comparison_at_the_threshold(tmp_path: Path) -> None:
    """A potential that equals the threshold fires with >= alone."""
    node = nir.Threshold(np.ones(1))
    path = row(tmp_path / "m.nir", node)
    for strict, spikes in ((True, 0), (False, 1)):
        c = model.load(path, Asked(dt=1e-4, strict=strict, graded_input=False)).connectome
        ledger = Reference(quantize(c, "fp32")).run(1, stimulus({0: np.ones((1, 1))}))
        assert ledger.spikes == 1 + spikes


def test_the_document_names_all() -> None:
    """Profiles, and kinds of nodes."""
    for name in (*PROFILES, *PARAMETERS, "NIRGraph"):
        assert re.search(rf"\b{name}\b", DOCUMENT), name
