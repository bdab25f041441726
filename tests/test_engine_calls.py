"""The core's engine called directly: order of stimuli, snapshots, expansion; what it refuses leaves it as it was."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from small_networks import network

from espike.image import pack
from espike_sim.core import ffi, lib
from espike_sim.engine import CodedStimulus
from espike_sim.host import ImageView
from espike_sim.quantized import NUMBER_TYPES
from espike_sim.random_networks import random_network, random_stimulus


class Engine:
    """An engine of the core in memory of its own; nothing is expanded."""

    def __init__(self, image: ImageView, stimulus: CodedStimulus | None = None) -> None:
        self.image, view = image, image.view
        self._ram = ffi.new("uint64_t[]", int(lib.spk_engine_ram_bytes(view)) // 8 + 1)
        self.c = ffi.new("spk_engine_t *")
        kernel = lib.spk_batch_kernel(view.precision)
        assert lib.spk_engine_init(self.c, view, kernel, self._ram, 8 * len(self._ram), 1) == 0
        self._stimulus: dict[int, list[tuple[int, int]]] = {}
        if stimulus is not None:
            words = stimulus.value.astype("f4" if stimulus.value.dtype.kind == "f" else "i4").view(np.uint32)
            for burst, neuron, word in zip(stimulus.burst, stimulus.neuron, words, strict=True):
                self._stimulus.setdefault(int(burst), []).append((int(neuron), int(word)))

    def run(self, bursts: int) -> list[tuple[int, ...]]:
        """State hash, hash with potentials and fired neurons after each of the next bursts."""
        seen = []
        for burst in range(int(self.c.burst) + 1, int(self.c.burst) + bursts + 1):
            for neuron, word in self._stimulus.get(burst, []):
                assert lib.spk_engine_inject(self.c, neuron, word) == 0
            fired = int(lib.spk_engine_burst(self.c))
            seen.append((*self.c.hash, *self.c.potential_hash, fired))
        return seen

    def saved(self) -> Any:
        made = ffi.new("uint8_t[]", int(lib.spk_engine_snapshot_bytes(self.image.view)))
        lib.spk_engine_save(self.c, made)
        return made


@pytest.mark.parametrize("timing", [False, True])
@pytest.mark.parametrize("precision", NUMBER_TYPES)
def test_a_restored_engine_goes_on_as_the_saved_one(precision: str, timing: bool) -> None:
    """At every place of the ring of fire queues, with delays and weights that have learned."""
    q = random_network(4, precision, True, areas=4, largest_area=40, timing=timing)
    image, stimulus = ImageView(pack(q).data), random_stimulus(q, 3, 60, 0.4)
    saved, wanted = Engine(image, stimulus), Engine(image, stimulus).run(40)
    assert sum(burst[-1] for burst in wanted) > 100
    for begin in range(30):
        other = Engine(image, stimulus)
        lib.spk_engine_restore(other.c, saved.saved())
        assert bytes(other.saved()) == bytes(saved.saved())
        assert other.run(10) == wanted[begin : begin + 10]
        assert saved.run(1) == wanted[begin : begin + 1]


def test_neurons_are_stimulated_in_ascending_order_between_two_bursts() -> None:
    engine = Engine(ImageView(pack(network("int8", [4, 4], stimulus_limit=200)).data))
    assert [lib.spk_engine_inject(engine.c, neuron, 100) for neuron in (2, 5)] == [0, 0]
    for neuron in (5, 4, 0, 8, 0xFFFFFFFF):
        assert lib.spk_engine_inject(engine.c, neuron, 100) == lib.SPK_ERROR_NEURON
    for value in (201, 1 << 31, -201 & 0xFFFFFFFF):
        assert lib.spk_engine_inject(engine.c, 6, value) == lib.SPK_ERROR_STIMULUS
        assert lib.spk_engine_inject_check(engine.c, 6, value) == lib.SPK_ERROR_STIMULUS
    assert lib.spk_engine_inject_check(engine.c, 0, 100) == 0, "order is not looked at"
    assert lib.spk_engine_inject_check(engine.c, 8, 100) == lib.SPK_ERROR_NEURON
    assert lib.spk_engine_burst(engine.c) == 2
    assert lib.spk_engine_inject(engine.c, 0, 100) == 0
    assert lib.spk_engine_burst(engine.c) == 1


@pytest.mark.parametrize("precision", NUMBER_TYPES)
def test_too_little_memory_expands_nothing(precision: str) -> None:
    image = ImageView(pack(random_network(2, precision, True, areas=4)).data)
    view = image.view
    needed, expansion = int(lib.spk_expansion_bytes(view)), ffi.new("spk_expansion_t *")
    memory = ffi.new("uint64_t[]", needed // 8 + 1)
    for room in (0, 8, needed - 1):
        assert lib.spk_expand(view, expansion, memory, room) == lib.SPK_ERROR_RAM
        assert view.expansion == ffi.NULL
    assert lib.spk_expand(view, expansion, memory, needed) == 0
    assert view.expansion == expansion


def test_every_error_has_one_name() -> None:
    codes = [value for name, value in vars_of_errors().items() if name != "SPK_OK"]
    assert sorted(codes) == list(range(-len(codes), 0))
    names = [ffi.string(lib.spk_error_name(code)).decode() for code in (0, *codes)]
    assert len({*names}) == len(names)
    for code in (1, 7, 1 << 30):
        assert ffi.string(lib.spk_error_name(code)) == b"ok", "a count"
    for code in (-len(codes) - 1, -1000, -1001, -(1 << 31)):
        assert ffi.string(lib.spk_error_name(code)) == b"unknown error"


def vars_of_errors() -> dict[str, int]:
    """The errors of the core by name."""
    return {name: int(getattr(lib, name)) for name in dir(lib) if name == "SPK_OK" or name.startswith("SPK_ERROR_")}
