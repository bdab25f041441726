"""image -> does it fit a board: flash and RAM to the byte, before anything is flashed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from espike_sim.errors import EspikeError
from espike_sim.host import ImageView

from .boards import Board
from .image import Packed

_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([KMG]?)(i?B)?", re.IGNORECASE)


@dataclass(frozen=True)
class Fit:
    """One place a network may go: what it has, and what is missing there (0 = fits)."""

    name: str
    ram_bytes: int | None
    flash_bytes: int | None
    ram_short: int
    flash_short: int

    @property
    def fits(self) -> bool:
        """Does the network run there?"""
        return not self.ram_short and not self.flash_short


@dataclass(frozen=True)
class Plan:
    """What a network needs, and where it fits. Bytes are what the firmware itself reports."""

    precision: str
    neurons: int
    synapses: int
    flash_bytes: int
    ram_bytes: int
    sections: dict[str, int]
    fits: tuple[Fit, ...]

    def as_json(self) -> dict[str, Any]:
        """The plan as JSON values."""
        return vars(self) | {"fits": [vars(fit) | {"fits": fit.fits} for fit in self.fits]}


def parse_size(text: str) -> int:
    """`320K`, `4M`, `1.5MiB` or plain bytes -> bytes (K = 1024). Raises: EspikeError where it is no size."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise EspikeError(f"{text!r} is no size", do="write bytes, or 320K, 4M")
    number, unit, _ = match.groups()
    return int(float(number) * 1024 ** " KMG".index(unit.upper() or " "))


def plan(
    packed: Packed, view: ImageView, boards: Sequence[Board], ram: int | None = None, flash: int | None = None
) -> Plan:
    """Hold a network against boards, and against `ram` and `flash` bytes where given."""
    flash_bytes, ram_bytes = len(packed.data), view.ram_bytes

    def fit(name: str, ram_most: int | None, flash_most: int | None) -> Fit:
        ram_short = max(0, ram_bytes - ram_most) if ram_most is not None else 0
        flash_short = max(0, flash_bytes - flash_most) if flash_most is not None else 0
        return Fit(name, ram_most, flash_most, ram_short, flash_short)

    fits = [fit(board.name, board.ram_bytes, board.flash_bytes) for board in boards]
    if ram is not None or flash is not None:
        fits.append(fit("--ram/--flash", ram, flash))
    return Plan(view.precision, view.neurons, view.synapses, flash_bytes, ram_bytes, packed.sizes, tuple(fits))
