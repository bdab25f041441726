"""NIR file -> connectome: published graphs beside their frameworks' recordings, random ones beside a second author."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import run as command
from nir_graphs import DT, make
from slow_nir import Rules, Slow

from espike.nir import model
from espike.nir.check import run
from espike.nir.semantics import Asked
from espike.quantize import quantize
from espike_sim import connectome as connectomes
from espike_sim.engine import CodedStimulus
from espike_sim.reference import Reference

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data" / "nir"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="../shared is absent")
GRAPHS = [path.name for path in sorted(SHARED.glob("*.nir"))]

RULES: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {}),
    ({"reset": "subtract"}, {"reset": "subtract"}),
    ({"reset": "subtract", "late": True}, {"reset": "subtract", "late": True}),
    ({"late": True}, {"late": True}),
    ({"layer_delay": 1}, {"layer_delay": 1, "input_delay": 1}),
    ({"decay": "exponential"}, {"exponential": True, "gain": "held"}),
    ({"current": "old", "strict": False}, {"current": "old", "strict": False}),
    (
        {"reset": "zero", "gain": "undecayed", "decay": "exponential"},
        {"reset": "zero", "gain": "undecayed", "exponential": True},
    ),
    ({"profile": "spyx"}, {"reset": "subtract", "late": True, "layer_delay": 1}),
    ({"profile": "sinabs"}, {"exponential": True, "gain": "one", "reset": "subtract", "strict": False}),
    ({"profile": "rockpool"}, {"exponential": True, "gain": "euler", "reset": "subtract", "strict": False}),
    ({"profile": "lava"}, {"layer_delay": 1, "input_delay": 1}),
]
"""Options, and the same for the second author."""


def stimulus(inputs: dict[int, np.ndarray]) -> CodedStimulus:
    """(bursts, elements) by first neuron -> entries."""
    entries = sorted(
        (int(t) + 1, first + int(n), float(x[t, n])) for first, x in inputs.items() for t, n in np.argwhere(x != 0)
    )
    columns = [np.array([entry[i] for entry in entries]) for i in range(3)]
    return CodedStimulus(columns[0].astype(np.int64), columns[1].astype(np.uint32), columns[2].astype(np.float32))


def beside(path: Path, asked: Asked, rules: Rules, inputs: dict[str, np.ndarray]) -> int:
    """Run both, (bursts, *shape) inputs; assert that they agree -> spikes that were compared."""
    imported = model.load(path, asked)
    made, areas = imported.made, imported.connectome.areas
    slow = Slow(path, rules)
    bursts = len(next(iter(inputs.values())))
    for t in range(bursts):
        slow.burst({name: x[t] for name, x in inputs.items()})
    flat = {areas[made.area_of[name]].first: x.reshape(bursts, -1) for name, x in inputs.items()}
    fired, traces = run(Reference(quantize(imported.connectome, "fp32")), stimulus(flat), bursts, traced=True)
    compared = 0
    for name, index in made.area_of.items():
        area = areas[index]
        part, dynamics = slice(area.first, area.first + area.count), area.dynamics
        assert dynamics is not None
        if name.endswith(" late"):
            continue
        if dynamics.fires and not dynamics.graded:
            wanted = np.array(slow.spikes[made.thresholds.get(name, name)]).reshape(bursts, -1)
            assert np.array_equal(fired[:, part], wanted), f"{name}: spikes"
            compared += int(wanted.sum())
        else:
            shown = np.array(slow.shown[name]).reshape(bursts, -1)
            error = np.abs(traces[:, part] + made.rest[part] - shown).max()
            assert error <= 1e-4 * max(1.0, np.abs(shown).max()), f"{name}: potentials"
    return compared


@pytest.mark.parametrize("seed", range(96))
def test_random_graphs_agree_with_the_second_author(seed: int, tmp_path: Path) -> None:
    """Every kind of node, nested graphs, loops, double edges, delays; spikes and values as input."""
    inputs = make(seed, tmp_path / "graph.nir")
    options, rules = RULES[seed % len(RULES)]
    graded = seed // len(RULES) % 2 == 1
    rng = np.random.default_rng(seed)
    given = {
        name: (rng.normal(0.5, 1, (25, *shape)) if graded else rng.random((25, *shape)) < 0.4).astype(np.float32)
        for name, shape in inputs.items()
    }
    beside(tmp_path / "graph.nir", Asked(dt=DT, graded_input=graded, **options), Rules(DT, **rules), given)


@needs_shared
@pytest.mark.parametrize("name", GRAPHS)
def test_published_graphs_load(name: str, tmp_path: Path) -> None:
    """All of them, into files that `pack` reads."""
    unknown = ["--dt", "1e-4"] if name in ("lif_norse.nir", "two_lif_neurons.nir") else []
    done = command("import", SHARED / name, *unknown, "-o", "net.npz", "--json", cwd=tmp_path)
    assert done.json["notes"] is not None
    made = connectomes.load(tmp_path / "net.npz")
    assert not made.candidates_only
    assert made.hash == done.json["hash"]
    assert any("burst" in note for note in made.notes)


CASES = [
    ("lif_norse.nir", "snntorch", "lif_snntorch.csv", 0.0),
    ("lif_norse.nir", "norse", "lif_norse.csv", 1e-7),
    ("lif_norse.nir", "spyx", "lif_spyx.csv", 1e-7),
    ("lif_norse.nir", "lava", "lif_lava_cpu_float.csv", 1e-7),
    ("lif_norse.nir", "lava", "lif_lava_cpu_fixed.csv", 0.0),
    ("lif_norse.nir", "sinabs", "lif_sinabs.csv", 1e-7),
    ("lif_norse.nir", "rockpool", "lif_rockpool.csv", 1e-7),
    ("lif_norse.nir", "exact", "lif_exact.csv", 0.0),
    ("lif_rockpool.nir", "rockpool", "lif_rockpool.csv", 1e-7),
]


@needs_shared
@pytest.mark.parametrize(("graph", "profile", "recording", "close"), CASES)
def test_profiles_match_their_frameworks(
    graph: str, profile: str, recording: str, close: float, tmp_path: Path
) -> None:
    """Spike for spike; where the recording has the potentials in the file's unit, these too (`close`)."""
    arguments = (
        "import",
        SHARED / graph,
        "--profile",
        profile,
        "--expect",
        SHARED / recording,
        "-o",
        "n.npz",
        "--json",
    )
    found = command(*arguments, cwd=tmp_path).json["expect"]
    (area,) = found["areas"]
    assert found["equal"]
    assert area["spikes"] == area["spikes_expected"] == 4
    assert not close or area["potential_error"] < close


