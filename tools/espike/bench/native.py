"""network -> instructions, time and memory of the core in a process of its own (`native.c`)."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from espike_sim._build import FLAGS as MODULE_FLAGS
from espike_sim.errors import EspikeError
from espike_sim.quantized import QuantizedConnectome

from .. import toolchain
from ..image import pack
from . import networks

HERE = Path(__file__).resolve().parent
FLAGS = [*MODULE_FLAGS, *toolchain.WARNINGS, f"-I{toolchain.CORE / 'include'}"]
COLLECTED = re.compile(r"Collected : (\d+)")


@dataclass(frozen=True)
class NativeRun:
    """What a run of the process told."""

    events: int
    seconds: float
    resident_bytes: int
    """Most memory resident, the image included; 0 where the system does not tell."""
    instructions: int | None
    """Under callgrind only."""


def available(*, callgrind: bool) -> bool:
    """Are a C compiler, and valgrind where asked for, installed?"""
    return all(shutil.which(program) for program in ("cc", *(("valgrind",) if callgrind else ())))


def run(q: QuantizedConnectome, folder: Path, warm_up: int, bursts: int, *, callgrind: bool = False) -> NativeRun:
    """Run `bursts` bursts after `warm_up`, with the start potentials of the peer networks."""
    program, image, values = folder / "native", folder / "image.spk", folder / "values.bin"
    if not program.exists():
        sources = [*toolchain.core_sources(), HERE / "native.c"]
        toolchain.run(["cc", *FLAGS, *sources, "-o", program], where="bench native")
    image.write_bytes(pack(q).data)
    values.write_bytes(networks.start_stimulus(q).value.astype("<i4").tobytes())
    told = folder / "callgrind.log"
    valgrind = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", f"--log-file={told}"]
    valgrind += ["--collect-atstart=no", "--toggle-collect=measured_bursts"]
    command: list[str | Path] = [*(valgrind if callgrind else []), program, image, values, str(warm_up), str(bursts)]
    events, seconds, resident_kb = toolchain.run(command, where="bench native").split()
    return NativeRun(
        events=int(events),
        seconds=float(seconds),
        resident_bytes=int(resident_kb) * 1024,
        instructions=_collected(told) if callgrind else None,
    )


def _collected(log: Path) -> int:
    found = COLLECTED.search(log.read_text())
    if found is None:
        raise EspikeError("callgrind told no count", where="bench native")
    return int(found[1])


def instructions_per_event(name: str, folder: Path) -> float | None:
    """Host instructions per synaptic event over whole bursts of one of networks.PEERS; None without valgrind."""
    if not available(callgrind=True):
        return None
    told = run(networks.peer_network(name), folder, warm_up=200, bursts=100, callgrind=True)
    return (told.instructions or 0) / told.events
