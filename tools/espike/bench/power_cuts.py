"""power cuts -> the share that a board survives: the store's own code on a flash that dies at every position.

A position is a word of a program or a half of an erase: what comes before the cut is there, the rest is not. After each
the board starts again and must run the image from before or the new one, whole; then it must take the new one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from espike_sim.core import ffi, lib
from espike_sim.errors import EspikeError
from espike_sim.host import ImageView

from .. import image
from ..transfer import image_crc
from . import networks

SECTOR_BYTES = 256
"""A journal sector holds four records, so every few updates it rolls over."""
SLOT_SECTORS = 12
FAMILY = 3
"""Images of one board: the one before, a new one, and one that fails its test."""


@dataclass
class Flash:
    """NOR flash of journal and two slots that loses power at one position and does nothing from then on."""

    data: bytearray = field(default_factory=lambda: bytearray(b"\xff" * SECTOR_BYTES * (2 + 2 * SLOT_SECTORS)))
    cut: int | None = None
    """Position at which power fails; None: never."""
    step: int = 4
    """Bytes of a program that are one position."""
    position: int = 0

    def __post_init__(self) -> None:
        void, u32 = "void *", "uint32_t"
        self._calls = (
            ffi.callback(f"void({void}, {u32}, {void}, {u32})", self._read),
            ffi.callback(f"int({void}, {u32})", self.erase),
            ffi.callback(f"int({void}, {u32}, const uint8_t *, {u32})", self.program),
        )
        self.c = ffi.new("spk_flash_t *", [ffi.NULL, SECTOR_BYTES, len(self.data) // SECTOR_BYTES, *self._calls])

    @property
    def is_dead(self) -> bool:
        """Has power failed?"""
        return self.cut is not None and self.position > self.cut

    def _read(self, _: Any, offset: int, out: Any, count: int) -> None:
        ffi.buffer(out, count)[:] = self.data[offset : offset + count]

    def _survived(self, parts: int) -> int:
        """Of an operation of so many positions, those before the cut."""
        before = self.position
        self.position += parts
        return parts if self.cut is None else max(0, min(parts, self.cut - before))

    def erase(self, _: Any, offset: int) -> int:
        """A sector to 0xFF, in two halves."""
        done = SECTOR_BYTES // 2 * self._survived(2)
        self.data[offset : offset + done] = b"\xff" * done
        return -1 if self.is_dead else 0

    def program(self, _: Any, offset: int, out: Any, count: int) -> int:
        """Clear bits, word by word."""
        done = min(count, self.step * self._survived(-(-count // self.step)))
        for i in range(done):
            self.data[offset + i] &= out[i]
        return -1 if self.is_dead or bytes(self.data[offset : offset + count]) != bytes(ffi.buffer(out, count)) else 0


class Machine:
    """A board between two starts, its store on a flash: what firmware does with the same calls."""

    def __init__(self, flash: Flash, bad: bytes) -> None:
        self._flash, self._bad = flash, bad
        self.store = ffi.new("spk_store_t *")
        self.running: bytes | None = None
        lib.spk_store_open(self.store, flash.c)
        self._start()

    def _start(self) -> None:
        self.running, is_trial = None, ffi.new("int *")
        while self.running is None:
            slot = lib.spk_store_choose(self.store, is_trial)
            if slot == lib.SPK_STORE_NO_SLOT:
                return
            self.running = self._opened(slot, bool(is_trial[0]))
            lib.spk_store_tell(self.store, self.running is not None)

    def _opened(self, slot: int, is_trial: bool) -> bytes | None:
        """The image of a slot, if it is whole, the one that the journal names, and passes its test."""
        at = lib.spk_store_slot_offset(self._flash.c, slot)
        data = bytes(self._flash.data[at : at + lib.spk_store_slot_bytes(self._flash.c)])
        try:
            whole = data[: ImageView(data).total_bytes]
        except EspikeError:
            return None
        passes = image_crc(whole) == self.store.image_crc[slot] and not (is_trial and whole == self._bad)
        return whole if passes else None

    def update(self, new: bytes) -> None:
        """Write an image to the other slot sector by sector, commit it, try it."""
        begin = lib.spk_store_slot_offset(self._flash.c, lib.spk_store_spare(self.store))
        for at in range(0, len(new), SECTOR_BYTES):
            piece = ffi.new("uint8_t[]", new[at : at + SECTOR_BYTES])
            self._flash.erase(None, begin + at)
            self._flash.program(None, begin + at, piece, len(piece))
            if self._flash.is_dead:
                return
        if lib.spk_store_commit(self.store, image_crc(new)) == lib.SPK_OK and not self._flash.is_dead:
            self._start()


@dataclass(frozen=True)
class Case:
    """A flash, and the image to bring to it; what runs before, and what may run after."""

    flash: bytes
    new: bytes
    allowed: tuple[bytes | None, ...]


def images() -> tuple[bytes, ...]:
    """FAMILY small images that differ in one weight."""
    made = []
    for weight in range(1, FAMILY + 1):
        q = networks.network(2, (np.array([0]), np.array([1]), np.array([weight])), networks.Neurons())
        made.append(image.pack(q).data)
    return tuple(made)


def cases() -> Iterator[Case]:
    """First flash, update, an image that fails its test; each with the journal at every fill."""
    old, new, bad = images()
    for updates in range(6):
        flash = Flash()
        machine = Machine(flash, bad)
        for i in range(updates):
            machine.update((old, new)[i % 2])
        before = machine.running
        for coming in (old if before == new else new, bad):
            yield Case(bytes(flash.data), coming, (before, before if coming == bad else coming))


def _revived(flash: Flash, case: Case, bad: bytes, *, cut: int | None = None, step: int = 4) -> tuple[Flash, bool]:
    """Power comes back, and fails again at `cut` while the image is brought -> the flash, was the start right?"""
    flash = Flash(bytearray(flash.data), cut, step)
    machine = Machine(flash, bad)
    right = flash.is_dead or machine.running in case.allowed
    if not flash.is_dead:
        machine.update(case.new)
    return flash, right


def _recovers(flash: Flash, case: Case, bad: bytes) -> bool:
    """The next start runs an allowed image; the one after that takes the new one."""
    again, right = _revived(flash, case, bad)
    machine = Machine(Flash(bytearray(again.data)), bad)
    return right and machine.running == case.allowed[-1]


def single_cuts(case: Case) -> Iterator[bool]:
    """Every position of one update, and with it of the start before: is it survived?"""
    bad = images()[-1]
    whole, _ = _revived(Flash(bytearray(case.flash)), case, bad)
    for cut in range(whole.position):
        flash, right = _revived(Flash(bytearray(case.flash)), case, bad, cut=cut)
        yield right and _recovers(flash, case, bad)


def double_cuts(case: Case) -> Iterator[bool]:
    """Every pair of positions, 128 bytes each: the second cut in what follows the first."""
    bad = images()[-1]
    step = 128
    whole, _ = _revived(Flash(bytearray(case.flash)), case, bad, step=step)
    for first in range(whole.position):
        flash, right = _revived(Flash(bytearray(case.flash)), case, bad, cut=first, step=step)
        after, _ = _revived(flash, case, bad, step=step)
        for second in range(after.position):
            twice, right_again = _revived(flash, case, bad, cut=second, step=step)
            yield right and right_again and _recovers(twice, case, bad)


def bit_rot(case: Case) -> Iterator[bool]:
    """A bit of either slot flips after the update, one per word: the board starts with a whole image, takes the next.

    Where the only other image was none, or one that failed its test, it starts with none.
    """
    old, new, bad = images()
    alone = case.new == bad or None in case.allowed
    done, _ = _revived(Flash(bytearray(case.flash)), case, bad)
    slots = range(2 * SECTOR_BYTES, len(done.data), 4)
    for at in slots:
        flash = Flash(bytearray(done.data))
        flash.data[at] ^= 1 << at // 4 % 8
        machine = Machine(flash, bad)
        right = machine.running in case.allowed or (alone and machine.running is None)
        machine.update(new if machine.running == old else old)
        yield right and machine.running in (old, new)


def share(kinds: tuple[Callable[[Case], Iterator[bool]], ...] = (single_cuts, double_cuts, bit_rot)) -> float:
    """Positions survived over all positions."""
    results = [survived for case in cases() for kind in kinds for survived in kind(case)]
    return sum(results) / len(results)
