"""The core's ledger windows against `espike_sim.ledger.Window`: the same frames, the same refusals."""

from __future__ import annotations

from typing import Any

import engines
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from espike_sim.connectome import Area
from espike_sim.errors import EspikeError
from espike_sim.ledger import Window
from espike_sim.random_networks import random_network, random_stimulus

try:
    from espike_sim._core import ffi, lib
except ImportError:
    pytest.skip("the C core is not built: make setup", allow_module_level=True)

REFUSALS = {
    "asked of a window": int(lib.SPK_ERROR_DEPTH),
    "lies in the future": int(lib.SPK_ERROR_FUTURE),
    "more than is held": int(lib.SPK_ERROR_HISTORY),
    "bursts must increase": int(lib.SPK_ERROR_HISTORY),
}


class CLedger:
    """One tracked area in the core; its memory is surrounded by words that nobody may touch."""

    def __init__(self, area: Area, window_bursts: int, burst: int) -> None:
        size = lib.spk_ledger_bytes(area.count, window_bursts)
        assert size == 4 * ((area.count + 31) // 32) * window_bursts
        self.memory = np.full(size // 4 + 2, 0xA5A5A5A5, np.uint32)
        self.ledger = ffi.new("spk_ledger_t *")
        inside = ffi.cast("void *", self.memory[1:].ctypes.data)
        lib.spk_ledger_init(self.ledger, inside, area.count, window_bursts, burst)
        self.ledger.neuron_first = area.first
        self.first = area.first

    def push(self, burst: int, ids: list[int], neurons: int) -> int:
        bits = np.zeros((neurons + 31) // 32, np.uint32)
        for i in ids:
            bits[i // 32] |= np.uint32(1 << i % 32)
        return int(lib.spk_ledger_push(self.ledger, burst, ffi.cast("const uint32_t *", bits.ctypes.data)))

    def frames(self, depth: int, end: int) -> list[list[int]] | int:
        """Ids of each frame, oldest first, or the error."""
        found: list[list[int]] = []
        for index in range(max(1, depth)):
            frame: Any = ffi.new("const uint32_t **")
            error = int(lib.spk_ledger_frame(self.ledger, end, depth, index, frame))
            if error < 0:
                return error
            words = np.frombuffer(ffi.buffer(frame[0], 4 * self.ledger.words_per_frame), np.uint32)
            bits = np.unpackbits(words.view(np.uint8), bitorder="little")
            found.append((np.flatnonzero(bits) + self.first).tolist())
        assert lib.spk_ledger_frame(self.ledger, end, depth, depth, ffi.new("const uint32_t **")) < 0
        assert self.memory[0] == self.memory[-1] == 0xA5A5A5A5
        return found


def window_frames(window: Window, area: int, depth: int, end: int) -> list[list[int]] | int:
    """What the Python window answers, in the same terms."""
    try:
        return [frame.tolist() for frame in window.frames(area, depth, end)]
    except EspikeError as error:
        return next(code for text, code in REFUSALS.items() if text in str(error))


def window_push(window: Window, burst: int, ids: list[int]) -> int:
    try:
        window.push(burst, np.array(ids, np.uint32))
    except EspikeError as error:
        return next(code for text, code in REFUSALS.items() if text in str(error))
    return 0


SIZES = st.sampled_from([1, 2, 31, 32, 33, 63, 64, 65, 100])


@settings(max_examples=250, deadline=None, database=None)
@given(st.data())
def test_windows_agree(data: st.DataObject) -> None:
    counts = data.draw(st.lists(SIZES, min_size=1, max_size=4))
    firsts = np.concatenate(([0], np.cumsum(counts))).tolist()
    areas = [Area(f"a{i}", f"a{i}", "custom", (n, 1, 1), 1, firsts[i], True) for i, n in enumerate(counts)]
    window, ledgers, burst = Window(areas), dict[int, CLedger](), 0
    neurons = firsts[-1]
    for _ in range(data.draw(st.integers(1, 12))):
        untracked = [i for i in range(len(areas)) if i not in ledgers]
        if untracked and data.draw(st.booleans()):
            index, depth = data.draw(st.sampled_from(untracked)), data.draw(st.integers(1, 6))
            window.track(index, depth)
            ledgers[index] = CLedger(areas[index], depth, burst)
        edges = sorted({0, neurons - 1, *(f for f in firsts if f < neurons), *(f - 1 for f in firsts if f > 0)})
        ids = sorted(data.draw(st.sets(st.one_of(st.integers(0, neurons - 1), st.sampled_from(edges)))))
        step = data.draw(st.sampled_from([1, 1, 1, 2, 3, 7, 1000, 0, -1]))
        at = max(0, burst + step)
        expected = window_push(window, at, ids)
        for ledger in ledgers.values():
            assert ledger.push(at, ids, neurons) == expected
        burst = window.burst
        for index, ledger in ledgers.items():
            for depth in range(8):
                for end in {0, burst - 6, burst - 2, burst - 1, burst, burst + 1}:
                    if end >= 0:
                        assert ledger.frames(depth, end) == window_frames(window, index, depth, end)


def test_area_that_is_tracked_while_the_engine_runs() -> None:
    q = random_network(9, "int8", True, areas=5)
    host: Any = engines.host(q)
    stimulus = random_stimulus(q, 9, 60, 0.3)
    window, ledgers = Window(q.areas), dict[int, CLedger]()
    for begin, area, depth in ((0, 2, 7), (10, 0, 3), (10, 4, 1), (25, 1, 40)):
        for _ in range(host.burst, begin):
            found = host.run(1, stimulus)
            window.push(found.first_burst, found.ids)
        window.track(area, depth)
        ledgers[area] = CLedger(q.areas[area], depth, host.burst)
        lib.spk_engine_track(host._engine, ledgers[area].ledger, area)
    seen = 0
    while host.burst < 60:
        found = host.run(1, stimulus)
        window.push(found.first_burst, found.ids)
        for area, ledger in ledgers.items():
            for depth in (1, 3, 7, 40, 41):
                frames = window_frames(window, area, depth, host.burst)
                assert ledger.frames(depth, host.burst) == frames
                seen += sum(map(len, frames)) if isinstance(frames, list) else 0
    assert seen > 100
    assert ledgers[4].ledger.neuron_first == q.areas[4].first


def test_reset_drops_ledgers() -> None:
    q = random_network(9, "int8", True, areas=3)
    host: Any = engines.host(q)
    ledger = CLedger(q.areas[1], 4, 0)
    lib.spk_engine_track(host._engine, ledger.ledger, 1)
    host.run(5)
    assert ledger.ledger.last_burst == 5
    host.reset()
    host.run(9)
    assert ledger.ledger.last_burst == 5


@pytest.mark.parametrize("neuron", [0, 1, 30, 31, 32, 33, 62, 63, 64])
def test_engine_maps_neurons_to_areas(neuron: int) -> None:
    q = random_network(10, "int8", True, areas=7)
    host: Any = engines.host(q)
    assert lib.spk_engine_area(host._engine, neuron) == q.area_of_neuron[neuron]
    for index, area in enumerate(q.areas):
        assert lib.spk_engine_area_first(host._engine, index) == area.first
        assert lib.spk_engine_area_count(host._engine, index) == area.count
