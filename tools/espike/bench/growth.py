"""genome of a million neurons -> image, by `grow` and `pack` in processes that tell their peak of memory."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from espike_sim.errors import EspikeError

SHAPE = (400, 300, 10)
VECTORS = tuple((x, y, 0) for x in range(-2, 3) for y in (-1, 1))
"""Every voxel meets ten others, fewer at the edges."""
PROGRAM = """
import atexit, sys
def tell():
    with open("/proc/self/status") as file:
        kept = [line for line in file if line.startswith("VmHWM:")]
    print("\\n", kept[0].split()[1] if kept else 0, sep="")
atexit.register(tell)
from espike.cli import main
sys.argv[0] = "espike"
main()
"""


@dataclass(frozen=True)
class Peaks:
    """Most memory resident, bytes; 0 where the system does not tell."""

    grow: int
    pack: int
    synapses: int


def genome(shape: tuple[int, int, int] = SHAPE, precision: str = "int8") -> dict[str, Any]:
    """A flat genome of one large area whose voxels meet their neighbours."""
    sizes = {f"_____10c-wide__-cx-___bb{axis}-i": size for axis, size in zip("xyz", shape, strict=True)}
    genes = {"nx-fire_t-f": 10.0, "nx-leak_c-f": 0.1, "nx-refrac-i": 2, "nx-mp_acc-b": True}
    blueprint: dict[str, Any] = sizes | {f"_____10c-wide__-{gene}": value for gene, value in genes.items()}
    blueprint["_____10c-wide__-cx-pstcr_-f"] = 2.0
    blueprint["_____10c-wide__-cx-dstmap-d"] = {"wide__": [["near", [1, 1, 1], 1, False]]}
    near = {"type": "vectors", "class": "custom", "parameters": {"vectors": [list(v) for v in VECTORS]}}
    return {
        "version": "2.0",
        "blueprint": blueprint,
        "neuron_morphologies": {"near": near},
        "physiology": {"quantization_precision": precision},
    }


def _run(*arguments: str | Path) -> tuple[dict[str, Any], int]:
    """A verb -> its JSON and its peak in bytes; its progress goes to stderr."""
    command = [sys.executable, "-c", PROGRAM, *map(str, arguments), "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise EspikeError(f"ended with {done.returncode}", where=f"bench: espike {arguments[0]}")
    told, kb = done.stdout.strip().rsplit("\n", 1)
    found: dict[str, Any] = json.loads(told)
    return found, int(kb) * 1024


def peaks(folder: Path, shape: tuple[int, int, int] = SHAPE, precision: str = "int8") -> Peaks:
    """Grow and pack a genome of `shape`. Raises: EspikeError where a verb fails."""
    source, connectome, image = folder / "wide.json", folder / "wide.npz", folder / "wide.spk"
    source.write_text(json.dumps(genome(shape, precision)))
    _, grown = _run("grow", source, "-o", connectome)
    told, packed = _run("pack", connectome, "-o", image)
    for path in (connectome, image, folder / "wide.quantized.npz"):
        path.unlink(missing_ok=True)
    return Peaks(grown, packed, int(told["synapses"]))


def peak_mb(folder: Path) -> float | None:
    """The higher peak of the two verbs at full size, MB; None where the system does not tell."""
    found = peaks(folder)
    return max(found.grow, found.pack) / 1e6 or None
