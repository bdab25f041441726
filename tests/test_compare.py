"""The first difference of two engines is named: burst, neuron, both potentials, who fired; with few re-runs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from random_networks import random_network, random_stimulus

from espike_sim.compare import Difference, first_difference
from espike_sim.engine import CodedStimulus
from espike_sim.errors import EspikeError
from espike_sim.ledger import Ledger
from espike_sim.quantized import QuantizedConnectome
from espike_sim.reference import Reference

BURSTS = 60
DEEP = -15000
"""Keeps a neuron silent for good: the difference persists."""


class Wrong(Reference):
    """A reference that adds `amount` to the potential of one neuron after one burst, and may hide what it knows."""

    name = "wrong"

    def __init__(
        self, q: QuantizedConnectome, burst: int, neuron: int, amount: int, *, hashes: bool = True, tells: bool = True
    ) -> None:
        self.at, self.neuron, self.amount, self.hashes, self.tells = burst, neuron, amount, hashes, tells
        self.resets = self.bursts_run = 0
        super().__init__(q)
        self.resets = 0

    def reset(self, *, track_potentials: bool = True) -> None:
        self.resets += 1
        super().reset(track_potentials=track_potentials and self.hashes)

    def run(self, bursts: int, stimulus: CodedStimulus | None = None) -> Ledger:
        self.bursts_run += bursts
        return super().run(bursts, stimulus)

    def potentials(self) -> NDArray[Any]:
        if not self.tells:
            raise EspikeError("potentials are not told")
        return super().potentials()

    def _hash(self, ids: NDArray[np.int64], fired: NDArray[np.int64]) -> None:
        if self.burst == self.at:
            self.potential[self.neuron] += self.potential.dtype.type(self.amount)
            ids = self.everyone
        super()._hash(ids, fired)


@pytest.fixture(scope="module")
def setting() -> tuple[QuantizedConnectome, CodedStimulus, int]:
    """A network in which every neuron keeps its potential, its stimulus, and a neuron that fires after burst 30."""
    q = random_network(11, "int8", areas=4, wide_area=False, features=False)
    stimulus = random_stimulus(q, 11, BURSTS)
    ledger = Reference(q).run(BURSTS, stimulus)
    late = ledger.burst_of_spike() > 40
    return q, stimulus, int(ledger.ids[late][0])


def find(setting: tuple[QuantizedConnectome, CodedStimulus, int], wrong: Wrong, **options: Any) -> Difference | None:
    q, stimulus, _ = setting
    return first_difference(Reference(q), wrong, BURSTS, stimulus, **options)


@pytest.mark.parametrize("chunk", [1, 7, BURSTS, 1000])
def test_equal_engines_do_not_differ(setting: tuple[QuantizedConnectome, CodedStimulus, int], chunk: int) -> None:
    q, _, _ = setting
    seen: list[tuple[int, int]] = []
    wrong = Wrong(q, 0, 0, 0)
    assert find(setting, wrong, chunk_bursts=chunk, progress=lambda done, all_: seen.append((done, all_))) is None
    assert seen[-1] == (BURSTS, BURSTS)
    assert (wrong.resets, wrong.bursts_run) == (1, BURSTS)


@pytest.mark.parametrize("chunk", [1, 7, 1000])
def test_potential_and_spike_are_named(setting: tuple[QuantizedConnectome, CodedStimulus, int], chunk: int) -> None:
    q, _, neuron = setting
    wrong = Wrong(q, 30, neuron, DEEP)
    found = find(setting, wrong, chunk_bursts=chunk)
    assert found is not None
    assert found.potential is not None
    assert found.spike is not None
    assert (found.burst, found.potential.burst, found.potential.neuron, found.potential.differing) == (
        30,
        30,
        neuron,
        1,
    )
    assert found.potential.b - found.potential.a == DEEP
    assert found.spike.burst > 30
    assert found.spike.neuron in {*found.spike.only_a.tolist(), *found.spike.only_b.tolist()}
    assert f"potential of neuron {neuron} after burst 30: reference" in str(found)
    assert f"fired in burst {found.spike.burst} on" in str(found)
    assert wrong.resets == 2
    assert wrong.bursts_run <= 2 * found.spike.burst + chunk


def test_potential_alone(setting: tuple[QuantizedConnectome, CodedStimulus, int]) -> None:
    q, _, neuron = setting
    found = find(setting, Wrong(q, BURSTS, neuron, 1))
    assert found is not None
    assert found.spike is None
    assert found.potential is not None
    assert (found.burst, found.potential.neuron) == (BURSTS, neuron)


@pytest.mark.parametrize("burst", [1, 30, BURSTS])
def test_without_hash_with_potentials_the_potential_is_traced_back(
    setting: tuple[QuantizedConnectome, CodedStimulus, int], burst: int
) -> None:
    q, _, neuron = setting
    found = find(setting, Wrong(q, burst, neuron, DEEP, hashes=False))
    assert found is not None
    assert found.potential is not None
    assert (found.burst, found.potential.burst, found.potential.neuron) == (burst, burst, neuron)
    assert find(setting, Wrong(q, 0, 0, 0, hashes=False)) is None


def test_without_potentials_the_spike_is_named(setting: tuple[QuantizedConnectome, CodedStimulus, int]) -> None:
    q, _, neuron = setting
    wrong = Wrong(q, 30, neuron, DEEP, hashes=False, tells=False)
    found = find(setting, wrong)
    assert found is not None
    assert found.potential is None
    assert found.spike is not None
    assert found.burst == found.spike.burst > 30
    assert found.spike.potential_b is None
    assert wrong.resets == 2
    assert find(setting, Wrong(q, BURSTS, neuron, 1, hashes=False, tells=False)) is None


def test_other_networks_are_refused(setting: tuple[QuantizedConnectome, CodedStimulus, int]) -> None:
    q, stimulus, _ = setting
    other = replace(q, refractory=q.refractory + np.uint16(1))
    with pytest.raises(EspikeError, match="reference and reference run different networks"):
        first_difference(Reference(q), Reference(other), 5, stimulus)
