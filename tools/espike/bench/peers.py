"""networks + other simulators -> how many times faster the host engine is, in rounds in turn on this machine.

Each simulator runs `peer_worker.py` under an interpreter that has it; none is needed. One that is missing, or whose
spikes are not those of the network, has a reason in place of a figure. `docs/bench.md` says how to read the figures.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from espike_sim.host import Host, ImageView
from espike_sim.quantized import QuantizedConnectome

from ..image import pack
from . import networks, speed

PYTHON_VARIABLE = "ESPIKE_PEERS"
"""Names the interpreter of the peers where no option does."""
NAMES = {"genn": "GeNN", "brian2": "Brian2", "nest": "NEST", "numpy": "numpy/scipy"}
FLOORS: dict[str, dict[str, float]] = {
    "1k_50k": {"genn": 2, "brian2": 3, "nest": 20, "numpy": 15},
    "10k_1m": {"genn": 2, "brian2": 4, "nest": 30, "numpy": 8},
    "22590_500k": {"genn": 2, "brian2": 3, "nest": 50, "numpy": 7},
    "22590_500k_busy": {"genn": 2, "brian2": 4, "nest": 50, "numpy": 7},
    "100k_10m": {"genn": 1.3, "brian2": 2, "nest": 30, "numpy": 3},
}
STEPS, STEPS_LARGE, LARGE = 1000, 200, 5_000_000
"""Steps of a round; of a network of more than LARGE synapses."""
ROUNDS, EXACT_STEPS = 5, 100
TOLERANCE = {"22590_500k": 0.07}
"""Share by which spike counts in floats may differ: rounding changes who fires. Sparse rows feel it most."""
TOLERANCE_ELSE = 0.03
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}

Tell = Callable[[str], None]
"""Called with what is done next."""


@dataclass
class Race:
    """What the peers did on one network."""

    ratios: dict[str, float] = field(default_factory=dict)
    """Events per second, ours over theirs, by peer."""
    reasons: dict[str, str] = field(default_factory=dict)
    """Why a peer has no ratio."""
    formulations: dict[str, str] = field(default_factory=dict)
    """How a peer ran the network."""


class Worker:
    """A peer in its process, ready to run rounds."""

    def __init__(self, python: str, peer: str, network: Path, folder: Path, steps: int) -> None:
        folder.mkdir()
        program = Path(__file__).with_name("peer_worker.py")
        command = [python, "-I", str(program), peer, str(network), str(folder), str(steps)]
        with (folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, cwd=folder,
                env={**os.environ, **ONE_THREAD},
            )  # fmt: skip
        self._log = folder / "log"
        told = self._read()
        self.formulation = str(told.get("ready", ""))
        self.reason = str(told.get("missing", ""))

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if line:
            told: dict[str, Any] = json.loads(line)
            return told
        lines = self._log.read_text(errors="replace").strip().splitlines()
        return {"missing": f"ended: {lines[-1][:200] if lines else 'without a word'}"}

    def run(self, steps: int) -> tuple[float, int] | None:
        """One round -> seconds, spikes; None where the process ended, which `reason` tells."""
        assert self._process.stdin is not None
        with suppress(OSError):  # told by what is not read
            self._process.stdin.write(f"{steps}\n")
            self._process.stdin.flush()
        told = self._read()
        if "seconds" not in told:
            self.reason = str(told.get("missing"))
            return None
        return float(told["seconds"]), int(told["spikes"])

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()


def save(q: QuantizedConnectome, path: Path) -> None:
    """Write a network as the arrays that `peer_worker.py` takes."""
    drive, start = np.zeros(q.neurons, np.int32), np.zeros(q.neurons, np.int32)
    stimulus = networks.start_stimulus(q)
    drive[q.power_neuron] = q.power_value
    start[stimulus.neuron] = stimulus.value
    with path.open("wb") as file:
        np.savez(
            file, neurons=q.neurons, threshold=int(q.threshold[0]), refractory=int(q.refractory[0]), drive=drive,
            start=start, source=q.source, target=q.target, weight=q.weight,
            row_start=np.searchsorted(q.source, np.arange(q.neurons + 1)),
        )  # fmt: skip


def counts(q: QuantizedConnectome, steps: int) -> int:
    """Spikes of the host engine in the first steps."""
    host = Host(ImageView(pack(q).data))
    host.reset(track_potentials=False)
    return int(host.run(steps, networks.start_stimulus(q)).counts().sum())


def _disagreement(spikes: int, *, expected: int, share: float) -> str:
    if abs(spikes - expected) <= share * expected:
        return ""
    return f"{spikes:,} spikes where the engine has {expected:,}: not the same network"


def against_peers(
    name: str, folder: Path, python: str | None = None, *, peers: tuple[str, ...] = tuple(NAMES), rounds: int = ROUNDS,
    steps: int = 0, tell: Tell = lambda _: None,
) -> Race:  # fmt: skip
    """Race the host engine against every peer on one of networks.PEERS.

    python: the interpreter of the peers; None: what ESPIKE_PEERS names, else this one. steps: of a round, 0 = STEPS.
    """
    chosen = python or os.environ.get(PYTHON_VARIABLE) or sys.executable
    q, race = networks.peer_network(name), Race()
    steps = steps or (STEPS_LARGE if q.synapses > LARGE else STEPS)
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=f"peers-{name}-", dir=folder)))
        save(q, scratch / "network.npz")
        expected, expected_exact = counts(q, steps), counts(q, EXACT_STEPS)
        workers: dict[str, Worker] = {}
        for peer in peers:
            tell(f"{name}: preparing {peer}")
            reason = ""
            if peer == "numpy":
                same = partial(_disagreement, expected=expected_exact, share=0)
                reason, _ = _first_round(stack, chosen, "exact", scratch, EXACT_STEPS, same)
            if not reason:
                same = partial(_disagreement, expected=expected, share=TOLERANCE.get(name, TOLERANCE_ELSE))
                reason, worker = _first_round(stack, chosen, peer, scratch, steps, same)
            if reason or worker is None:
                race.reasons[peer] = reason
            else:
                workers[peer], race.formulations[peer] = worker, worker.formulation
        if workers:
            _rounds(q, workers, race, rounds, steps, lambda text: tell(f"{name}: {text}"))
    return race


def _first_round(
    stack: ExitStack, python: str, peer: str, scratch: Path, steps: int, told_by: Callable[[int], str]
) -> tuple[str, Worker | None]:
    """A peer that has run its first steps with the right spikes (`told_by` says what is wrong), or why none has."""
    try:
        worker = Worker(python, peer, scratch / "network.npz", scratch / peer, steps)
    except OSError as error:
        return f"{python}: {error.strerror}", None
    stack.callback(worker.close)
    done = None if worker.reason else worker.run(steps)
    return (worker.reason, None) if done is None else (told_by(done[1]), worker)


def _rounds(
    q: QuantizedConnectome, workers: dict[str, Worker], race: Race, rounds: int, steps: int, tell: Tell
) -> None:
    """Rounds in turn: the engine, then each peer, whose events are its spikes times the mean fan-out."""
    ours = speed.EngineRunner(q, networks.start_stimulus(q))
    ours.run(speed.WARM_UP_BURSTS)
    bursts, fan_out = speed.bursts_per_round(ours), q.synapses / q.neurons
    found: dict[str, list[float]] = {peer: [] for peer in workers}
    for number in range(rounds):
        for peer, worker in workers.items():
            tell(f"{peer}, round {number + 1} of {rounds}")
            rate = speed.measure_round(ours, bursts)
            done = worker.run(steps)
            if done is None:
                race.reasons[peer] = worker.reason
            elif done[1]:
                found[peer].append(rate.events_per_s / (done[1] * fan_out / done[0]))
    for peer, ratios in found.items():
        if peer not in race.reasons and ratios:
            race.ratios[peer] = statistics.median(ratios)
