"""networks + engines -> ratios of speed, both sides in turn on this machine.

Times of a shared machine drift, so a figure is the median over rounds in which the two sides alternate. The engine
runs as it ships (state hash on, no ledger kept); the plain C loop is `loop.c`, built by the machine's compiler with
-O3 -std=c99, which is what the engine's own module is built with.
"""

from __future__ import annotations

import ctypes
import shutil
import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from espike_sim.engine import CodedStimulus
from espike_sim.errors import EspikeError
from espike_sim.host import Host, ImageView
from espike_sim.quantized import QuantizedConnectome
from espike_sim.reference import Reference

from .. import toolchain
from ..image import pack
from . import networks

HERE = Path(__file__).resolve().parent
LOOP_FLAGS = ["-std=c99", "-O3", *toolchain.WARNINGS, "-fPIC", "-shared"]
WARM_UP_BURSTS = 200
ROUNDS = 11
ROUND_S = 0.05
CHECK_BURSTS = 200


class Runner(Protocol):
    """A side of a race."""

    def run(self, bursts: int) -> None:
        """Run more bursts."""

    def events(self) -> int:
        """Synaptic events since the start."""


class EngineRunner:
    """The C core on a network, without keeping a ledger."""

    def __init__(self, q: QuantizedConnectome, stimulus: CodedStimulus | None = None) -> None:
        self.host = Host(ImageView(pack(q).data))
        self.host.reset(track_potentials=False)
        self.host.run(1, stimulus)

    def run(self, bursts: int) -> None:
        """Run more bursts in one call."""
        self.host.advance(bursts)

    def events(self) -> int:
        """Synaptic events since the start."""
        return self.host.counters().events


class ReferenceRunner:
    """The numpy reference on a network."""

    def __init__(self, q: QuantizedConnectome, stimulus: CodedStimulus | None = None) -> None:
        self.reference = Reference(q)
        self.reference.reset(track_potentials=False)
        self.reference.run(1, stimulus)

    def run(self, bursts: int) -> None:
        """Run more bursts."""
        self.reference.run(bursts)

    def events(self) -> int:
        """Synaptic events since the start."""
        return self.reference.counters().events


class _LoopState(ctypes.Structure):
    _fields_ = (
        ("neurons", ctypes.c_uint32),
        ("threshold", ctypes.c_int16),
        ("refractory", ctypes.c_int16),
        *((name, ctypes.c_void_p) for name in ("row_start", "target", "weight", "drive", "potential", "input")),
        *((name, ctypes.c_void_p) for name in ("countdown", "flag", "fired")),
        ("events", ctypes.c_uint64),
    )


class LoopRunner:
    """`loop.c` on a peer network, built in `folder`; exact: with the engine's rounding."""

    def __init__(self, q: QuantizedConnectome, stimulus: CodedStimulus, folder: Path, *, exact: bool = False) -> None:
        path = folder / ("loop-exact.so" if exact else "loop.so")
        if not path.exists():
            flags = [*LOOP_FLAGS, *(["-DLOOP_EXACT"] if exact else [])]
            toolchain.run(["cc", *flags, HERE / "loop.c", "-o", path], where="bench loop")
        self._run = ctypes.CDLL(str(path)).loop_run
        self._run.restype, self._run.argtypes = ctypes.c_uint64, (ctypes.c_void_p, ctypes.c_uint32)
        drive, start = np.zeros(q.neurons, np.int16), np.zeros(q.neurons, np.int16)
        drive[q.power_neuron] = q.power_value
        start[stimulus.neuron] = stimulus.value
        self._arrays: dict[str, NDArray[Any]] = {
            "row_start": np.searchsorted(q.source, np.arange(q.neurons + 1)).astype(np.uint32),
            "target": q.target.astype(np.uint32),
            "weight": q.weight.astype(np.int8),
            "drive": drive,
            "potential": np.zeros(q.neurons, np.int16),
            "input": start,
            "countdown": np.zeros(q.neurons, np.int16),
            "flag": np.zeros(q.neurons, np.uint8),
            "fired": np.zeros(q.neurons + 1, np.uint32),
        }
        self._state = _LoopState(q.neurons, int(q.threshold[0]), int(q.refractory[0]))
        for name, array in self._arrays.items():
            setattr(self._state, name, array.ctypes.data)
        self.spikes = 0

    def run(self, bursts: int) -> None:
        """Run more bursts in one call."""
        self.spikes += int(self._run(ctypes.byref(self._state), bursts))

    def events(self) -> int:
        """Synaptic events since the start: the rows of the last burst's spikes are already counted."""
        return int(self._state.events)


