"""The planner's cost table and its predictions, against instructions counted on the emulated board."""

from __future__ import annotations

from pathlib import Path

import engines
import numpy as np
import pytest

from espike import costs, genome, loads, presentations, toolchain, work
from espike.bench import costs as measuring
from espike.bench import instructions, probes, rsnn, trained
from espike.bench.instructions import Program
from espike.image import pack
from espike.quantize import quantize
from espike_sim import stimulus, stimulus_spec
from espike_sim.engine import CodedStimulus
from espike_sim.host import ImageView
from espike_sim.quantized import QuantizedConnectome
from espike_sim.random_networks import random_network, random_stimulus

BURSTS = 24
pytestmark = pytest.mark.skipif(not instructions.RV32.available, reason="no rv32 compiler or emulator here")


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Program:
    return instructions.build(tmp_path_factory.mktemp("costs"), ())


def differing(measured: costs.Costs, most: float) -> dict[str, tuple[float, float]]:
    """Prices that are off by more than `most`, and by more than an instruction."""
    table = costs.load(measured.name).instructions
    return {
        name: (table.get(name, 0.0), value)
        for name, value in measured.instructions.items()
        if abs(value - table.get(name, 0.0)) > max(most * abs(value), 1.0)
    }


TABLES = pytest.mark.parametrize("name", instructions.COST_TARGETS)


def needs_target(name: str) -> None:
    target = instructions.COST_TARGETS[name]
    if not target.available:
        engines.lack(f"{target.name}: {', '.join(toolchain.missing(target.board))} not found")


@TABLES
def test_the_committed_table_is_what_is_measured(name: str) -> None:
    """All of it with --soak; else bursts, neurons, delays, learning, and the loops that these need."""
    loops = [probe for probe in probes.row_probes() if probe.codec in (*probes.codecs.STEPWISE, probes.codecs.PLASTIC)]
    needs_target(name)
    measured = measuring.measure(name, loops=[probe for probe in loops if not probe.marked])
    assert tuple(measured.flags) == costs.load(name).flags
    assert differing(measured, 0.05) == {}


@pytest.mark.soak
@TABLES
def test_the_whole_committed_table_is_what_is_measured(name: str) -> None:
    needs_target(name)
    measured = measuring.measure(name)
    assert set(measured.instructions) == set(costs.load(name).instructions)
    assert differing(measured, 0.05) == {}


def entries(given: CodedStimulus) -> probes.Stimuli:
    found: probes.Stimuli = [[] for _ in range(BURSTS)]
    for burst, neuron, value in zip(given.burst, given.neuron, given.value, strict=True):
        found[int(burst) - 1].append((int(neuron), float(value)))
    return found


def error(program: Program, q: QuantizedConnectome, given: CodedStimulus) -> float:
    """Relative error of the predicted instructions of a whole run."""
    both = np.array(list(measuring.prediction_errors(program, costs.load("rv32imc"), q, entries(given))))
    return float(both[:, 0].sum() / both[:, 1].sum() - 1)


@pytest.mark.parametrize("precision", ["int8", "fp32"])
@pytest.mark.parametrize("marked", [True, False])
@pytest.mark.parametrize("timing", [True, False])
def test_random_networks_are_predicted(program: Program, precision: str, marked: bool, timing: bool) -> None:
    for seed in range(3):
        q = random_network(seed, precision, marked, timing=timing)
        assert abs(error(program, q, random_stimulus(q, seed, BURSTS))) < 0.1


@pytest.mark.parametrize("precision", ["int8", "fp32"])
@pytest.mark.parametrize("name", ["reservoir", "layered"])
def test_genomes_are_predicted(program: Program, name: str, precision: str) -> None:
    q = quantize(genome.develop(genome.from_json(genome.new(name, seed=1))), precision)
    given = stimulus_spec.parse(["poisson:input:rate=0.1:amount=1"], q, BURSTS)
    assert abs(error(program, q, stimulus.code(given, q))) < 0.1


@pytest.mark.parametrize("precision", ["int8", "fp32"])
def test_networks_with_neuron_models_are_predicted(program: Program, precision: str) -> None:
    """Random ones of every kind of model: currents, late resets, biases, graded neurons that drive weights."""
    for seed in range(6):
        q = random_network(seed, precision, False, models=True)
        assert any(area.dynamics is not None for area in q.areas)
        assert abs(error(program, q, random_stimulus(q, seed, BURSTS))) < 0.1


@TABLES
def test_a_trained_network_of_published_size_is_predicted(name: str, tmp_path: Path) -> None:
    """Dense rows of 1,024 synapses, currents and a read-out; a share of its neurons is made to fire."""
    needs_target(name)
    target = instructions.COST_TARGETS[name]
    q = quantize(rsnn.connectome(), "int8")
    some = [[*range(0, 96, 9), *range(96 + first, 1120, 37)] for first in range(3)]
    run: probes.Stimuli = [[(i, float(q.stimulus_limit[q.area_of_neuron[i]])) for i in ids] for ids in some]
    both = np.array(
        list(measuring.prediction_errors(instructions.build(tmp_path, (), target), costs.load(name), q, run))
    )
    assert float(np.abs(both[:, 0] / both[:, 1] - 1).max()) < 0.05


@pytest.mark.parametrize("name", ["digits", "gestures"])
def test_trained_networks_are_predicted(program: Program, name: str) -> None:
    """A presentation as it runs, and what the planner says of the mean rate without running it."""
    model = trained.MODELS[name]
    c = model.load()
    q, given = quantize(c, "int8"), presentations.load(model.data, c)
    run: probes.Stimuli = [[] for _ in range(given.bursts)]
    coded = given.coded(0, q)
    for burst, neuron, value in zip(coded.burst, coded.neuron, coded.value, strict=True):
        run[int(burst) - 1].append((int(neuron), float(value)))
    table = costs.load("rv32imc")
    samples = measuring.burst_samples(program, q, run)
    counted = sum(sample.instructions for sample in samples)
    assert abs(sum(table.price(sample.work) for sample in samples) / counted - 1) < 0.05
    fired = sum(sample.work.get("fired", 0) for sample in samples)
    shape = work.read(ImageView(pack(q).data))
    mean = table.price(work.counts(shape, loads.expected(shape, fired / (q.neurons * given.bursts))))
    assert abs(mean * given.bursts / counted - 1) < 0.15
