"""recipe -> genome -> connectome -> image -> verified board: the main job from end to end, with its files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from espike_sim import connectome as connectome_file
from espike_sim import ledger as ledgers
from espike_sim import npzfile, stimulus, stimulus_file, stimulus_spec
from espike_sim.compare import first_difference
from espike_sim.engine import CodedStimulus, Engine
from espike_sim.errors import EspikeError
from espike_sim.host import Host, ImageView
from espike_sim.quantized import QuantizedConnectome
from espike_sim.reference import Reference
from espike_sim.state import potential_unit

from . import engines, network, plot
from . import genome as genomes
from .boards import boards
from .image import pack
from .quantize import quantize

RECIPE, SEED = "reservoir", 7
PARAMETERS = {"inputs": 64, "neurons": 1000, "fan_out": 40}
STIMULUS = "poisson:input:rate=0.1:amount=1:seed=7"
RASTER_BURSTS = 400

Say = Callable[[str], None]


@dataclass(frozen=True)
class Result:
    """What a demo run found."""

    folder: Path
    precision: str
    neurons: int
    synapses: int
    image_bytes: int
    ram_bytes: int
    bursts: int
    spikes: int
    verdicts: dict[str, str]
    """Engine -> `equal`, where it parts from the reference, or why it did not run."""
    raster: Path

    @property
    def pictures(self) -> list[Path]:
        """What to look at."""
        return [self.raster]

    @property
    def equal(self) -> bool:
        """Did every engine that ran equal the reference?"""
        return all(verdict == "equal" or verdict.startswith("skipped") for verdict in self.verdicts.values())

    def rows(self) -> list[tuple[str, str]]:
        """The table for people."""
        head = [
            (
                "network",
                f"{RECIPE} (seed {SEED}), {self.neurons:,} neurons, {self.synapses:,} synapses, {self.precision}",
            ),
            ("image", f"{self.image_bytes:,} bytes of flash"),
            ("RAM", f"{self.ram_bytes:,} bytes, {self.ram_bytes / self.neurons:.2f} per neuron"),
            ("bursts", f"{self.bursts:,}, {self.spikes:,} spikes"),
        ]
        return [*head, *((f"reference = {name}", verdict) for name, verdict in self.verdicts.items())]

    def as_json(self) -> dict[str, Any]:
        """The result as JSON values."""
        return vars(self) | {"equal": self.equal}


def demo(folder: Path, bursts: int, precision: str, say: Say) -> Result:
    """Run the whole way into `folder`, saying each step. Raises: EspikeError where a step fails."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EspikeError(f"cannot make the folder ({error.strerror})", where=str(folder)) from None
    genome_path, connectome_path = folder / "demo.json", folder / "demo.npz"
    npzfile.write_atomic(genome_path, genomes.encode(genomes.new(RECIPE, SEED, **PARAMETERS)))
    say(f"genome      {genome_path}")
    grown = genomes.develop(genomes.read(genome_path))
    connectome_file.save(grown, connectome_path)
    say(f"connectome  {connectome_path}: {grown.neurons:,} neurons, {grown.synapses:,} synapses")
    quantized = quantize(grown, precision)
    packed, view = network.packed_view(quantized)
    network.write_packed(packed, quantized, folder / "demo.spk")
    say(f"image       {folder / 'demo.spk'}: {len(packed.data):,} bytes, network {quantized.hash[:12]}")
    given = stimulus_spec.parse([STIMULUS], quantized, bursts)
    stimulus_file.save(given, folder / "demo.stimulus.npz")
    coded = stimulus.code(given, quantized)
    verdicts = {"host": _verdict(quantized, Host(view), bursts, coded)}
    say(f"host        {verdicts['host']}")
    with engines.ready_boards() as makers:
        for name, board in boards().items():
            if board.plan_only or (name not in makers and "flash_map" in board.data):
                continue  # chips run on a wire, or where somebody has their emulator
            if name not in makers:
                verdicts[name] = f"skipped: {', '.join(board.missing)} not found (make toolchain)"
            else:
                verdicts[name] = _verdict(quantized, makers[name](packed), bursts, coded)
            say(f"{name:11} {verdicts[name]}")
    ledger = Host(view).run(bursts, coded)
    ledgers.save(ledger, folder / "demo.ledger.npz")
    raster = folder / "raster.png"
    plot.raster(Host(view).run(min(bursts, RASTER_BURSTS), coded), quantized.areas, raster)
    return Result(
        folder, precision, view.neurons, view.synapses, len(packed.data), view.ram_bytes, bursts, ledger.spikes,
        verdicts, raster,
    )  # fmt: skip


def _verdict(quantized: QuantizedConnectome, engine: Engine, bursts: int, coded: CodedStimulus) -> str:
    difference = first_difference(Reference(quantized), engine, bursts, coded)
    return "equal" if difference is None else f"differs: {difference}"


def traces(
    quantized: QuantizedConnectome, neurons: Sequence[int], bursts: int, coded: CodedStimulus | None
) -> dict[str, NDArray[np.float64]]:
    """Potentials of some neurons after each burst, by the host engine: place -> float64 (bursts,), potential units."""
    engine = Host(ImageView(pack(quantized).data))
    engine.reset(track_potentials=False)
    ids = np.array(neurons)
    unit = potential_unit(quantized)[ids]
    found = np.zeros((bursts, len(ids)))
    for burst in range(bursts):
        engine.run(1, coded.between(burst + 1, burst + 1) if coded is not None else None)
        found[burst] = engine.potentials()[ids] * unit
    return {network.describe(quantized.areas, neuron): found[:, i] for i, neuron in enumerate(neurons)}
