"""images + jobs -> exact instruction counts of rv32imc and lx106, by `instructions.c` on QEMU with -icount.

Every figure is a difference of two bursts that differ in exactly what it is about:

- per event: a burst that reads the rows of neurons that fired, against one in which nobody had fired but every
  accumulator holds the same sums, put there by stimulus before the count begins. So it is the whole propagation:
  finding the fired neurons, their rows, the loops, spread over the synapses.
- per neuron: networks of N and 2 N neurons without synapses, over N; a potential and an input at every neuron, no one
  fires ("updated"), or at the first alone, so that the area is looked through and the others are at rest ("quiet").
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from espike_sim.errors import EspikeError
from espike_sim.quantized import QuantizedConnectome

from .. import toolchain
from ..image import pack
from . import networks

HERE = Path(__file__).resolve().parent
FAST = ("-O2", "-mno-save-restore", "-fjump-tables", "-fmove-loop-invariants", "-fno-lto")
"""Behind the flags of the rv32 board, which ask for few bytes."""
TIMEOUT_S = 60

NEURONS, FAN_OUT, SOURCES = 1000, 64, 20
"""The network of the event keys: 2 % of its neurons have fired (dense rows: 20 of 64)."""

Entries = list[tuple[int, int]]
"""(neuron, codes), neurons ascending"""
Run = list[Entries]
"""The stimulus of each burst."""


@dataclass(frozen=True)
class Burst:
    """What one burst cost and did."""

    instructions: int
    events: int
    fired: int


@dataclass(frozen=True)
class Target:
    """An emulated board on which programs count their instructions."""

    name: str
    flags: tuple[str, ...]
    """Behind those of the board file."""
    machine: tuple[str, ...]
    job_address: int
    image_address: int

    @property
    def board(self) -> dict[str, Any]:
        """Its board file."""
        return toolchain.board_file(self.name)

    @property
    def available(self) -> bool:
        """Are the compiler and the emulator installed?"""
        return not toolchain.missing(self.board)

    def compile(self, sources: Sequence[Path], output: Path, flags: Sequence[str] | None = None) -> Path:
        """A counting program, with `flags` (default: the target's) behind those of the board -> `output`."""
        chosen = self.flags if flags is None else flags
        places = [f"-DJOB_ADDRESS={self.job_address:#x}u", f"-DIMAGE_ADDRESS={self.image_address:#x}u"]
        found = [f"-I{HERE}", f"-I{HERE / self.board['kind']}", f"-I{toolchain.FIRMWARE}"]
        return toolchain.compile_program(self.board, sources, output, flags=[*chosen, *places, *found])

    def run(self, program: Path, loaded: Sequence[tuple[Path, int]] = ()) -> str:
        """Run a program, files put where it expects them, until it ends -> what it wrote. Raises: as `emulate`."""
        devices = [
            part
            for path, address in loaded
            for part in ("-device", f"loader,file={path},addr={address:#x},force-raw=on")
        ]
        quiet = ("-display", "none", "-monitor", "none", "-serial", "stdio")
        return emulate([self.board["emulator"], *self.machine, *quiet, "-kernel", str(program), *devices])


RV32 = Target(
    "emu-rv32", FAST, ("-M", "virt", "-m", "64M", "-bios", "none", "-icount", "shift=0"), 0x80800000, 0x81000000
)
LX106 = Target(
    "emu-lx106", ("-O2",), ("-M", "lx60-nommu", "-cpu", "lx106", "-semihosting", "-icount", "shift=7"),
    0x60800000, 0x61000000,
)  # fmt: skip


COST_TARGETS = {"rv32imc": RV32, "lx106": LX106}
"""By the name of the cost table that is measured on it."""


@dataclass(frozen=True)
class Program:
    """A counting program and the board it is for."""

    target: Target
    path: Path


def build(folder: Path, flags: Sequence[str] | None = None, target: Target = RV32) -> Program:
    """The counting program, compiled with `flags` (default: the target's) behind those of its board."""
    path = folder / f"instructions-{target.name}{''.join(target.flags if flags is None else flags)}.elf"
    sources = [*toolchain.core_sources(), HERE / "instructions.c"]
    return Program(target, target.compile(sources, path, flags))


def count(program: Program, q: QuantizedConnectome, runs: Sequence[Run]) -> list[list[Burst]]:
    """Run the stimuli of `runs`, each from a reset, on the emulator -> the bursts of each run."""
    return count_image(program, pack(q).data, runs)


def count_image(program: Program, data: bytes, runs: Sequence[Run]) -> list[list[Burst]]:
    """The same of an image; an fp32 network's entries hold the bits of their values."""
    words = [word for run in runs for word in (len(run), *(w for entries in run for w in _burst_words(entries)))]
    with tempfile.TemporaryDirectory(prefix="espike-bench-") as folder:
        image, job = Path(folder, "image.spk"), Path(folder, "job.bin")
        image.write_bytes(data)
        job.write_bytes(np.array([*words, 0], np.int64).astype("<u4").tobytes())
        loaded = [(job, program.target.job_address), (image, program.target.image_address)]
        lines = iter(program.target.run(program.path, loaded).splitlines())
    return [[Burst(*(int(word, 16) for word in next(lines).split())) for _ in run] for run in runs]


def _burst_words(entries: Entries) -> list[int]:
    return [len(entries), *(word for entry in entries for word in entry)]


def emulate(command: Sequence[str]) -> str:
    """Run the emulator until its program ends -> what it wrote. Raises: EspikeError where it fails or hangs."""
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise EspikeError(f"the emulator did not end within {TIMEOUT_S} s", where="bench instructions") from None
    if done.returncode != 0:
        told = done.stderr.strip().splitlines()[:1] or ["no message"]
        raise EspikeError(f"the emulator ended with status {done.returncode} ({told[0]})", where="bench instructions")
    return done.stdout


def rows_network(kind: str = "d8w8", *, candidates_only: bool = False) -> QuantizedConnectome:
    """1,000 plain neurons (dense: 64) with rows of 64 of a codec. No sum of a burst reaches the threshold."""
    neurons = networks.Neurons(threshold=2000, leak=1 / 16, stimulus_limit=2047)
    return networks.rows_network(kind, NEURONS, FAN_OUT, neurons, candidates_only=candidates_only)


def per_event(program: Program, q: QuantizedConnectome) -> float:
    """Instructions of propagation per synaptic event, SOURCES neurons having fired."""
    step = q.neurons // SOURCES
    sources = np.arange(SOURCES) * step + min(7, step - 1)
    read = np.isin(q.source, sources)
    sums = np.bincount(q.target[read], weights=q.weight[read], minlength=q.neurons).astype(int)
    reached = np.unique(q.target[read])
    fire: Entries = [(int(neuron), 2047) for neuron in sources]
    inputs: Entries = [(int(neuron), int(sums[neuron])) for neuron in reached]
    with_rows, without = count(program, q, [[fire, []], [[], inputs]])
    if (with_rows[0].fired, with_rows[1].fired, without[1].fired) != (SOURCES, 0, 0):
        raise EspikeError("the neurons that were to fire did not, or others did", where="bench instructions")
    return (with_rows[1].instructions - without[1].instructions) / with_rows[1].events


def plain_network(count_: int, precision: str = "int8") -> QuantizedConnectome:
    """Neurons that leak, without synapses."""
    return networks.network(count_, networks.NO_SYNAPSES, networks.Neurons(leak=1 / 16), precision=precision)


def per_neuron(program: Program, *, quiet: bool = False, precision: str = "int8") -> float:
    """Instructions of a burst per neuron; quiet: at rest without input in an area that input reaches, else charged and
    with input."""

    def burst(neurons: int) -> int:
        amounts = 100 + np.arange(1 if quiet else neurons) % 50
        values = amounts if precision == "int8" else amounts.astype(np.float32).view(np.uint32)
        entries: Entries = list(enumerate(values.tolist()))
        return count(program, plain_network(neurons, precision), [[entries, entries]])[0][1].instructions

    return (burst(2048) - burst(1024)) / 1024


def float_ratio(program: Program, folder: Path) -> float:
    """Instructions per neuron of the fp32 kernel over those of `float_loop.c`, which is written by hand."""
    written = folder / "float_loop.elf"
    program.target.compile([HERE / "float_loop.c"], written)
    told = program.target.run(written)
    short, long = (int(line, 16) for line in told.split())
    return per_neuron(program, precision="fp32") / ((long - short) / 1024)


def burst_empty(program: Program) -> int:
    """Instructions of a burst of 1,000 neurons at rest."""
    return count(program, plain_network(1000), [[[], []]])[0][1].instructions