@dataclass(frozen=True)
class Rate:
    """What one side did in one round."""

    bursts: int
    events: int
    seconds: float

    @property
    def events_per_s(self) -> float:
        """Synaptic events per second, everything else in a burst included."""
        return self.events / self.seconds


def measure_round(runner: Runner, bursts: int) -> Rate:
    """Run and time `bursts` bursts."""
    before, begin = runner.events(), time.perf_counter()
    runner.run(bursts)
    seconds = time.perf_counter() - begin
    return Rate(bursts, runner.events() - before, seconds)


def bursts_per_round(runner: Runner, round_s: float = ROUND_S) -> int:
    """How many bursts take about `round_s`."""
    bursts = 1
    while True:
        seconds = measure_round(runner, bursts).seconds
        if seconds > round_s / 8 or bursts > 1 << 20:
            return max(1, round(bursts * round_s / max(seconds, 1e-9)))
        bursts *= 4


def race(ours: Runner, theirs: Runner, *, rounds: int = ROUNDS) -> tuple[float, list[Rate], list[Rate]]:
    """Alternate the two sides -> (median over the rounds of ours / theirs in events per second, rates of both)."""
    counts = bursts_per_round(ours), bursts_per_round(theirs)
    pairs = [(measure_round(ours, counts[0]), measure_round(theirs, counts[1])) for _ in range(rounds)]
    ratio = statistics.median(a.events_per_s / b.events_per_s for a, b in pairs)
    return ratio, [a for a, _ in pairs], [b for _, b in pairs]


def check_loop(q: QuantizedConnectome, folder: Path) -> None:
    """The plain loop runs the engine's network. Raises: EspikeError where spike counts differ under equal rounding."""
    stimulus = networks.start_stimulus(q)
    loop = LoopRunner(q, stimulus, folder, exact=True)
    engine = Host(ImageView(pack(q).data))
    counts = engine.run(CHECK_BURSTS, stimulus).counts()
    for burst, expected in enumerate(counts, 1):
        before = loop.spikes
        loop.run(1)
        spikes = loop.spikes - before
        if spikes != expected:
            raise EspikeError(f"burst {burst} has {spikes} spikes, expected {expected}", where="bench loop")


def against_loop(name: str, folder: Path) -> tuple[float, list[Rate]] | None:
    """(ours / plain C loop, our rates) on one of networks.PEERS; None where there is no C compiler."""
    if shutil.which("cc") is None:
        return None
    q = networks.peer_network(name)
    check_loop(q, folder)
    stimulus = networks.start_stimulus(q)
    ours, loop = EngineRunner(q, stimulus), LoopRunner(q, stimulus, folder)
    for runner in (ours, loop):
        runner.run(WARM_UP_BURSTS)
    ratio, rates, _ = race(ours, loop)
    return ratio, rates


def int8_over_fp32(name: str) -> float:
    """Events per second of int8 over those of fp32 on one of networks.PEERS."""
    sides = [networks.peer_network(name, precision) for precision in ("int8", "fp32")]
    int8, fp32 = (EngineRunner(q, networks.start_stimulus(q)) for q in sides)
    for runner in (int8, fp32):
        runner.run(WARM_UP_BURSTS)
    return race(int8, fp32)[0]


def host_over_reference(name: str) -> float:
    """Events per second of the host engine over those of the numpy reference on one of networks.PEERS."""
    q = networks.peer_network(name)
    stimulus = networks.start_stimulus(q)
    host, reference = EngineRunner(q, stimulus), ReferenceRunner(q, stimulus)
    for runner in (host, reference):
        runner.run(WARM_UP_BURSTS)
    return race(host, reference, rounds=5)[0]


def us_per_burst(rates: list[Rate]) -> float:
    """Median microseconds of one burst."""
    return statistics.median(1e6 * rate.seconds / rate.bursts for rate in rates)


def events_per_s(rates: list[Rate]) -> float:
    """Median events per second."""
    return statistics.median(rate.events_per_s for rate in rates)
