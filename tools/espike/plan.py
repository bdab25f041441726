"""network -> does it fit a board, how fast does it run there, what would fit: before anything is flashed."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from espike_sim.errors import EspikeError
from espike_sim.host import ImageView
from espike_sim.quantized import QuantizedConnectome

from . import costs, loads, work
from .boards import Board
from .capacity import Change, Scaler, Size, changes
from .image import Packed

_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([KMG]?)(i?B)?", re.IGNORECASE)
ACTIVITY = 0.01
"""Share of the neurons that fire in a burst, where nobody says."""


@dataclass(frozen=True)
class Speed:
    """What a burst takes at an activity, and where every neuron fires, every row is read and every neuron updated."""

    instructions: int
    instructions_worst: int
    us: float | None
    """Estimated microseconds, None where nothing is known of the board's pace."""
    us_worst: float | None

    @property
    def bursts_per_s(self) -> float | None:
        """Mean bursts per second; nothing but the network is counted."""
        return None if self.us is None else 1e6 / self.us


@dataclass(frozen=True)
class Fit:
    """One place a network may go: what it has, what the network needs, and what is missing there (0 = fits)."""

    name: str
    place: str
    """Where the image lies while it runs: flash (mapped), or ram (copied at boot)."""
    ram_bytes: int | None
    flash_bytes: int | None
    ram_needed: int
    flash_needed: int
    ram_short: int
    flash_short: int
    plan_only: bool = False
    speed: Speed | None = None
    largest: Size | None = None
    """The largest network of this shape; None where the image alone is known, or nothing fits."""
    change: Change | None = None
    """The least that makes it fit, None where it does, or nothing does."""
    assumes: tuple[str, ...] = ()

    @property
    def fits(self) -> bool:
        """Does the network run there?"""
        return not self.ram_short and not self.flash_short

    def as_json(self) -> dict[str, Any]:
        """The fit as JSON values."""
        rate = self.speed.bursts_per_s if self.speed is not None else None
        return asdict(self) | {"fits": self.fits, "bursts_per_s": rate}


@dataclass(frozen=True)
class Plan:
    """What a network needs, and where it fits. Bytes are what the firmware itself reports."""

    precision: str
    neurons: int
    synapses: int
    flash_bytes: int
    ram_bytes: int
    sections: dict[str, int]
    activity: float
    fits: tuple[Fit, ...]

    def as_json(self) -> dict[str, Any]:
        """The plan as JSON values."""
        return vars(self) | {"fits": [fit.as_json() for fit in self.fits]}


def parse_size(text: str) -> int:
    """`320K`, `4M`, `1.5MiB` or plain bytes -> bytes (K = 1024). Raises: EspikeError where it is no size."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise EspikeError(f"{text!r} is no size", do="write bytes, or 320K, 4M")
    number, unit, _ = match.groups()
    return int(float(number) * 1024 ** " KMG".index(unit.upper() or " "))


@dataclass(frozen=True)
class Source:
    """What an image was packed from, for what would fit instead."""

    quantized: QuantizedConnectome
    as_int8: Callable[[], QuantizedConnectome] | None = None
    """Quantizes again what an fp32 network was made of."""


def plan(
    packed: Packed,
    view: ImageView,
    boards: Sequence[Board],
    ram: int | None = None,
    flash: int | None = None,
    *,
    activity: float = ACTIVITY,
    source: Source | None = None,
) -> Plan:
    """Hold a network against boards, and against `ram` and `flash` bytes where given.

    activity: share of the neurons that fire per burst, 0..1. source: without it nothing is said of other networks.
    Raises: EspikeError where the activity is no share, or a board's cost table is damaged.
    """
    if not 0 <= activity <= 1:
        raise EspikeError(f"an activity of {activity:g} is no share", do="use 0 to 1")
    advice = _Advice(packed, view, source)
    shape = work.read(view)
    both = loads.expected(shape, activity), loads.worst(shape)
    does = tuple(work.counts(shape, load) for load in both)
    fits = [
        advice.fit(board.name, place, board.ram_bytes, board.slot_bytes, board, speed(board, *does))
        for board in boards
        for place in board.places
    ]
    if ram is not None or flash is not None:
        fits.append(advice.fit("--ram/--flash", "flash", ram, flash))
    sizes = packed.sizes
    return Plan(
        view.precision, view.neurons, view.synapses, len(packed.data), view.ram_bytes, sizes, activity, tuple(fits)
    )


def speed(board: Board, mean: work.Counts, worst: work.Counts) -> Speed | None:
    """A burst on a board, None where no cost table says what it takes there."""
    if "costs" not in board.data:
        return None
    table = costs.load(board.data["costs"])
    both = table.price(mean), table.price(worst)
    cycles = board.data.get("cycles_per_instruction")
    us = [None if cycles is None else count * cycles * 1e6 / board.data["clock_hz"] for count in both]
    return Speed(round(both[0]), round(both[1]), us[0], us[1])


class _Advice:
    """Fits of one network; what would fit instead is worked out once, when the first board asks."""

    def __init__(self, packed: Packed, view: ImageView, source: Source | None) -> None:
        self._ram, self._flash, self._source = view.ram_bytes, len(packed.data), source
        self._scaler = Scaler(source.quantized, packed, view) if source is not None and view.neurons else None
        self._known: list[Change] = []
        self._rest = changes(source.quantized, self._flash, source.as_int8) if source is not None else iter(())

    def fit(
        self, name: str, place: str, ram: int | None, flash: int | None, board: Board | None = None,
        taken: Speed | None = None,
    ) -> Fit:  # fmt: skip
        def short(ram_bytes: int, image_bytes: int) -> tuple[int, int]:
            needed = ram_bytes + (image_bytes if place == "ram" else 0)
            return (
                max(0, needed - ram) if ram is not None else 0,
                max(0, image_bytes - flash) if flash is not None else 0,
            )

        def has_room(ram_bytes: int, image_bytes: int) -> bool:
            return short(ram_bytes, image_bytes) == (0, 0)

        lacks = short(self._ram, self._flash)
        needed = self._ram + (self._flash if place == "ram" else 0)
        return Fit(
            name, place, ram, flash, needed, self._flash, *lacks, board is not None and board.plan_only, taken,
            self._scaler.largest(has_room) if self._scaler is not None else None,
            None if lacks == (0, 0) else self._change(has_room),
            tuple(board.data.get("assumes", ())) if board is not None else (),
        )  # fmt: skip

    def _change(self, has_room: Callable[[int, int], bool]) -> Change | None:
        for change in self._known:
            if has_room(change.ram_bytes, change.flash_bytes):
                return change
        for change in self._rest:
            self._known.append(change)
            if has_room(change.ram_bytes, change.flash_bytes):
                return change
        return None