@needs_shared
@pytest.mark.parametrize(
    ("name", "samples", "reset"),
    [
        ("digits_lif_zero", 360, []),
        ("digits_lif_sub_bias", 360, ["--reset", "subtract"]),
        ("basicmotions_lif_zero", 40, []),
    ],
)
def test_trained_networks_match_every_sample(name: str, samples: int, reset: list[str], tmp_path: Path) -> None:
    """Hidden and output layer, all samples; the burst is told from r = tau / dt."""
    keys = ("--expect-keys", "input=x,lif1=ref_hidden,lif2=ref_out")
    arguments = ("import", SHARED / f"np_{name}.nir", *reset, "--expect", SHARED / f"np_{name}.npz", *keys)
    found = command(*arguments, "-o", "n.npz", "--json", cwd=tmp_path).json
    assert found["timestep_s"] == 1e-4
    assert [(a["samples"], a["samples_equal"]) for a in found["expect"]["areas"]] == [(samples, samples)] * 2


@needs_shared
def test_a_wrong_reset_is_found(tmp_path: Path) -> None:
    """Exit 1, and the sample, burst and neuron where the rasters part."""
    keys = ("--expect-keys", "input=x,lif1=ref_hidden,lif2=ref_out")
    recording = SHARED / "np_digits_lif_sub_bias.npz"
    done = command(
        "import", SHARED / "np_digits_lif_sub_bias.nir", "--expect", recording, *keys, "-o", "n.npz", cwd=tmp_path
    )
    assert done.code == 1
    assert "sample 0, burst 5, neuron 17" in " ".join(done.out.replace("│", " ").split())
    assert "Traceback" not in done.err


@needs_shared
@pytest.mark.parametrize(
    ("graph", "inputs"),
    [("braille_noDelay_bias_zero.nir", "spikes"), ("cnn_sinabs.nir", "spikes"), ("cnn_sinabs.nir", "graded")],
)
def test_published_networks_agree_with_the_second_author(graph: str, inputs: str) -> None:
    """The recurrent Braille network; the N-MNIST network with random events and with counts of them."""
    rng = np.random.default_rng(5)
    recurrent = graph.startswith("braille")
    shape = (12,) if recurrent else (2, 34, 34)
    bursts = 100 if recurrent else 12
    given = (rng.random((bursts, *shape)) < 0.1).astype(np.float64)
    if inputs == "graded":
        given *= rng.integers(1, 4, given.shape)
    rules = Rules(1e-4) if recurrent else Rules(1.0, True, "one", "subtract", strict=False)
    compared = beside(SHARED / graph, Asked(graded_input=inputs == "graded"), rules, {"input": given})
    assert compared > 300
