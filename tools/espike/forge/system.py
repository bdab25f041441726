"""this machine -> checks: can a run be made here, and does the C core do what it must?"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path

from espike_sim.compare import first_difference
from espike_sim.errors import EspikeError
from espike_sim.host import Host, ImageView
from espike_sim.random_networks import random_network, random_stimulus
from espike_sim.reference import Reference

from .. import boards, image, ports
from .registry import Registry

BURSTS, SEEDS = 60, 3
"""Of the core's self-test: bursts of each network, networks of each precision."""
FREE_LEAST = 100 << 20
"""Bytes that a home should have left."""


@dataclass(frozen=True)
class Check:
    """One check of this machine."""

    name: str
    passed: bool
    detail: str


def compiler(_: Path) -> str:
    """A C compiler for the native board."""
    found = shutil.which(os.environ.get("CC", "cc"))
    if found is None:
        raise EspikeError("there is no C compiler", do="install gcc or clang")
    return found


def packages(_: Path) -> str:
    """What the extra `forge` brings."""
    lacking = [name for name in ("msgspec", "psutil") if util.find_spec(name) is None]
    if lacking:
        raise EspikeError(f"{', '.join(lacking)} missing", do="pip install 'espike[forge]'")
    return ", ".join(f"{name} {metadata.version(name)}" for name in ("msgspec", "psutil", "numpy"))


def core(_: Path) -> str:
    """The C core against the numpy reference, on random networks of every precision, every potential."""
    for precision in ("int8", "fp16", "fp32"):
        for seed in range(SEEDS):
            q = random_network(seed, precision)
            stimulus = random_stimulus(q, seed, BURSTS)
            with closing(Reference(q)) as a, closing(Host(ImageView(image.pack(q).data))) as b:
                difference = first_difference(a, b, BURSTS, stimulus)
            if difference is not None:
                raise EspikeError(f"core and reference differ, {precision}, network {seed}: {difference}")
    return f"{3 * SEEDS} networks of 3 precisions, {BURSTS} bursts each, as the reference"


def board_files(_: Path) -> str:
    """The boards that run without hardware."""
    known = boards.boards()
    ready = [name for name, board in known.items() if board.state == "ready"]
    if "native" not in ready:
        raise EspikeError("board native is not ready", do="espike boards says what it needs")
    return f"{len(ready)} of {len(known)} ready: {', '.join(ready)}"


def serial_ports(_: Path) -> str:
    """The serial ports of USB devices may be read and written."""
    found = [port.name for port in ports.listed()]
    locked = [name for name in found if not os.access(name, os.R_OK | os.W_OK)]
    if locked:
        raise EspikeError(f"{', '.join(locked)} may not be opened", do="join the group that owns it, such as dialout")
    return ", ".join(found) or "none here"


def home(folder: Path) -> str:
    """The forge's folder can be written, and its registry opened."""
    with Registry.open(folder) as registry:
        count = len(registry.runs())
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise EspikeError(f"cannot be written ({error.strerror})", where=str(folder)) from None
    free = shutil.disk_usage(folder).free
    if free < FREE_LEAST:
        raise EspikeError(f"has {free:,} bytes left", where=str(folder), do="espike forge clean")
    return f"{folder}: {count} runs, {free / 2**30:.1f} GiB free"


CHECKS: dict[str, Callable[[Path], str]] = {
    "compiler": compiler, "packages": packages, "core": core, "boards": board_files, "ports": serial_ports,
    "home": home,
}  # fmt: skip


def check(names: tuple[str, ...], folder: Path) -> list[Check]:
    """Run checks, or all; each that fails says why."""
    made = []
    for name in names or tuple(CHECKS):
        try:
            made.append(Check(name, True, CHECKS[name](folder)))
        except EspikeError as error:
            made.append(Check(name, False, str(error)))
    return made
