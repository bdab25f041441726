"""The planner's cost table and its predictions, against instructions counted on the emulated board."""

from __future__ import annotations

import engines
import numpy as np
import pytest

from espike import costs, genome, toolchain
from espike.bench import costs as measuring
from espike.bench import instructions, probes
from espike.bench.instructions import Program
from espike.quantize import quantize
from espike_sim import stimulus, stimulus_spec
from espike_sim.engine import CodedStimulus
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
